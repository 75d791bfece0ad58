"""Language models over their grid, from saved runs: points, reasons, pictures."""

import csv
import io
from pathlib import Path

import pytest

from reports.__main__ import main
from reports.saved.load import read_run
from reports.views.grid import NoGrid, grids
from tests.reports.saved_runs import benchmark, outcome, save, saved_run

BERT = "transformers.bert-base"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Eager and onnxruntime at two points, a step that does not apply, and a model that is on no grid."""
    steps = [
        benchmark("baseline", model=f"{BERT}-16x1", medians_s=(0.02,), samples=1),
        benchmark("onnxruntime", model=f"{BERT}-16x1", medians_s=(0.01,), over="baseline", over_medians_s=(0.02,), samples=1),
        benchmark("batch_8", model=f"{BERT}-128x8", medians_s=(0.8,)),
        benchmark("onnxruntime", model=f"{BERT}-128x8", medians_s=(0.4,), over="batch_8", over_medians_s=(0.8,)),
        benchmark("baseline", model="resnet50"),
    ]
    outcomes = [
        outcome("onnxruntime_fast_math", "skipped", "exists on aarch64 only", model=f"{BERT}-{point}") for point in ("16x1", "128x8")
    ]
    save(tmp_path, 1, saved_run(steps, outcomes=outcomes))
    return tmp_path


def test_eager_is_one_step_whatever_its_batch_size(storage: Path) -> None:
    """And other models of the run are left out."""
    [grid] = grids(read_run(next(storage.glob("*/*.json"))))

    assert BERT == grid.model
    assert ("eager", "onnxruntime") == grid.steps
    assert ((16, 128), (1, 8)) == (grid.lengths, grid.batch_sizes)
    assert [50.0, 10.0] == [grid.at("eager", *point).queries_per_second for point in ((16, 1), (128, 8))]  # type: ignore[union-attr]
    assert grid.at("eager", 16, 8) is None


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_a_reason_is_told_once_with_its_points(storage: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert 0 == main(["grid", "1", "--format", form, "--storage", str(storage)])

    shown = " ".join(capsys.readouterr().out.replace("\\", "").split())
    assert "onnxruntime_fast_math at 16x1, 128x8 skipped: exists on aarch64 only" in shown
    assert 1 == shown.count("aarch64")
    assert "+100.0 %" in shown


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_point_that_others_disturbed_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    save(tmp_path, 1, saved_run([benchmark(model=f"{BERT}-16x1", samples=1, disturbed=True), benchmark(model=f"{BERT}-32x1", samples=1)]))
    assert 0 == main(["grid", "1", "--format", form, "--storage", str(tmp_path)])

    shown = " ".join(capsys.readouterr().out.split())
    assert 1 == shown.count("was disturbed by other processes, so it has no figure")
    assert form == "csv" or "eager at 16x1 was disturbed" in shown


def test_rows_of_csv_name_model_and_step_and_have_the_reason_where_there_is_no_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two models at one point are told apart."""
    steps = [benchmark("onnxruntime", model=f"{name}-16x1", medians_s=(0.01,), samples=1) for name in (BERT, "other")]
    failed = outcome("openvino", "failed", "no memory", model=f"{BERT}-16x1")
    save(tmp_path, 1, saved_run(steps, outcomes=[failed]))

    assert 0 == main(["grid", "1", "--format", "csv", "--storage", str(tmp_path)])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    named = [
        (row["model"], row["step"], row["sequence_length"], row["batch_size"], row["queries_per_second"], row["reason"]) for row in rows
    ]
    assert [
        (BERT, "onnxruntime", "16", "1", "100.0", ""),
        (BERT, "openvino", "16", "1", "", "failed: no memory"),
        ("other", "onnxruntime", "16", "1", "100.0", ""),
    ] == named


def test_heat_map_is_drawn(storage: Path) -> None:
    assert 0 == main(["grid", "1", "--storage", str(storage), "--plot", str(storage / "grid.svg")])
    assert b"onnxruntime" in (storage / "grid.svg").read_bytes()


def test_grid_of_nothing_but_reasons_cannot_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, 1, saved_run([], outcomes=[outcome("onnxruntime", "failed", "no memory", model=f"{BERT}-16x1")]))

    assert 2 == main(["grid", "1", "--storage", str(tmp_path), "--plot", str(tmp_path / "grid.svg")])
    assert "nothing to draw" in capsys.readouterr().err


def test_run_without_a_grid_says_how_to_measure_one(tmp_path: Path) -> None:
    file = save(tmp_path, 1, saved_run([benchmark("baseline", model="timm.vit-tiny")]))

    with pytest.raises(NoGrid, match=r"pytest benchmarks/test_language_models\.py"):
        grids(read_run(file))
