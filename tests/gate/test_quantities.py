"""What stands beside time: a regression of its own, and never one of noise."""

import random
from dataclasses import replace
from typing import Any

import pytest

from reports.gate.benchmarks import Benchmark, Selection
from reports.gate.decision import Rules, Verdict
from reports.gate.limits import UNJUDGED, USUAL, Limits, Thresholds, limit_of
from reports.gate.pair import Figures, Pair
from reports.gate.quantities import Quantity, quantities, sampled_tests
from reports.gate.result import Row, rows
from reports.gate.schedule import Case
from tests.gate.pairs import pair

A = Benchmark("resnet50", "baseline")
GIGABYTE = 1e9
SOME = Figures(peak_rss_bytes=6e8, cold_start_s=2.0, build_s=30.0, artifact_bytes=1e8, sqnr_db=42.0)


def pairs_of(head: Figures, base: Figures = SOME, count: int = 6, spread: float = 0.01) -> list[Pair]:
    """Return pairs whose processes differ a little in what every pair has anew."""
    drawn = random.Random(7)

    def varied(figures: Figures) -> Figures:
        memory, cold = figures.peak_rss_bytes, figures.cold_start_s
        assert memory is not None
        assert cold is not None
        return replace(figures, peak_rss_bytes=memory * drawn.gauss(1, spread), cold_start_s=cold * drawn.gauss(1, spread))

    return [pair(0.001 * (number % 3 - 1), base=varied(base), head=varied(head)) for number in range(count)]


def judged(pairs: list[Pair], limits: Limits = USUAL, tests: int = 24) -> dict[str, Quantity]:
    return {each.name: each for each in quantities(pairs, limits, tests=tests, alpha=0.01)}


def row_of(pairs: list[Pair], limits: Limits = USUAL) -> Row:
    case = Case(A, limits)
    case.pairs["screen"] += pairs
    [found] = rows(Selection(compared=(A,), missing={}, new={}, skipped={}, notes=()), [case], Rules(), 1200.0, {})
    return found


def test_head_that_holds_a_gigabyte_more_is_a_regression_of_memory() -> None:
    """Its time passes, and the reason says so."""
    found = row_of(pairs_of(replace(SOME, peak_rss_bytes=6e8 + GIGABYTE)))

    assert Verdict.REGRESSION is found.judged.verdict
    assert found.judged.why.startswith("memory +16")
    assert "(limit +5 %); time: at most" in found.judged.why


def test_memory_of_two_kinds_is_no_regression_where_the_budget_ended_after_three_pairs() -> None:
    """Each process has one figure or the other: in one gate of 64 all of head's three are the larger ones, alike to a few pages."""
    larger = pairs_of(replace(SOME, peak_rss_bytes=6.6e8), spread=0.0002)

    assert [Verdict.INCONCLUSIVE] * 3 + [Verdict.REGRESSION] == [judged(larger[:count])["memory"].verdict for count in (1, 2, 3, 4)]
    assert "too few, to tell" in row_of(larger[:3]).judged.why


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"peak_rss_bytes": 6.6e8}, "memory"),
        ({"cold_start_s": 2.6}, "cold start"),
        ({"artifact_bytes": 1.06e8}, "artifact size"),
        ({"sqnr_db": 38.5}, "SQNR"),
    ],
)
def test_each_measure_is_a_regression_of_its_own(worse: dict[str, Any], name: str) -> None:
    found = judged(pairs_of(replace(SOME, **worse)))

    assert {name} == {each.name for each in found.values() if each.verdict is Verdict.REGRESSION}


def built(base_s: tuple[float, ...], head_s: tuple[float, ...], count: int = 6) -> list[Pair]:
    """Return pairs over builds that took so long, which serve by turns."""
    builds = [(base, head) for base in base_s for head in head_s]
    return [pair(base=replace(SOME, build_s=base), head=replace(SOME, build_s=head)) for base, head in (builds * count)[:count]]


def test_build_time_is_judged_where_asked_for_only() -> None:
    pairs = built((30.0, 30.1), (60.0, 60.2))

    assert judged(pairs)["build time"].verdict is None
    assert Verdict.REGRESSION is judged(pairs, Limits(build_time_percent=50.0), tests=1)["build time"].verdict


def test_a_build_counts_once_however_many_pairs_it_serves() -> None:
    """Head's only build took twice as long in each of six pairs: that was one build, and nobody knows what the next one takes."""
    found = judged(built((30.0,), (60.0,)), Limits(build_time_percent=50.0), tests=1)["build time"]

    assert (Verdict.INCONCLUSIVE, None) == (found.verdict, found.low)
    assert Verdict.PASS is judged(built((30.0,), (30.0,)), Limits(build_time_percent=50.0), tests=1)["build time"].verdict


def test_builds_of_equal_code_that_take_longer_by_chance_are_no_regression() -> None:
    """2,000 unchanged benchmarks whose builds spread by 10 %, two of each side, of which every fourth of head's is 10 % slower."""
    drawn = random.Random(2)

    def two() -> tuple[float, float]:
        return 30.0 * drawn.gauss(1, 0.1), 30.0 * drawn.gauss(1, 0.1)

    found = [judged(built(two(), two()), Limits(build_time_percent=10.0), tests=1)["build time"].verdict for _ in range(2000)]
    assert found.count(Verdict.REGRESSION) <= 30
    assert found.count(Verdict.INCONCLUSIVE) > 200


def test_nothing_is_judged_without_limits() -> None:
    found = judged(pairs_of(replace(SOME, peak_rss_bytes=1e12, sqnr_db=1.0)), UNJUDGED)

    assert {None} == {each.verdict for each in found.values()}
    assert 0 == sampled_tests([UNJUDGED])


def test_no_change_is_no_regression_by_a_limit_of_nothing() -> None:
    limits = Limits(memory_percent=0.0, artifact_size_percent=0.0, sqnr_db=0.0)

    assert {Verdict.REGRESSION} & {each.verdict for each in judged(pairs_of(SOME), limits).values()} == set()
    larger = judged(pairs_of(replace(SOME, artifact_bytes=1.001e8, sqnr_db=41.9)), limits)
    assert Verdict.REGRESSION is larger["artifact size"].verdict is larger["SQNR"].verdict


def test_change_below_its_limit_passes_however_sure_it_is() -> None:
    found = judged(pairs_of(replace(SOME, peak_rss_bytes=6.2e8, cold_start_s=2.3, artifact_bytes=1.04e8, sqnr_db=40.0), spread=1e-4))

    assert {
        "memory": Verdict.PASS,
        "cold start": Verdict.PASS,
        "build time": None,
        "artifact size": Verdict.PASS,
        "SQNR": Verdict.PASS,
    } == {name: each.verdict for name, each in found.items()}


def test_too_few_pairs_to_tell_are_inconclusive() -> None:
    """One pair says by how much, and not whether the next one would say it too."""
    found = row_of(pairs_of(replace(SOME, cold_start_s=2.6), count=1))

    assert Verdict.INCONCLUSIVE is found.judged.verdict
    assert "cold start +" in found.judged.why
    assert "or are too few, to tell" in found.judged.why


def test_noise_is_no_regression() -> None:
    """2,000 unchanged benchmarks on a host where cold starts spread by 10 %, memory by 2 %."""
    drawn = random.Random(1)

    def noisy() -> Figures:
        return Figures(peak_rss_bytes=6e8 * drawn.gauss(1, 0.02), cold_start_s=2 * drawn.gauss(1, 0.1))

    found = [judged([pair(base=noisy(), head=noisy()) for _ in range(6)]) for _ in range(2000)]
    assert not any(each.verdict is Verdict.REGRESSION for benchmark in found for each in benchmark.values())


def test_rounding_of_fp32_is_no_loss() -> None:
    """From 130 dB to 90 dB: other sums of the same numbers."""
    assert Verdict.PASS is judged(pairs_of(replace(SOME, sqnr_db=90.0), replace(SOME, sqnr_db=130.0)))["SQNR"].verdict


def test_what_base_does_not_have_is_shown_and_not_judged() -> None:
    """A recipe that has an artifact on head only: the change of recipe is told, and nothing is divided by zero."""
    found = judged(pairs_of(SOME, replace(SOME, artifact_bytes=0)))
    assert (0, 1e8, None) == (found["artifact size"].base, found["artifact size"].head, found["artifact size"].verdict)


def test_side_of_an_older_suite_tells_nothing_beside_time() -> None:
    assert {} == judged([pair() for _ in range(6)])
    assert Verdict.PASS is row_of([pair(0.0001 * number) for number in range(6)]).judged.verdict


def test_closest_threshold_decides() -> None:
    thresholds = Thresholds(
        common=Limits(memory_percent=10.0),
        families={"quantization": {"sqnr_db": 1.0, "memory_percent": 8.0}},
        models={"resnet50": {"memory_percent": 7.0, "time_percent": 5.0}},
        benchmarks={"resnet50-baseline": {"time_percent": 6.0, "cold_start_percent": None}},
    )

    assert Limits(time_percent=6.0, memory_percent=7.0, cold_start_percent=None, sqnr_db=1.0) == thresholds.of(A, "quantization")
    assert Limits(memory_percent=10.0) == thresholds.of(Benchmark("vit", "baseline"), "eager")


def test_time_has_a_limit_of_its_own() -> None:
    """What is tolerated, and two thirds of it from which on a significant slowdown is a regression: of 3 %, 2 %."""
    rules = Limits(time_percent=6.0).rules(Rules())

    assert rules.tolerated == pytest.approx(0.06)
    assert rules.least_effect == pytest.approx(0.04)
    assert Rules() == USUAL.rules(Rules())
    slower = [pair(0.045 + 0.001 * (number % 3)) for number in range(6)]
    assert Verdict.PASS is row_of(slower, Limits(time_percent=6.0)).judged.verdict
    assert Verdict.INCONCLUSIVE is row_of(slower).judged.verdict, "a suspect that was not confirmed"


@pytest.mark.parametrize("value", ["x", -1, float("nan"), float("inf"), True, None, [5], 1e9])
def test_limit_is_a_number_or_off(value: object) -> None:
    with pytest.raises(ValueError, match="expected a number of at least 0, or off"):
        limit_of("memory_percent", value)


def test_time_cannot_be_switched_off() -> None:
    assert limit_of("memory_percent", "off") is None
    for value in ("off", 0):
        with pytest.raises(ValueError, match="expected a number above 0"):
            limit_of("time_percent", value)


def test_sqnr_over_other_samples_is_not_compared() -> None:
    """A side that was slower and got through fewer samples has lost nothing."""
    base, head = Figures(sqnr_db=50.0, sqnr_samples=16), Figures(sqnr_db=30.0, sqnr_samples=16)
    assert Verdict.REGRESSION is judged([pair(base=base, head=head)] * 6)["SQNR"].verdict
    assert "SQNR" not in judged([pair(base=base, head=replace(head, sqnr_samples=9))] * 6)
