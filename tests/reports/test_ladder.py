"""Ladder rows: order, speedup, intervals, what was not measured, and the way to the best recipe."""

import math
from pathlib import Path
from typing import Any

import pytest

from reports.saved.load import read_run
from reports.statistics import verdict
from reports.views.ladder import Ladder, Rival, by_chance, int8_text, ladders, processes_sps, rival_text, rivals_text, stairs, without_text
from tests.reports.saved_runs import benchmark, bounds, ladder, measured, outcome, save, saved_run


@pytest.fixture
def resnet50(tmp_path: Path) -> Ladder:
    """Baseline at 40 SPS, two steps that are twice as fast each, one skipped between them."""
    benchmarks = [
        benchmark("channels_last", medians_s=(0.1, 0.1), over="baseline", over_medians_s=(0.2, 0.2)),
        benchmark("baseline", medians_s=(0.2, 0.2)),
        benchmark("compile", medians_s=(0.05,), over="channels_last", over_medians_s=(0.1,)),
    ]
    outcomes = [
        outcome("baseline", "measured"),
        outcome("channels_last", "measured"),
        outcome("tcmalloc", "skipped", "libtcmalloc is not installed", "apt-get install libtcmalloc-minimal4"),
        outcome("compile", "measured"),
        outcome("aot_inductor", "failed", "killed by signal 11"),
    ]
    run = read_run(save(tmp_path, 1, saved_run(benchmarks, outcomes=outcomes)))
    [found] = ladders(run.measurements, run.outcomes)
    return found


def test_rows_stand_in_the_order_of_the_outcomes(resnet50: Ladder) -> None:
    assert ["baseline", "channels_last", "tcmalloc", "compile", "aot_inductor"] == [row.step for row in resnet50.rows]


def test_speedup_is_over_the_baseline_and_gain_over_the_predecessor(resnet50: Ladder) -> None:
    compiled = resnet50.measured[2]
    gain = compiled.measurement.gain

    assert 4.0 == pytest.approx(compiled.speedup)
    assert gain is not None
    assert 2.0 == pytest.approx(gain.ratio)
    assert ("channels_last", None, "not resolved (one pair)") == (gain.over, gain.low, gain.verdict)


def test_what_was_not_measured_keeps_its_reason_and_remedy(resnet50: Ladder) -> None:
    tcmalloc, aot = resnet50.not_measured

    assert ("skipped", "libtcmalloc is not installed", "apt-get install libtcmalloc-minimal4") == (
        tcmalloc.outcome,
        tcmalloc.reason,
        tcmalloc.remedy,
    )
    assert ("failed", "killed by signal 11", "") == (aot.outcome, aot.reason, aot.remedy)


def test_an_interval_needs_two_processes(resnet50: Ladder) -> None:
    assert (80.0, 80.0) == pytest.approx(resnet50.measured[1].samples_per_second_interval)
    assert resnet50.measured[2].samples_per_second_interval is None


def test_best_is_the_fastest_and_its_stairs_multiply_to_it(resnet50: Ladder) -> None:
    assert resnet50.best is resnet50.measured[2]

    steps = stairs(resnet50)
    assert ["channels_last", "compile"] == [stair.step for stair in steps]
    assert [1.0, 2.0, 2.0, 4.0] == pytest.approx([height for stair in steps for height in (stair.start, stair.end)])


def test_a_circle_of_predecessors_ends() -> None:
    """A damaged file cannot hang the report."""
    found = shown(
        benchmark("a", medians_s=(0.1,), over="b", over_medians_s=(0.1,)), benchmark("b", medians_s=(0.2,), over="a", over_medians_s=(0.2,))
    )

    assert ["b", "a"] == [stair.step for stair in stairs(found)]


def test_a_product_of_the_largest_gains_stays_finite() -> None:
    """Twenty of them are more than a float holds."""
    steps = [resolved(f"step_{place + 1}", f"step_{place}", 1e17, 1.01, 100.0 + place) for place in range(20)]
    found = shown(benchmark("step_0", medians_s=(0.2,)), *steps)

    assert found.best is not None
    assert ("step_20", True) == (found.best.step, found.pays)


def test_without_a_baseline_there_is_no_speedup() -> None:
    assert [None] == [row.speedup for row in shown(benchmark("compile")).measured]


def test_measurements_without_outcome_and_outcomes_without_measurement_are_shown(tmp_path: Path) -> None:
    run = read_run(save(tmp_path, 1, saved_run([benchmark("compile")], outcomes=[outcome("baseline", "measured")])))
    [found] = ladders(run.measurements, run.outcomes)

    assert [("baseline", "failed")] == [(each.step, each.outcome) for each in found.not_measured]
    assert ["baseline", "compile"] == [row.step for row in found.rows]


def test_models_get_a_ladder_each(tmp_path: Path) -> None:
    run = read_run(save(tmp_path, 1, saved_run([*ladder("baseline", model="vit"), *ladder("baseline", "batch_8")])))

    assert [("vit", 1), ("resnet50", 2)] == [(found.model, len(found.rows)) for found in ladders(run.measurements, run.outcomes)]


def test_processes_of_a_step_are_its_own_and_those_it_served_as_predecessor(tmp_path: Path) -> None:
    """A predecessor of one sample a round that took 0.5 s ran at 2 SPS, though its successor's round has eight samples."""
    served = benchmark("batch_8", medians_s=(1.0, 1.0), over="baseline", over_medians_s=(0.5, 0.5), over_samples_per_round=1)
    baseline = benchmark("baseline", medians_s=(0.4,), samples=1, pairs=[{"own_median_s": 0.4, "over_median_s": None}])
    run = read_run(save(tmp_path, 1, saved_run([baseline, served])))

    assert {("resnet50", "baseline"): (2.5, 2.0, 2.0), ("resnet50", "batch_8"): (8.0, 8.0)} == {
        key: tuple(round(sps, 9) for sps in found) for key, found in processes_sps(run.measurements).items()
    }
    assert all(math.isfinite(sps) for found in processes_sps(run.measurements).values() for sps in found)


def resolved(step: str, over: str, ratio: float, half: float, sps: float, **fields: Any) -> dict[str, Any]:
    """Return a step of `sps` samples a second whose gain's interval is `half` wide on each side, as a factor."""
    gain = {"over": over, "ratio": ratio, "low": ratio / half, "high": ratio * half, "verdict": verdict(ratio / half, ratio * half)}
    return benchmark(step, medians_s=(8 / sps,), over=over, over_medians_s=(8 / sps * ratio,), gain=gain, **fields)


def shown(*benchmarks: dict[str, Any]) -> Ladder:
    [found] = ladders(measured(*benchmarks))
    return found


def test_the_best_names_what_is_not_told_apart_from_it() -> None:
    """compile is 2x and onnxruntime 1.96x of the baseline, each within 3 %: their ratio is 1.02 within 1.03^sqrt(2); batch_8 is behind."""
    found = shown(
        benchmark("baseline", medians_s=(0.2,)),
        resolved("batch_8", "baseline", 1.5, 1.03, 60.0),
        resolved("compile", "baseline", 2.0, 1.03, 80.0),
        resolved("onnxruntime", "baseline", 1.96, 1.03, 78.4),
    )

    [rival] = found.rivals
    assert rival.ratio is not None
    assert ("compile", "onnxruntime", True) == (found.best and found.best.step, rival.step, found.pays)
    assert 2 / 1.96 == pytest.approx(rival.ratio.ratio)
    assert 2 / 1.96 / 1.03 ** math.sqrt(2) == pytest.approx(bounds(rival.ratio).low)
    assert "onnxruntime (1.02x [0.98, 1.06])" == rival_text(rival)


def test_a_step_above_another_is_compared_with_it_by_its_own_gain() -> None:
    found = shown(
        benchmark("baseline", medians_s=(0.2,)),
        resolved("batch_8", "baseline", 1.5, 1.03, 60.0),
        resolved("channels_last", "batch_8", 1.01, 1.03, 60.6),
    )

    [rival] = found.rivals
    assert rival.step == "batch_8"
    assert rival.ratio is not None
    assert pytest.approx(1.01) == rival.ratio.ratio


def test_without_pairs_the_usual_spread_of_processes_decides() -> None:
    """A gain without interval leads nowhere: 1.1 times is no lead, 1.5 times is one."""
    found = shown(benchmark("baseline", medians_s=(0.15,)), benchmark("a", medians_s=(0.11,)), benchmark("compile", medians_s=(0.1,)))

    assert [("a", None)] == [(each.step, each.ratio) for each in found.rivals]


def test_a_recipe_that_chance_explains_is_not_called_the_best() -> None:
    """Neither as a whole nor by a step; where only the whole is shown to be faster it pays."""
    close = shown(benchmark("baseline", medians_s=(0.2,)), resolved("batch_8", "baseline", 1.02, 1.05, 40.8))
    whole = shown(
        benchmark("baseline", medians_s=(0.2,)),
        resolved("a", "baseline", 1.04, 1.05, 41.6),
        resolved("b", "a", 1.04, 1.05, 43.3),
    )

    assert (False, True) == (close.pays, whole.pays)


def test_a_recipe_whose_ground_was_not_measured_pays_by_more_than_processes_differ() -> None:
    """With `--step channels_last` batch_2 has no row: 18 % slower than that, and 1.9 times the baseline, which is no chance."""
    far, close = (
        shown(benchmark("baseline", medians_s=(0.2,)), resolved("channels_last", "batch_2", 0.82, 1.05, sps)) for sps in (75.0, 42.0)
    )

    assert (True, False) == (far.pays, close.pays)


def test_chance_is_told() -> None:
    found = shown(benchmark("baseline", medians_s=(0.2,)), resolved("batch_8", "baseline", 1.5, 1.03, 60.0))

    assert "1 of 1 gains are called faster or slower; where no step has an effect, chance calls about 0.1." == by_chance([found])
    assert "" == by_chance([shown(benchmark("baseline"))])


def test_what_was_disturbed_is_no_gain_to_count_and_no_ground_for_a_speedup() -> None:
    pairs = benchmark("batch_8", medians_s=(0.1, 0.1), over="baseline", over_medians_s=(0.2, 0.21), disturbed=True)
    found = shown(benchmark("baseline", medians_s=(0.2,)), pairs)
    above = shown(benchmark("baseline", medians_s=(0.2,), disturbed=True), benchmark("batch_8", medians_s=(0.1,)))

    assert "" == by_chance([found])
    assert [1.0, None] == [row.speedup for row in found.measured]
    assert [None, None] == [row.speedup for row in above.measured]


def test_the_way_to_the_best_begins_above_what_was_disturbed() -> None:
    found = shown(
        benchmark("baseline", medians_s=(0.2,)),
        resolved("batch_8", "baseline", 3.0, 1.03, 60.0, disturbed=True),
        resolved("compile", "batch_8", 1.5, 1.03, 80.0),
    )

    [stair] = stairs(found)

    assert "compile" == stair.step
    assert (1.0, 1.5) == pytest.approx((stair.start, stair.end))


def test_both_throughputs_of_the_pairs_stand_beside_the_gain() -> None:
    """Eight samples in 0.1 s over one in 0.02 s, whatever the rows of the two steps say."""
    found = shown(
        benchmark("baseline", medians_s=(0.3,)),
        benchmark("batch_8", medians_s=(0.1, 0.1), over="baseline", over_medians_s=(0.02, 0.02), over_samples_per_round=1),
    )

    assert (80.0, 50.0) == pytest.approx(found.measured[1].in_pairs)


def test_no_more_than_three_rivals_are_named() -> None:
    """With one pair a step nearly everything is a rival, and a wall of names tells nothing."""
    rivals = tuple(Rival(step=name, ratio=None) for name in ("one", "two", "three", "four", "five"))

    assert "one (unpaired), two (unpaired), three (unpaired) and 2 more" == rivals_text(
        Ladder(model="m", rows=(), best=None, rivals=rivals)
    )
    assert "one (unpaired)" == rivals_text(Ladder(model="m", rows=(), best=None, rivals=rivals[:1]))


def at(step: str, over: str, ratio: float, sps: float, **fields: Any) -> dict[str, Any]:
    """A step of OpenVINO whose gain is known within 3 %."""
    return resolved(step, over, ratio, 1.03, sps, **({"runtime": "openvino", "precision": "fp32"} | fields))


def over_float(found: Ladder, step: str) -> tuple[str, float, bool] | None:
    [row] = [row for row in found.measured if row.step == step]
    return None if row.over_float is None else (row.over_float.over, round(row.over_float.ratio.ratio, 3), row.over_float.paired)


INT8: dict[str, Any] = {"precision": "int8", "over_side": {"precision": "device default"}}


def test_int8_is_shown_over_its_predecessor_where_that_is_the_best_floating_point() -> None:
    """Its own gain, as it is paired."""
    found = shown(
        at("openvino_fp32", "batch_8", 1.5, 60.0),
        at("openvino", "openvino_fp32", 2.0, 120.0),
        at("openvino_int8", "openvino", 1.6, 192.0, **INT8),
    )
    row = found.measured[-1]

    assert ("openvino", 1.6, True) == over_float(found, "openvino_int8")
    assert row.over_float is not None
    assert bounds(row.measurement.gain) == pytest.approx(bounds(row.over_float.ratio))
    assert "INT8 over the best floating point of its own runtime: openvino_int8 +60.0 % [+55.3, +64.8] over openvino, faster" == int8_text(
        found
    )


def test_int8_over_a_loss_is_shown_over_what_is_better() -> None:
    """It takes turns with bf16, which is half as fast as fp32: by both steps' pairs it is 0.8 of fp32, whatever its own gain says."""
    found = shown(
        at("openvino_fp32", "batch_8", 1.5, 60.0),
        at("openvino", "openvino_fp32", 0.5, 30.0),
        at("openvino_int8", "openvino", 1.6, 48.0, **INT8),
    )
    row = found.measured[-1]

    assert ("openvino_fp32", 0.8, True) == over_float(found, "openvino_int8")
    assert row.over_float is not None
    assert 0.8 / 1.03 ** math.sqrt(2) == pytest.approx(row.over_float.ratio.low)
    assert "slower" == row.over_float.ratio.verdict


def test_a_floating_point_step_that_is_not_shown_to_be_ahead_does_not_take_the_predecessors_place() -> None:
    """compile_max_autotune is 1 % faster than compile_freezing, within 3 %: the predecessor's pairs count."""
    torch = {"runtime": "inductor"}
    found = shown(
        at("compile_freezing", "compile", 1.2, 60.0, **torch),
        at("compile_max_autotune", "compile_freezing", 1.01, 60.6, **torch),
        at("pt2e_int8", "compile_freezing", 1.6, 96.0, **torch, **INT8),
    )

    assert ("compile_freezing", 1.6, True) == over_float(found, "pt2e_int8")


def test_weights_in_few_bits_are_no_floating_point() -> None:
    """Products of integers are held against bf16, not against 4-bit weights, which are faster than both."""
    torch = {"runtime": "torch_generation"}
    found = shown(
        at("generate_compile", "generate", 1.2, 60.0, **torch),
        at("generate_int4", "generate_compile", 3.0, 180.0, **torch | {"precision": "int4 weights"}),
        at("generate_int8", "generate_compile", 1.6, 96.0, **torch, **INT8),
    )

    assert ("generate_compile", 1.6, True) == over_float(found, "generate_int8")
    assert over_float(found, "generate_int4") is None


def test_without_pairs_int8_is_compared_unpaired_and_that_is_said() -> None:
    """An earlier run took turns with the baseline: three processes each have an interval, one has none."""
    int8_s, fp32_s = (0.05, 0.0505, 0.0495), (0.1, 0.101, 0.099)
    alone = [{"own_median_s": each, "over_median_s": None} for each in fp32_s]
    several = shown(
        benchmark("openvino_fp32", medians_s=fp32_s, pairs=alone, runtime="openvino", precision="fp32"),
        benchmark("openvino_int8", medians_s=int8_s, over="baseline", over_medians_s=fp32_s, runtime="openvino", **INT8),
    )
    single = shown(
        benchmark("openvino_fp32", medians_s=(0.1,), runtime="openvino", precision="fp32"),
        benchmark("openvino_int8", medians_s=(0.05,), over="baseline", over_medians_s=(0.1,), runtime="openvino", **INT8),
    )

    assert [("openvino_fp32", 2.0, False)] * 2 == [over_float(found, "openvino_int8") for found in (several, single)]
    assert "over openvino_fp32, faster (unpaired: other processes, other minutes)" in int8_text(several)
    ratio = single.measured[-1].over_float
    assert ratio is not None
    assert (None, "not resolved (one process)") == (ratio.ratio.low, ratio.ratio.verdict)


@pytest.mark.parametrize(
    "other",
    [{"runtime": "onnxruntime"}, {"batch_size": 4}, {"workers": 2}, {"settings": {"PERFORMANCE_HINT": "THROUGHPUT"}}, {"disturbed": True}],
    ids=["other runtime", "other batch", "workers", "other hint", "disturbed"],
)
def test_int8_is_compared_with_its_like_only(other: dict[str, Any]) -> None:
    fp32 = {"runtime": "openvino", "precision": "fp32"} | other
    found = shown(benchmark("a", medians_s=(0.1,), **fp32), at("openvino_int8", "baseline", 1.6, 96.0, **INT8))

    assert over_float(found, "openvino_int8") is None
    assert "" == int8_text(found)


@pytest.mark.parametrize("fields", [{"over_side": {"precision": "int8"}}, {"precision": "bf16"}, {"disturbed": True}])
def test_a_step_that_brings_no_int8_or_was_disturbed_has_no_such_gain(fields: dict[str, Any]) -> None:
    """As `openvino_throughput`, which stands on INT8."""
    found = shown(at("openvino_fp32", "batch_8", 1.5, 60.0), at("x", "openvino_fp32", 1.6, 96.0, **(INT8 | fields)))

    assert over_float(found, "x") is None


def left_out(**fields: Any) -> dict[str, Any]:
    gain = {"over": "channels_last", "ratio": 0.56, "low": 0.53, "high": 0.59, "verdict": "slower"}
    return {"decision": {"kept": False, "gain": gain}} | fields


def test_the_best_says_what_its_recipe_leaves_out_as_slower() -> None:
    """Not what was skipped, which the ladder tells anyway, and nothing where the slower step was kept."""
    reasons = {"bf16_autocast": "44 % slower than channels_last", "tcmalloc": "skipped: libtcmalloc is not installed"}
    best = resolved("compile", "channels_last", 1.5, 1.03, 90.0, left_out=["bf16_autocast", "tcmalloc"], left_out_reasons=reasons)
    slower = resolved("bf16_autocast", "channels_last", 0.56, 1.03, 33.0, **left_out())
    kept = resolved("bf16_autocast", "channels_last", 0.56, 1.03, 33.0)
    found = shown(benchmark("channels_last", medians_s=(8 / 60,)), slower, best)
    other = shown(benchmark("channels_last", medians_s=(8 / 60,)), kept, best)

    assert found.best is not None
    assert other.best is not None
    assert "bf16_autocast (44 % slower than channels_last)" == without_text(found, found.best)
    assert "" == without_text(other, other.best)
    assert ("bf16_autocast", "tcmalloc") == tuple(found.best.measurement.left_out_reasons)
