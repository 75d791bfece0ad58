"""What each side gets right on labelled pictures: a regression of its own, and of new weights above all."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import torch

from reports.gate.configuration import Acknowledged
from reports.gate.decision import Verdict
from reports.gate.journal import PairJournal
from reports.gate.known import Known
from reports.gate.limits import USUAL
from reports.gate.pair import Figures, MetricFigure
from reports.gate.quantities import Quantity, quantities, reason, sampled_tests
from reports.statistics.proportions import paired_difference
from reports.text.metric_limit import metric_limit_of
from tests import digit_pictures
from tests.gate.conftest import ROOT, committed
from tests.gate.pairs import SOME, pair

LIMITS = replace(USUAL, accuracy_points=1.0)
SERVED = f"""\
import torch
from {Path(digit_pictures.FILE).stem} import create as trained


class Served(torch.nn.Module):
    \"\"\"The trained model, and convolutions that take time and change nothing.\"\"\"

    def __init__(self):
        super().__init__()
        self.trained = trained()
        torch.manual_seed(0)
        self.heavy = torch.nn.Sequential(*(torch.nn.Conv2d(width, 96, 3, padding=1, bias=False) for width in (3, 96, 96, 96)))

    def forward(self, x):
        return self.trained(x) + 0.0 * self.heavy(x).mean((1, 2, 3))[:, None]


def create():
    return Served().eval()
"""


def told(base: str | None, head: str | None, points: float | None = 1.0) -> list[Quantity]:
    """Return what six pairs tell whose sides classify pictures so."""
    some = [pair(base=Figures(right=base), head=Figures(right=head)) for _ in range(6)]
    return [*quantities(some, replace(USUAL, accuracy_points=points), tests=1, alpha=0.01)]


def test_head_that_answers_as_base_does_passes() -> None:
    [found] = told("1101" * 50, "1101" * 50)
    assert (0.75, 0.75, 0.0, Verdict.PASS) == (found.base, found.head, found.change, found.verdict)


def test_head_that_surely_answers_worse_is_a_regression() -> None:
    [found] = told("1" * 200, "1" * 180 + "0" * 20)
    assert Verdict.REGRESSION is found.verdict
    assert -10.0 == pytest.approx(found.change)
    assert "lost 10.0 points, 100.0 to 90.0 % (limit 1 points)" == reason(found)


def test_too_few_pictures_are_inconclusive() -> None:
    """One picture of fifty is 2 points, and may be chance."""
    [found] = told("1" * 50, "1" * 49 + "0")
    assert Verdict.INCONCLUSIVE is found.verdict
    assert reason(found).endswith("and the pictures are too few to tell)")


def test_losses_below_the_limit_and_gains_pass() -> None:
    for base, head in (("1" * 400, "1" * 397 + "000"), ("1" * 180 + "0" * 20, "1" * 200)):
        assert [Verdict.PASS] == [found.verdict for found in told(base, head)]


def test_nothing_is_said_of_sides_that_classified_nothing_or_other_pictures() -> None:
    assert [] == told(None, "1" * 10) == told("1" * 10, "1" * 11)
    assert [None] == [shown.verdict for shown in told("1" * 10, "0" * 10, points=None)]


def test_interval_is_agresti_and_mins() -> None:
    """By hand for 12 gained and 3 lost of 100: centre (12.5 - 3.5) / 102, error 1.96 / 102 times sqrt(16 - 81 / 102)."""
    difference, low, high = paired_difference(12, 3, 100)
    assert 0.09 == difference
    assert [0.013305, 0.163166] == pytest.approx([low, high], abs=2e-6)


def figure(value: float, spread: float = 0.01, drawn: str = "same", seed: int = 0) -> MetricFigure:
    """A metric and its resamples, which spread alike on both sides unless they are seeded apart."""
    draw = random.Random(seed)
    return MetricFigure(name="f1", value=value, samples=100, resampled=tuple(draw.gauss(value, spread) for _ in range(200)), drawn=drawn)


def evaluated(base: MetricFigure, head: MetricFigure, *limits: str) -> Quantity:
    """Return what six pairs tell of a metric."""
    some = [pair(base=Figures(metrics=(base,)), head=Figures(metrics=(head,))) for _ in range(6)]
    [found] = [
        each
        for each in quantities(some, replace(USUAL, metrics=tuple(map(metric_limit_of, limits))), tests=1, alpha=0.01)
        if each.unit == "metric"
    ]
    return found


def test_metric_that_is_surely_worse_is_a_regression() -> None:
    """Resamples of the same samples move together, so a small loss is told; in per cent likewise."""
    found = evaluated(figure(0.9), figure(0.85), "f1=-0.02")
    assert ("metric f1", Verdict.REGRESSION) == (found.name, found.verdict)
    assert (-0.05, 0.05, 0.02) == pytest.approx((found.change, found.worse, found.limit))
    assert reason(found).startswith("went from 0.9 to 0.85, -0.05 [-0.05, -0.05] (limit -0.02)")
    assert Verdict.REGRESSION is evaluated(figure(20.0), figure(21.0), "f1=+5%").verdict


def test_metric_that_is_worse_by_chance_is_inconclusive() -> None:
    """Where resamples spread far, where a side has none, and where sides have other samples."""
    apart = evaluated(figure(0.9, 0.1), figure(0.85, 0.1, seed=1), "f1=-0.02")
    assert reason(apart).endswith("(limit -0.02, and the samples are too few to tell)")
    for head in (figure(0.85, drawn="others"), replace(figure(0.85), resampled=())):
        found = evaluated(figure(0.9), head, "f1=-0.02")
        assert (Verdict.INCONCLUSIVE, None) == (found.verdict, found.low)
        assert reason(found).endswith("and there is no interval to tell by)")


def test_metric_within_its_limit_passes_and_one_without_is_shown() -> None:
    """The sign of the limit says which way is worse."""
    assert Verdict.PASS is evaluated(figure(0.9), figure(0.85), "f1=-0.06").verdict
    assert Verdict.PASS is evaluated(figure(0.9), figure(0.5), "f1=+0").verdict
    assert Verdict.PASS is evaluated(figure(0.9), figure(0.9), "f1=-0").verdict
    assert evaluated(figure(0.9), figure(0.5)).verdict is None


def test_metrics_share_the_alpha_of_all_tests() -> None:
    limited = replace(USUAL, metrics=(metric_limit_of("f1=-0"), metric_limit_of("perplexity=+0")))
    assert 2 == sampled_tests([limited]) - sampled_tests([USUAL])


def test_known_loss_of_a_metric_is_acknowledged_in_its_own_unit() -> None:
    lost = evaluated(figure(0.9), figure(0.85), "f1=-0.02")
    entry = Acknowledged(benchmark=SOME.id, measure="metric-f1", bound=0.06, reason="new labels", expires=date(2027, 1, 31))

    found = Known(entries=(entry,), today=date(2027, 1, 1)).quantity(SOME, lost)
    assert (Verdict.ACKNOWLEDGED, ", acknowledged up to 0.06 until 2027-01-31: new labels") == (found.verdict, found.known)
    exact, narrow = (Known(entries=(replace(entry, bound=bound),), today=date(2027, 1, 1)) for bound in (0.05, 0.04))
    assert Verdict.ACKNOWLEDGED is exact.quantity(SOME, lost).verdict
    assert Verdict.REGRESSION is narrow.quantity(SOME, lost).verdict


def test_pairs_keep_their_metrics_in_the_journal(tmp_path: Path) -> None:
    kept = pair(base=Figures(right="10", metrics=(figure(0.9),)), head=Figures(metrics=(figure(0.8),)))
    PairJournal(tmp_path, {}).add(kept)
    PairJournal(tmp_path, {}).add(replace(kept, head=Figures(metrics=(figure(1e300),))))

    assert (kept,) == PairJournal(tmp_path, {}).pairs


@pytest.mark.nightly
def test_weights_that_answer_worse_are_a_regression(tmp_path: Path) -> None:
    """Head's weights take threes for fives, at no cost of time; head against itself loses nothing."""
    pytest.importorskip("sklearn", reason="scikit-learn has the digits -> pip install -e '.[dev]'")
    folder, pictures = tmp_path / "repository", tmp_path / "pictures"
    folder.mkdir()
    pictures.mkdir()
    digit_pictures.train(pictures)
    for name in ("digits.pt", digit_pictures.FILE):
        (pictures / name).rename(folder / name)
    metric = "def right(outputs, labels):\n    return (outputs.argmax(1) == labels).mean()\n"
    repository = committed(folder, {"served.py": SERVED, "metrics.py": metric})
    weights = torch.load(folder / "digits.pt", weights_only=True)
    last = [name for name in weights if name.endswith(("weight", "bias"))][-2:]
    for name in last:  # of the layer that scores the classes
        weights[name][[3, 5]] = weights[name][[5, 3]]
    torch.save(weights, folder / "digits.pt")
    repository.commit("threes are fives")

    verdicts = {}
    for base in ("HEAD~1", "HEAD"):
        command = [sys.executable, "-m", "reports", "gate", "--base", base, "--head", "HEAD", "--budget", "1s", "--json", "gate.json"]
        command += ["--model", "served.py:create", "-k", "baseline", "--image-size", str(digit_pictures.SIZE)]
        command += ["--accuracy", str(pictures / "unseen"), "--evaluate", "metrics.py:right", "--metric-limit", "right=-0.01"]
        process = subprocess.run(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
        )
        result = json.loads((folder / "gate.json").read_text())
        [row] = result["benchmarks"]
        assert row["quantities"], (row["why"], process.stderr)
        answers, right = (next(each for each in row["quantities"] if each["name"] == name) for name in ("accuracy", "metric right"))
        verdicts[base] = process.returncode, row["verdict"], answers["verdict"]
        assert (answers["verdict"], answers["base"], answers["head"]) == (right["verdict"], right["base"], right["head"])
        assert ("lost" in row["why"]) is (base == "HEAD~1"), row["why"]
    assert {"HEAD~1": (1, "REGRESSION", "REGRESSION"), "HEAD": (3, "INCONCLUSIVE", "PASS")} == verdicts
