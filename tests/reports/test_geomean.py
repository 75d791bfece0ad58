"""Gains over published sets: the mean, its interval, and a row for every model that has none."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest

from fixtures.models.sets import SETS
from reports.__main__ import main
from reports.saved.load import read_run
from reports.statistics import ONE_PAIR, geometric_mean_gain
from reports.views.geomean import NoSetMeasured, set_gains
from tests.reports.saved_runs import FINGERPRINT, benchmark, bounds, outcome, save, saved_run


def compiled(model: str, own_s: list[float], eager_s: list[float], runtime: str = "eager") -> dict[str, Any]:
    side = {"runtime": runtime, "precision": "bf16", "latency_p50_s": eager_s[0], "latency_p99_s": eager_s[0], "peak_rss_bytes": 2**30}
    return benchmark("compile_freezing", model=model, medians_s=own_s, over="huge_pages", over_medians_s=eager_s, over_side=side)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Two models of torchbench, twice and eight times as fast; one that failed; one over another step than eager."""
    steps = [compiled("resnet50", [0.1, 0.1], [0.19, 0.21]), compiled("torchvision.vgg16", [0.1, 0.1], [0.8, 0.8])]
    reasons = {"bf16_autocast": "failed: outputs drifted", "huge_pages": "skipped: nothing changed"}
    steps[1]["extra_info"] |= {"left_out": list(reasons), "left_out_reasons": reasons}
    steps.append(compiled("torchvision.alexnet", [0.1, 0.1], [0.2, 0.2], runtime="inductor"))
    outcomes = [outcome("compile_freezing", "measured", model=step["extra_info"]["model"]) for step in steps]
    outcomes.append(outcome("compile_freezing", "failed", "2 graphs, 1 graph breaks", model="transformers.longformer.ForMaskedLM"))
    save(tmp_path, 1, saved_run(steps, outcomes=outcomes))
    return tmp_path


def test_mean_of_hand_computed_gains() -> None:
    """2 and 8: 4. Pairs of 2 differ by a factor of e^0.2 between them, those of 8 do not."""
    spread = math.exp(0.1)
    gain = geometric_mean_gain([(2.0, [2 * spread, 2 / spread]), (8.0, [8.0, 8.0])])

    # pooled variance 0.02 / 2 = 0.01 with 2 degrees of freedom (t = 4.3027); error sqrt(0.01 * (1/2 + 1/2)) / 2 = 0.05
    assert pytest.approx(4.0) == gain.ratio
    assert [4 * math.exp(sign * 0.05 * 4.302653) for sign in (-1, 1)] == pytest.approx(list(bounds(gain)))


def test_one_pair_each_has_no_interval() -> None:
    gain = geometric_mean_gain([(2.0, [2.0]), (8.0, [8.0])])

    assert pytest.approx(4.0) == gain.ratio
    assert (None, None, ONE_PAIR) == (gain.low, gain.high, gain.verdict)


def test_no_gain_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no gain"):
        geometric_mean_gain([])


def test_models_without_a_figure_are_rows_of_their_own(storage: Path) -> None:
    """Failed, over another step, never run: each with its reason, and none in the mean."""
    [found] = set_gains(read_run(next(storage.glob("*/*.json"))))
    reasons = {member.name: member.reason for member in found.members}

    assert "torchbench" == found.name
    assert ["resnet50", "vgg16"] == [member.name for member in found.measured]
    assert "failed: 2 graphs, 1 graph breaks" == reasons["hf_Longformer"]
    assert "measured over huge_pages, which is not eager" == reasons["alexnet"]
    assert "not run" == reasons["hf_Bert"]
    assert list(SETS["torchbench"].models) == [member.name for member in found.members]
    assert pytest.approx(math.sqrt(math.sqrt(0.19 * 0.21) / 0.1 * 8)) == found.mean.ratio


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_published_figure_stands_beside_it_as_of_another_machine(storage: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert 0 == main(["geomean", "1", "--format", form, "--storage", str(storage)])

    shown = " ".join(capsys.readouterr().out.replace("\\", "").split())
    for part in (
        "geometric mean of 2 models here: 4.00x [",
        "published, on another machine: 1.35x, 45 models, EC2 c7g.4xlarge (Graviton3",
        "doctr_det_predictor is not provided: a model of python-doctr",
        "hf_Longformer (transformers.longformer.ForMaskedLM) failed",
        "vgg16 (torchvision.vgg16) is measured without bf16_autocast, which failed: outputs drifted",
        "c8g.xlarge",
        "2026-11-20",
    ):
        assert part in shown


def test_rows_of_csv_have_the_reason_where_there_is_no_figure(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["geomean", "1", "--format", "csv", "--storage", str(storage)])

    rows = {row["published_name"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert ("torchbench", "vgg16", "0.1", "") == tuple(
        rows["vgg16"][name] for name in ("set", "published_name", "compiled_p50_s", "reason")
    )
    assert ("", "failed: 2 graphs, 1 graph breaks") == (rows["hf_Longformer"]["gain"], rows["hf_Longformer"]["reason"])


def test_what_a_damaged_run_does_not_tell_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Versions that are none, a failure without its reason, a step over nothing."""
    steps = [compiled("resnet50", [0.1], [0.2]), benchmark("compile_freezing", model="torchvision.vgg16")]
    failed = outcome("compile_freezing", "failed", model="torchvision.alexnet")
    save(tmp_path, 1, saved_run(steps, outcomes=[failed], fingerprint=FINGERPRINT | {"versions": "torn"}))

    assert 0 == main(["geomean", "1", "--storage", str(tmp_path)])
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "torch unknown",
        "alexnet (torchvision.alexnet) failed: no reason saved",
        "(torchvision.vgg16) measured over no other step",
    ):
        assert part in shown


def test_run_without_a_set_says_how_to_measure_one(tmp_path: Path) -> None:
    file = save(tmp_path, 1, saved_run([benchmark("baseline")]))

    with pytest.raises(NoSetMeasured, match="--set torchbench --benchmark-autosave"):
        set_gains(read_run(file))


def test_a_disturbed_model_is_not_in_the_mean(tmp_path: Path) -> None:
    steps = [compiled("resnet50", [0.1, 0.1], [0.19, 0.21]), compiled("torchvision.vgg16", [0.1, 0.1], [0.8, 0.8])]
    steps[1]["extra_info"]["disturbed"] = True
    [found] = set_gains(read_run(save(tmp_path, 1, saved_run(steps))))

    assert ["resnet50"] == [member.model for member in found.measured]
    assert 2.0 == pytest.approx(found.mean.ratio, rel=0.01)
    assert "disturbed by other processes" in next(each.reason for each in found.members if each.model == "torchvision.vgg16")
