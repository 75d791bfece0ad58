"""Shares of peak against figures computed by hand, and faults that are told, not hidden."""

import json
from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.saved.load import UnreadableRun, read_calibration, read_run
from reports.saved.record import Calibration, Run
from reports.show.roofline_picture import roofline_picture, spread
from reports.show.tables import json_text, tables_markdown
from reports.statistics.roofline import CannotPlace, Place, bytes_per_sample, place_of, roofline
from reports.views.tables.roofline import percent, roofline_tables
from tests.reports.saved_runs import FINGERPRINT, benchmark, measurement, save, saved_run

GIGA = 1e9
CALIBRATION: dict[str, Any] = {
    "threads": 4,
    "taken_at": "2026-11-20T10:00:00+00:00",
    "peaks": [
        {"precision": "f32", "flops_per_second": 500 * GIGA, "trial": "product 2048x2048x2048", "kernel": "brg_matmul:avx512_core"},
        {"precision": "bf16", "flops_per_second": 1000 * GIGA},
        {"precision": "int8", "flops_per_second": 2000 * GIGA},
    ],
    "missing": [{"precision": "f16", "reason": "AMD EPYC has no f16"}],
    "bandwidth_bytes_per_second": 20 * GIGA,
    "fingerprint": FINGERPRINT,
}


def calibration(tmp_path: Path, **fields: Any) -> Calibration:
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps(CALIBRATION | fields))
    return read_calibration(file)


def saved(tmp_path: Path, *benchmarks: dict[str, Any], **top_level: Any) -> Run[Any]:
    return read_run(save(tmp_path, 1, saved_run(benchmarks, **{"calibration": CALIBRATION} | top_level)))


def step(name: str = "baseline", *, sps: float = 50.0, share: dict[str, float] | None = None, **fields: Any) -> dict[str, Any]:
    """A record of 8 GFLOP and 0.1 GB a sample."""
    work: dict[str, Any] = {"flops_per_sample": 8 * GIGA, "bytes_per_sample": 0.1 * GIGA, "precision_share": share or {"f32": 1.0}}
    return benchmark(name, medians_s=(8 / sps,) * 3, **(work | fields))


def placed(tmp_path: Path, record: dict[str, Any]) -> Place:
    [point] = roofline(saved(tmp_path, record)).points
    assert point.place is not None, point.reason
    return point.place


def test_a_step_of_one_precision_is_held_against_its_peak(tmp_path: Path) -> None:
    """50 samples of 8 GFLOP are 400 GFLOP/s, 80 % of 500; at 80 FLOP a byte 20 GB/s would feed 1600 GFLOP/s, so compute bounds."""
    found = placed(tmp_path, step(sps=50))

    assert (400 * GIGA, 80.0, 500 * GIGA) == pytest.approx((found.flops_per_second, found.intensity, found.peak_flops_per_second))
    assert (0.8, 0.8) == pytest.approx((found.share_of_peak, found.share_of_dominating_peak))
    assert ("f32", "compute", "") == (found.precision, found.bound_by, found.fault)
    assert 500 * GIGA == pytest.approx(found.roof_flops_per_second)


def test_a_mix_is_weighed_by_kernel_time(tmp_path: Path) -> None:
    """60 % of the time at 2000 and 40 % at 1000 GFLOP/s can do 1600 at most; 400 of it are 25 %, and 20 % of int8's peak."""
    found = placed(tmp_path, step(share={"int8": 0.6, "bf16": 0.4}))

    assert (1600 * GIGA, 0.25, 0.2, "int8") == pytest.approx(
        (found.peak_flops_per_second, found.share_of_peak, found.share_of_dominating_peak, found.precision)
    )


def test_few_flops_a_byte_are_bounded_by_memory(tmp_path: Path) -> None:
    """At 10 FLOP a byte 20 GB/s feed 200 GFLOP/s, less than the peak."""
    found = placed(tmp_path, step(sps=20, bytes_per_sample=0.8 * GIGA))

    assert ("bandwidth", 10.0) == (found.bound_by, found.intensity)
    assert 200 * GIGA == pytest.approx(found.roof_flops_per_second)
    assert 0.32 == pytest.approx(found.share_of_peak)


def test_bytes_are_weights_once_a_call_and_activations_once_a_sample() -> None:
    """80 weights over a batch of 8, and 20 activations: 30 elements of 4, 2 or 1 byte; mixes are weighed."""

    def moved(**share: float) -> float:
        return bytes_per_sample(weight_elements=80, activation_elements=20, batch_size=8, precision_share=share)

    assert (120.0, 60.0, 60.0, 30.0, 120.0) == (moved(f32=1), moved(bf16=1), moved(f16=0.5), moved(int8=1), moved())
    assert 45.0 == pytest.approx(moved(int8=0.5, bf16=0.5))


def test_a_sliver_of_an_unknown_precision_counts_not(tmp_path: Path) -> None:
    found = placed(tmp_path, step(share={"f32": 0.95, "i32": 0.05}))

    assert 500 * GIGA == pytest.approx(found.peak_flops_per_second)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"share": {"f16": 0.97, "f32": 0.03}}, "97 % of its kernel time is f16, which has no peak: AMD EPYC has no f16"),
        ({"share": {"i64": 1.0}}, "100 % of its kernel time is i64, which has no peak: it was not measured"),
        ({"precision_share": {}}, "no kernel told its precision"),
        ({"flops_per_sample": None}, "its FLOPs are not known"),
        ({"threads": 1, "workers": 2}, "it computed with 2 threads, the peaks are those of 4"),
    ],
)
def test_a_step_that_cannot_be_placed_says_why(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    run = saved(tmp_path, step(), step("other", **fields))
    found = roofline(run)

    assert [None, reason] == [point.reason or None for point in found.points]
    [table] = roofline_tables(found)
    assert f"other has no place under the roof: {reason}" in table.remarks


def test_workers_of_one_thread_each_compute_with_all(tmp_path: Path) -> None:
    assert 0.8 == pytest.approx(placed(tmp_path, step(threads=1, workers=4)).share_of_peak)


def test_a_disturbed_step_has_a_share_that_stands_for_nothing(tmp_path: Path) -> None:
    """It is told, and does not stand out as the nearest to its peak."""
    run = saved(tmp_path, step(sps=40), step("compile", sps=50, disturbed=True))
    [table] = roofline_tables(roofline(run))

    assert frozenset([0]) == table.marked
    assert "compile was disturbed by other processes, so its share is no figure" in table.remarks


def test_above_the_peak_is_a_fault_with_the_next_action(tmp_path: Path) -> None:
    """70 samples of 8 GFLOP are 112 % of 500 GFLOP/s: shown as it is, and never the best."""
    found = roofline(saved(tmp_path, step(sps=50), step("fast", sps=70)))
    [table] = roofline_tables(found)
    text = tables_markdown([table])

    assert ["fast"] == [point.step for point in found.faults]
    assert "112 % FAULT" in [cell.shown for cell in table.rows[1]]
    assert frozenset([0]) == table.marked
    assert "a fault of the measured peaks" in text
    assert "peaks --redo" in text.replace("\\", "")
    assert 1.12 == pytest.approx(json.loads(json_text(found))["points"][1]["place"]["share_of_peak"])


def test_shares_are_never_rounded_to_100() -> None:
    assert ("97 %", "100 %", "100.4 %", "112 %", "5.0e+08 %") == tuple(percent(share) for share in (0.974, 1.0, 1.004, 1.12, 5e6))


def test_a_mix_reaches_more_than_its_largest_part_alone(tmp_path: Path) -> None:
    """55 % f32 with 45 % int8: 600 GFLOP/s are more than f32's peak, and no fault."""
    found = placed(tmp_path, step(sps=75, share={"f32": 0.55, "int8": 0.45}))

    assert 1.2 == pytest.approx(found.share_of_dominating_peak)
    assert 600 / 1175 == pytest.approx(found.share_of_peak)
    assert "" == found.fault


def test_a_later_calibration_of_the_same_machine_replaces_the_saved_one(tmp_path: Path) -> None:
    run = saved(tmp_path, step(sps=70))
    better = calibration(tmp_path, peaks=[{"precision": "f32", "flops_per_second": 700 * GIGA}])
    [point] = roofline(run, better).points

    assert point.place is not None
    assert 0.8 == pytest.approx(point.place.share_of_peak)


@pytest.mark.parametrize(
    ("top_level", "fields", "reason"),
    [
        ({"calibration": None}, {}, "saved without the peaks of its machine: .* --peaks peaks.json"),
        ({}, {"flops_per_sample": None}, "how many FLOPs a sample takes .* measure again"),
    ],
)
def test_a_run_without_what_is_needed_says_what_to_do(
    tmp_path: Path, top_level: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CannotPlace, match=reason):
        roofline(saved(tmp_path, step(**fields), **top_level))


def test_a_calibration_of_another_machine_is_refused(tmp_path: Path) -> None:
    other = calibration(tmp_path, fingerprint=FINGERPRINT | {"vcpus": 64})

    with pytest.raises(CannotPlace, match=r"another machine than run 0001 \(vcpus: peaks 64, run 4"):
        roofline(saved(tmp_path, step()), other)


@pytest.mark.parametrize("models", [["nope"], ["resnet50", "nope"]])
def test_an_unknown_model_is_an_error(tmp_path: Path, models: list[str]) -> None:
    with pytest.raises(CannotPlace, match="no measured step of nope: its models are resnet50"):
        roofline(saved(tmp_path, step()), models=models)


def test_without_bandwidth_nothing_is_said_of_what_bounds(tmp_path: Path) -> None:
    run = saved(tmp_path, step(), calibration=CALIBRATION | {"bandwidth_bytes_per_second": None})
    found = roofline(run)

    assert found.points[0].place is not None
    assert found.points[0].place.bound_by is None
    assert b"\x89PNG" == roofline_picture(found, ".png")[:4]


def test_figures_of_any_size_stay_finite(tmp_path: Path) -> None:
    wild = calibration(tmp_path, peaks=[{"precision": "f32", "flops_per_second": 1e-18}])
    extreme = measurement(samples_per_second=1e18, flops_per_sample=1e18, bytes_per_sample=1e-18, precision_share={"f32": 1e18})
    found = place_of(extreme, wild)

    assert isinstance(found, Place)
    assert found.fault


def test_the_command_draws(tmp_path: Path) -> None:
    saved(tmp_path, step(), step("bf16", sps=90, share={"bf16": 1.0}), step("vit", model="vit"))

    assert 0 == main(["roofline", "1", "--storage", str(tmp_path), "--plot", str(tmp_path / "roof.svg")])
    assert b"bf16" in (tmp_path / "roof.svg").read_bytes()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"threads": 0}', "NaN", '{"threads": 2, "taken_at": "yesterday"}', "[" * 100_000, '{"threads": 4, "peaks"']
)
def test_what_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(text)

    with pytest.raises(UnreadableRun, match="not a machine's peaks"):
        read_calibration(file)


def test_a_run_with_a_damaged_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRun, match="calibration"):
        saved(tmp_path, step(), calibration=CALIBRATION | {"bandwidth_bytes_per_second": -1})


def test_labels_are_spread_without_leaving_the_panel() -> None:
    assert [0.5, 0.6, 0.7] == pytest.approx(spread([0.5, 0.5, 0.5], 0.1))
    assert [0.8, 0.9, 1.0] == pytest.approx(spread([0.99, 1.0, 1.0], 0.1))
    assert [0.0, 0.5, 1.0] == pytest.approx(spread([0.0, 0.0, 0.0], 0.9))


def test_winograd_above_the_peak_is_explained_and_no_fault(tmp_path: Path) -> None:
    """Its kernels multiply less than is counted; without one of them the same share is a fault, and below the peak neither is said."""
    winograd, direct = (
        [{"operation": "convolution", "precision": "f32", "time_s": 0.1, "implementation": name}]
        for name in ("winograd_acl_f16", "brgconv:sve_256")
    )
    explained, fault = (placed(tmp_path, step(sps=75.0, kernels=kernels)) for kernels in (winograd, direct))
    below = placed(tmp_path, step(sps=50.0, kernels=winograd))
    text = tables_markdown(roofline_tables(roofline(saved(tmp_path, step(sps=75.0, kernels=winograd)))))

    assert explained.share_of_peak == fault.share_of_peak == pytest.approx(1.2)
    assert ("", True) == (explained.fault, "Winograd" in explained.explanation)
    assert (True, "") == ("peaks" in fault.fault, fault.explanation)
    assert ("", "") == (below.fault, below.explanation)
    assert "FAULT" not in text
    assert "120 % Winograd" in text
    assert "fewer multiplications" in text
