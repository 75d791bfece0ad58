"""Ladder rows: order, speedup, intervals, what was not measured, and the way to the best recipe."""

import math
from pathlib import Path
from typing import Any

import pytest

from reports.ladder import Ladder, Rival, by_chance, ladders, processes_sps, rival_text, rivals_text, stairs
from reports.load import measurements_from_records, read_run
from reports.statistics import verdict
from tests.reports.saved_runs import benchmark, ladder, outcome, save, saved_run


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
    compiled = resnet50.rows[3]

    assert 4.0 == pytest.approx(compiled.speedup)
    assert compiled.gain is not None
    assert 2.0 == pytest.approx(compiled.gain.ratio)
    assert ("channels_last", None, "not resolved (one pair)") == (compiled.gain.over, compiled.gain.low, compiled.gain.verdict)


def test_what_was_not_measured_keeps_its_reason_and_remedy(resnet50: Ladder) -> None:
    tcmalloc, aot = resnet50.not_measured

    assert ("skipped", "libtcmalloc is not installed", "apt-get install libtcmalloc-minimal4") == (
        tcmalloc.outcome,
        tcmalloc.reason,
        tcmalloc.remedy,
    )
    assert ("failed", "killed by signal 11", None) == (aot.outcome, aot.reason, aot.samples_per_second)


def test_an_interval_needs_two_processes(resnet50: Ladder) -> None:
    assert (80.0, 80.0) == pytest.approx(resnet50.rows[1].samples_per_second_interval)
    assert resnet50.rows[3].samples_per_second_interval is None


def test_best_is_the_fastest_and_its_stairs_multiply_to_it(resnet50: Ladder) -> None:
    assert resnet50.best is resnet50.rows[3]

    steps = stairs(resnet50)
    assert ["channels_last", "compile"] == [stair.step for stair in steps]
    assert [1.0, 2.0, 2.0, 4.0] == pytest.approx([height for stair in steps for height in (stair.start, stair.end)])


def test_a_circle_of_predecessors_ends() -> None:
    """A damaged file cannot hang the report."""
    from reports.load import measurements_from_records

    records = [
        benchmark("a", medians_s=(0.1,), over="b", over_medians_s=(0.1,))["extra_info"],
        benchmark("b", medians_s=(0.2,), over="a", over_medians_s=(0.2,))["extra_info"],
    ]
    [found] = ladders(measurements_from_records(records))

    assert ["b", "a"] == [stair.step for stair in stairs(found)]


def test_without_a_baseline_there_is_no_speedup(tmp_path: Path) -> None:
    run = read_run(save(tmp_path, 1, saved_run([benchmark("compile")])))
    [found] = ladders(run.measurements, run.outcomes)

    assert [None] == [row.speedup for row in found.rows]


def test_measurements_without_outcome_and_outcomes_without_measurement_are_shown(tmp_path: Path) -> None:
    run = read_run(save(tmp_path, 1, saved_run([benchmark("compile")], outcomes=[outcome("baseline", "measured")])))
    [found] = ladders(run.measurements, run.outcomes)

    assert [("baseline", "failed"), ("compile", "measured")] == [(row.step, row.outcome) for row in found.rows]


def test_models_get_a_ladder_each(tmp_path: Path) -> None:
    run = read_run(save(tmp_path, 1, saved_run([*ladder("baseline", model="vit"), *ladder("baseline", "batch_8")])))

    assert [("vit", 1), ("resnet50", 2)] == [(found.model, len(found.rows)) for found in ladders(run.measurements, run.outcomes)]


def test_processes_of_a_step_are_its_own_and_those_it_served_as_predecessor(tmp_path: Path) -> None:
    """A predecessor of one sample a round that took 0.5 s ran at 2 SPS, though its successor's round has eight samples."""
    served = benchmark("batch_8", medians_s=(1.0, 1.0), over="baseline", over_medians_s=(0.5, 0.5))
    served["extra_info"]["gain"] |= {"ratio": 4.0}
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
    [found] = ladders(measurements_from_records([each["extra_info"] for each in benchmarks]))
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
    assert rival.ratio.low is not None
    assert ("compile", "onnxruntime", True) == (found.best and found.best.step, rival.step, found.pays)
    assert 2 / 1.96 == pytest.approx(rival.ratio.ratio)
    assert 2 / 1.96 / 1.03 ** math.sqrt(2) == pytest.approx(rival.ratio.low)
    assert "onnxruntime (1.02x [0.98, 1.06])" == rival_text(rival)


def test_a_step_above_another_is_compared_with_it_by_its_own_gain() -> None:
    found = shown(
        benchmark("baseline", medians_s=(0.2,)),
        resolved("batch_8", "baseline", 1.5, 1.03, 60.0),
        resolved("channels_last", "batch_8", 1.01, 1.03, 60.6),
    )

    [rival] = found.rivals
    assert rival.ratio is not None
    assert "batch_8" == rival.step
    assert 1.01 == pytest.approx(rival.ratio.ratio)


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


def test_chance_is_told() -> None:
    found = shown(benchmark("baseline", medians_s=(0.2,)), resolved("batch_8", "baseline", 1.5, 1.03, 60.0))

    assert "1 of 1 gains are called faster or slower; where no step has an effect, chance calls about 0.1." == by_chance([found])
    assert "" == by_chance([shown(benchmark("baseline"))])


def test_what_was_disturbed_is_no_gain_to_count_and_no_ground_for_a_speedup() -> None:
    pairs = benchmark("batch_8", medians_s=(0.1, 0.1), over="baseline", over_medians_s=(0.2, 0.21), disturbed=True)
    found = shown(benchmark("baseline", medians_s=(0.2,)), pairs)
    above = shown(benchmark("baseline", medians_s=(0.2,), disturbed=True), benchmark("batch_8", medians_s=(0.1,)))

    assert "" == by_chance([found])
    assert [1.0, None] == [row.speedup for row in found.rows]
    assert [None, None] == [row.speedup for row in above.rows]


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

    assert (80.0, 50.0) == pytest.approx(found.rows[1].in_pairs)


def test_no_more_than_three_rivals_are_named() -> None:
    """With one pair a step nearly everything is a rival, and a wall of names tells nothing."""
    rivals = tuple(Rival(step=name, ratio=None) for name in ("one", "two", "three", "four", "five"))

    assert "one (unpaired), two (unpaired), three (unpaired) and 2 more" == rivals_text(
        Ladder(model="m", rows=(), best=None, rivals=rivals)
    )
    assert "one (unpaired)" == rivals_text(Ladder(model="m", rows=(), best=None, rivals=rivals[:1]))
