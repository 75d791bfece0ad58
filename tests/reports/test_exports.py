"""Exports for other trackers: their formats, from saved runs and from a gate's result."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.gate.benchmarks import Benchmark
from reports.gate.limits import USUAL
from reports.gate.pair import Figures
from reports.gate.quantities import quantities
from reports.gate.show.gate_json import gate_json
from tests.gate.pairs import pair, percent, result, row
from tests.reports.saved_runs import ladder, save, saved_run

A = Benchmark("resnet50", "openvino_int8")


def export(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert 0 == main(["export", *arguments])
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What `gate --json` writes: head holds more, and is 1 % slower."""
    base = Figures(peak_rss_bytes=6e8, cold_start_s=2.0, artifact_bytes=1e8, sqnr_db=42.0, right="1" * 19 + "0")
    beside = quantities([pair(base=base, head=replace(base, peak_rss_bytes=7e8))] * 6, USUAL, tests=1, alpha=0.01)
    found = replace(row(A, percent(0.9, 1.1, 1.0, 1.0, 0.95, 1.05)), quantities=beside)
    file = tmp_path / "gate.json"
    file.write_text(gate_json(result(found)))
    return file


def test_saved_run_as_bencher_metric_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`{benchmark: {measure: {value}}}`; latency in nanoseconds, as Bencher's built-in measure has it."""
    save(tmp_path, 1, saved_run(ladder("baseline", "compile")))
    found = export(capsys, "1", "--format", "bmf", "--storage", str(tmp_path))

    assert ["resnet50-baseline", "resnet50-compile"] == list(found)
    first = found["resnet50-baseline"]
    assert first["throughput"]["value"] == pytest.approx(1e9 / first["time-per-sample"]["value"])
    assert {"latency", "peak-memory", "cold-start"} <= first.keys()
    assert first["latency"]["value"] > 1e6
    for metric in first.values():
        assert {"value"} <= metric.keys() <= {"value", "lower_value", "upper_value"}


def test_times_of_a_disturbed_step_are_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tracker would call them a regression; what others' CPU time does not change stays."""
    quiet, disturbed = ladder("baseline", "compile")
    disturbed["extra_info"]["disturbed"] = True
    save(tmp_path, 1, saved_run([quiet, disturbed]))
    found = export(capsys, "1", "--format", "bmf", "--storage", str(tmp_path))

    assert {"throughput", "latency", "cold-start"} <= found["resnet50-baseline"].keys()
    assert {"peak-memory", "build-time", "sqnr"} == found["resnet50-compile"].keys()


def test_gate_as_bencher_metric_format(gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Head's figures, and the slowdown with the bounds that the gate gave it."""
    found = export(capsys, str(gate), "--format", "bmf")["resnet50-openvino_int8"]

    assert 7e8 == found["peak-memory"]["value"]
    assert 42.0 == found["sqnr"]["value"]
    assert 0.95 == found["accuracy"]["value"]
    assert found["slowdown"]["value"] == pytest.approx(1.0, abs=0.01)
    assert found["slowdown"]["lower_value"] < 1 < found["slowdown"]["upper_value"]


def test_github_action_benchmark_has_what_is_better_the_smaller_it_is(gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of that tool has one direction: throughput and SQNR in it would raise alarms for improvements."""
    found = export(capsys, str(gate), "--format", "github-action-benchmark")

    names = [each["name"].partition(": ")[2] for each in found]
    assert ["time-per-sample", "slowdown", "peak-memory", "cold-start", "file-size"] == names
    assert {"name": "resnet50-openvino_int8: peak-memory", "unit": "bytes", "value": 7e8} == found[2]
    assert " to " in found[1]["range"]


def test_names_of_others_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gate.json"
    file.write_text(gate_json(result(row(Benchmark("\x1b[31m" + "m" * 2000, "\u202estep"), percent(0.1, -0.1, 0, 0.1, 0, 0)))))
    [name] = export(capsys, str(file), "--format", "bmf")

    assert 1024 == len(name)
    assert "\x1b" not in name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"verdict": "ERROR", "exit_code": 2, "benchmarks": []}', "a gate that measured no pair (ERROR)"),
        ('{"verdict": "PASS", "exit_code": 0, "benchmarks": [{"id": "x", "pairs": [{"head_rounds_s": [1e999]}]}]}', "gate.json"),
        (
            '{"verdict": "PASS", "exit_code": 0, "benchmarks": [{"id": "x", "pairs": [{"head_rounds_s": [0], "head_samples": 1}]}]}',
            "gate.json",
        ),
        ("[" * 100000, "gate.json"),
        ("", "gate.json"),
    ],
)
def test_what_holds_no_figures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str) -> None:
    (tmp_path / "gate.json").write_text(text)

    assert 2 == main(["export", str(tmp_path / "gate.json"), "--format", "bmf"])
    told = capsys.readouterr()
    assert "" == told.out
    assert expected in told.err
