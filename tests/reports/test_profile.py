"""Where the time goes, from saved runs: the table, two side by side, pictures, and errors that say what to do."""

import csv
import io
import json
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from reports.__main__ import main
from reports.saved.load import UnreadableRun, read_run
from reports.show.tables import print_tables
from reports.views.profile import Breakdown, NoProfile, breakdown, trace_file, without_small
from reports.views.tables.profile import profile_table
from tests.reports.saved_runs import benchmark, save, saved_run


def saved_profile(operators: dict[str, float], *, inference_s: float = 0.1, **fields: Any) -> dict[str, Any]:
    """Return a saved profile in which each operator has a share and is called twice."""
    rows = [{"name": name, "self_s": share * inference_s, "share": share, "calls": 2.0} for name, share in operators.items()]
    return {"source": "torch.profiler", "inferences": 3, "inference_s": inference_s, "operators": rows, "notes": [], "trace": None} | fields


EAGER = saved_profile({"aten::mm": 0.41, "aten::copy_": 0.3, "aten::view": 0.004, "aten::t": 0.003, "(others)": 0.083, "(outside)": 0.2})
COMPILED = saved_profile({"mkldnn::_linear_pointwise": 0.38, "aten::copy_": 0.5, "aten::t": 0.02, "(outside)": 0.1}, inference_s=0.05)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A run of two models with profiles of some steps, and one without."""
    trace = "traces/20261120T120000-1/resnet50-baseline.json.gz"
    steps = [
        benchmark("baseline", profile=EAGER | {"trace": trace}),
        benchmark("compile", profile=COMPILED),
        benchmark("tcmalloc"),
        benchmark("openvino", profile=None, profile_failure="openvino: RuntimeError while being profiled: no counters"),
        benchmark("baseline", model="vit", profile=EAGER),
    ]
    save(tmp_path, 1, saved_run(steps))
    save(tmp_path, 2, saved_run([benchmark("baseline")]))
    (tmp_path / trace).parent.mkdir(parents=True)
    (tmp_path / trace).write_bytes(b"trace")
    return tmp_path


def self_s(found: Breakdown, place: int) -> float:
    return sum(side.self_s for row in found.rows if (side := row.sides[place]) is not None)


def run_command(storage: Path, *arguments: str) -> int:
    return main(["profile", *arguments, "--storage", str(storage)])


def test_the_table_shows_self_time_share_and_calls(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run_command(storage, "1", "--model", "resnet50", "--step", "baseline")

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "aten::mm 41.0 41.0 2" in lines
    assert "one inference 100 100.0 12" in lines
    assert "baseline: 100 ms an inference of batch 8 under torch.profiler, mean of 3; 100 ms at the median when it was timed" in lines


def test_two_steps_stand_side_by_side(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator that both run has one row; what a step does not run is a dash; the most expensive comes first."""
    assert 0 == run_command(storage, "1", "--model", "resnet50", "--step", "baseline", "--against", "compile")

    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert ["aten::copy_", "30.0", "30.0", "2", "25.0", "50.0", "2"] in lines
    assert ["mkldnn::_linear_pointwise", "-", "-", "-", "19.0", "38.0", "2"] in lines
    names = [line[0] for line in lines]
    assert names.index("aten::mm") < names.index("aten::copy_") < names.index("mkldnn::_linear_pointwise") < names.index("(others)")


def test_rows_that_are_small_on_every_side_are_added_to_the_others(storage: Path) -> None:
    run = read_run(storage / "Linux-CPython-3.11-64bit" / "0001_run.json")
    whole = breakdown(run, model="resnet50", step="baseline", against="compile")
    found = without_small(whole)

    assert 7 == len(whole.rows)
    assert ["aten::mm", "aten::copy_", "(outside)", "mkldnn::_linear_pointwise", "aten::t", "(others)"] == [row.name for row in found.rows]
    assert (pytest.approx(0.087), 4) == (found.rows[-1].sides[0].share, found.rows[-1].sides[0].calls)  # type: ignore[union-attr]
    assert found.rows[-1].sides[1] is None
    assert (
        [pytest.approx(0.1), pytest.approx(0.05)]
        == [self_s(found, place) for place in range(2)]
        == [self_s(whole, place) for place in range(2)]
    )


def test_csv_and_json_hold_every_operator(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["1", "--model", "resnet50", "--step", "baseline", "--against", "compile"]
    assert 0 == run_command(storage, *arguments, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert 0 == run_command(storage, *arguments, "--format", "json")
    shown = json.loads(capsys.readouterr().out)

    assert ["baseline"] * 6 + ["compile"] * 4 == [row["step"] for row in rows]
    assert ("aten::mm", 0.041, 0.41, 2.0) == (rows[0]["operator"], *(float(rows[0][name]) for name in ("self_s", "share", "calls")))
    assert [EAGER["operators"], COMPILED["operators"]] == [step["profile"]["operators"] for step in shown]


def test_markdown_has_one_table(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run_command(storage, "1", "--model", "resnet50", "--step", "baseline", "--against", "compile", "--format", "markdown")

    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert {8} == {line.count("|") for line in table}
    assert r"| aten::mm | 41.0 | 41.0 | 2 | - | - | - |" in table


@pytest.mark.parametrize("name", ["profile.png", "profile.svg"])
@pytest.mark.parametrize("against", [[], ["--against", "compile"]])
def test_a_picture_is_drawn(storage: Path, name: str, against: list[str]) -> None:
    picture = storage / name
    assert 0 == run_command(storage, "1", "--model", "resnet50", "--step", "baseline", *against, "--plot", str(picture))

    drawn = picture.read_bytes()
    if name.endswith("png"):
        assert b"\x89PNG" == drawn[:4]
        assert min(struct.unpack(">II", drawn[16:24])) > 200
    else:
        assert ElementTree.fromstring(drawn).tag.endswith("svg")


def test_the_trace_is_named(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run_command(storage, "1", "--model", "resnet50", "--step", "baseline", "--trace")

    assert str(storage / "traces/20261120T120000-1/resnet50-baseline.json.gz") in capsys.readouterr().err


def test_a_model_can_be_named_as_it_was_asked_for(tmp_path: Path) -> None:
    """`--model torchvision:resnet18` is the model `torchvision.resnet18` of the record; a single model needs no name."""
    run = read_run(save(tmp_path, 1, saved_run([benchmark(model="torchvision.resnet18", profile=EAGER)])))

    assert breakdown(run, model="torchvision:resnet18", step="baseline") == breakdown(run, model=None, step="baseline")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["2", "--step", "baseline"], "saved without profiles of 'resnet50': take one with `pytest benchmarks/ --profile"),
        (
            ["1", "--model", "vit", "--step", "nope"],
            "did not measure step 'nope' on 'vit': name one that has a profile (baseline), or",
        ),
        (
            ["1", "--model", "resnet50", "--step", "tcmalloc"],
            "has no profile of step 'tcmalloc' on 'resnet50': name one that has a profile",
        ),
        (["1", "--model", "resnet50", "--step", "baseline", "--against", "nope"], "did not measure step 'nope'"),
        (["1", "--model", "resnet50", "--step", "openvino"], "failed: openvino: RuntimeError while being profiled: no counters"),
        (["1", "--step", "baseline"], "measured 2 models: name one with --model (resnet50, vit)"),
        (["1", "--model", "alexnet", "--step", "baseline"], "has no model 'alexnet': name one that it measured (resnet50, vit)"),
        (["1", "--model", "vit", "--step", "baseline", "--trace"], "has no trace (none was saved): show its table without --trace"),
        (["1", "--model", "vit", "--step", "baseline", "--plot", "x.pdf"], ".png or .svg"),
    ],
)
def test_errors_say_what_to_do(storage: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str) -> None:
    assert 2 == run_command(storage, *arguments)

    shown = capsys.readouterr()
    assert "" == shown.out
    [error] = shown.err.splitlines()
    assert reason in error


@pytest.mark.parametrize("trace", ["/etc/passwd", "../../../../../../etc/passwd", "traces/none.json.gz", "", "\x00", "."])
def test_a_trace_outside_the_storage_is_not_named(tmp_path: Path, trace: str) -> None:
    """The name comes from the file, and may be anything."""
    run = read_run(save(tmp_path, 1, saved_run([benchmark(profile=EAGER | {"trace": trace})])))

    with pytest.raises(NoProfile, match="no such file is there"):
        trace_file(run, breakdown(run, model=None, step="baseline").steps[0])


def test_a_narrow_terminal_shows_operators_and_steps_whole(tmp_path: Path) -> None:
    """Long names are folded, never cut."""
    first, second = "onnxruntime_fast_math_of_matmuls", "openvino_int8_with_throughput"
    run = read_run(save(tmp_path, 1, saved_run([benchmark(first, profile=EAGER), benchmark(second, profile=COMPILED)])))
    text = io.StringIO()
    print_tables(Console(file=text, width=80), [profile_table(breakdown(run, model=None, step=first, against=second))])

    assert max(map(len, text.getvalue().splitlines())) <= 80
    assert "mkldnn::_linear_pointwise " in text.getvalue()
    assert "onnxruntime_" in text.getvalue()


@pytest.mark.parametrize(
    "damaged",
    [
        {"inference_s": 0},
        {"inferences": 0},
        {"operators": [{"name": "x", "self_s": 1e300, "share": 1, "calls": 1}]},
        {"operators": [{"name": "x", "self_s": 1, "share": 1.5, "calls": 1}]},
        {"operators": [{"name": "x", "self_s": 1, "share": 0.0, "calls": 1}] * 1001},
    ],
)
def test_damaged_figures_are_named(tmp_path: Path, damaged: dict[str, Any]) -> None:
    path = save(tmp_path, 1, saved_run([benchmark(profile=EAGER | damaged)]))

    with pytest.raises(UnreadableRun, match="profile"):
        read_run(path)


def test_a_name_that_comes_twice_is_one_row(tmp_path: Path) -> None:
    rows = [{"name": "x", "self_s": 0.05, "share": 0.5, "calls": 1}] * 2
    run = read_run(save(tmp_path, 1, saved_run([benchmark(profile=EAGER | {"operators": rows})])))

    [row] = breakdown(run, model=None, step="baseline").rows
    [side] = row.sides
    assert side is not None
    assert ("x", 0.1, 1.0, 2) == (side.name, side.self_s, side.share, side.calls)
