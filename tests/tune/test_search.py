"""What is tried, in which order, and that the best of a machine is found in few measurements."""

from collections.abc import Callable
from typing import Any

import pytest

from fixtures.steps.optimizations import catalogue
from reports.saved.record import Measurement
from reports.tune.search import Search, Tried
from reports.tune.space import BATCHES, Candidate, Space, alternatives, ordered_steps, start_batch
from reports.views.front import pareto_front, points
from reports.views.recommend import DeploymentLimits
from tests.reports.saved_runs import measurement

CPUS = 8
FAMILIES = {
    "baseline": "baseline",
    "batch_8": "batch_size",
    "huge_pages": "memory",
    "workers_pinned": "workers",
    "pt2e_int8": "int8",
    "onnxruntime_int8": "onnxruntime",
    "openvino": "openvino",
    "openvino_int8": "openvino",
    "openvino_throughput": "openvino",
}


def measured(step: str, sps: float, p99_s: float, **fields: Any) -> Measurement:
    samples = fields.get("batch_size", 8)
    return measurement(step, medians_s=(samples / sps,) * 3, samples=samples, latency_p99_s=p99_s, **{"threads": CPUS, **fields})


LADDER = (
    measured("baseline", 30, 0.3),
    measured("batch_8", 300, 0.3),
    measured("huge_pages", 80, 0.12),
    measured("pt2e_int8", 200, 0.045, cosine=0.998),
    measured("openvino", 118, 0.07, cosine=0.99995),
    measured("openvino_int8", 225, 0.038, cosine=0.9998),
)
EXACT = DeploymentLimits(cosine=0.999)


def test_a_ladder_puts_the_fastest_first_and_rules_out_the_slow_and_the_inexact() -> None:
    assert ("openvino_int8", "pt2e_int8", "openvino") == ordered_steps(FAMILIES, LADDER, DeploymentLimits())
    assert ("openvino_int8", "openvino", "huge_pages") == ordered_steps(FAMILIES, (*LADDER, measured("onnxruntime_int8", 70, 0.1)), EXACT)


def test_a_ladder_of_what_serves_nobody_guides_no_search() -> None:
    """Training runs of the same model may be the latest, and as fast as a slow inference."""
    trained = measured("cpu_training_bf16", 250, 0.04, family="cpu_training")
    families = FAMILIES | {trained.step: trained.family}

    assert trained.step not in ordered_steps(families, (*LADDER, trained), DeploymentLimits())
    assert ordered_steps(families, (), DeploymentLimits()) == ordered_steps(families, (trained,), DeploymentLimits())


def test_without_a_ladder_every_usual_step_that_applies_is_tried() -> None:
    usual = ordered_steps(FAMILIES, (), DeploymentLimits())

    assert ("openvino_int8", "onnxruntime_int8", "pt2e_int8", "openvino", "openvino_throughput", "huge_pages") == usual


@pytest.mark.parametrize(("limit_s", "batch"), [(None, 8), (1.0, 8), (0.02, 4), (0.0001, 1)])
def test_the_first_batch_is_the_largest_that_the_ladder_expects_within_the_limit(limit_s: float | None, batch: int) -> None:
    assert batch == start_batch("openvino_int8", LADDER, DeploymentLimits(p99_s=limit_s))
    assert 8 == start_batch("unknown", LADDER, DeploymentLimits(p99_s=limit_s))


def test_neighbours_differ_by_one_doubling() -> None:
    space = Space(("a", "q"), CPUS, asynchronous=frozenset({"q"}))

    assert {(16, 2, 4), (4, 2, 4), (8, 4, 2), (8, 1, 8)} == {
        (each.batch_size, each.workers, each.threads) for each in space.neighbours(Candidate("a", 8, 2, 4))
    }
    assert {(2, 1, 8)} == {(each.batch_size, each.workers, each.threads) for each in space.neighbours(Candidate("q", 1, 1, 8))}
    assert {(1, 8, 1)} < {(each.batch_size, each.workers, each.threads) for each in space.neighbours(Candidate("a", 1, 4, 2))}


NO_LIMITS = DeploymentLimits()
Machine = Callable[[Candidate], Tried]


def machine(peaks: dict[str, float], cosines: dict[str, float] | None = None, failing: frozenset[str] = frozenset()) -> Machine:
    """A machine where throughput saturates with the batch, falls once caches overflow, and gains from workers until it has 4."""

    def measure(candidate: Candidate) -> Tried:
        if candidate.step in failing:
            return Tried(candidate, None, "the exporter refused it", 5.0)
        batch, workers = candidate.batch_size, candidate.workers
        sps = peaks[candidate.step] * batch / (batch + 1.5) * (1.0 if batch <= 16 else 0.8) * {1: 1.0, 2: 1.15, 4: 1.2, 8: 1.1}[workers]
        p99_s = 1.1 * batch * workers / sps
        cosine = (cosines or {}).get(candidate.step, 1.0)
        found = measured(candidate.name, sps, p99_s, cosine=cosine, batch_size=batch, workers=workers)
        return Tried(candidate, found, "", 10.0)

    return measure


def searched(steps: tuple[str, ...], measure: Machine, limits: DeploymentLimits = NO_LIMITS, seconds: float = 1e9) -> Search:
    search = Search(Space(steps, CPUS), limits, dict.fromkeys(steps, 8))
    spent: list[float] = []

    def counted(candidate: Candidate) -> Tried:
        assert candidate not in search.tried, "tried twice"
        tried = measure(candidate)
        spent.append(tried.took_s)
        return tried

    search.run(counted, lambda: seconds - sum(spent))
    return search


def all_of(steps: tuple[str, ...], measure: Machine, limits: DeploymentLimits) -> list[Measurement]:
    """Every point of the space that is within the limits."""
    candidates = [Candidate(step, batch, workers, CPUS // workers) for step in steps for batch in BATCHES for workers in (1, 2, 4, 8)]
    found = [measure(candidate).measurement for candidate in candidates]
    return [m for m in found if m is not None and not limits.broken_by(m)]


PEAKS = {"a": 200.0, "b": 190.0, "c": 60.0}


@pytest.mark.parametrize("limit_s", [None, 1.0, 0.2, 0.1, 0.06, 0.03, 0.018])
def test_the_best_of_the_whole_space_is_found_in_a_fifth_of_its_measurements(limit_s: float | None) -> None:
    steps, limits = ("b", "a", "c"), DeploymentLimits(p99_s=limit_s)

    search = searched(steps, machine(PEAKS), limits)

    everything = all_of(steps, machine(PEAKS), limits)
    best = search.ranked()[0].measurement
    assert best is not None
    assert max(m.samples_per_second for m in everything) == pytest.approx(best.samples_per_second, rel=0.05)
    assert not limits.broken_by(best)
    assert len(search.tried) <= 84 / 5


def test_a_step_that_drifts_is_tried_once() -> None:
    search = searched(("a", "b"), machine(PEAKS, cosines={"a": 0.9}), DeploymentLimits(cosine=0.99))

    assert 1 == sum(candidate.step == "a" for candidate in search.tried)
    assert "b" == search.ranked()[0].candidate.step


def test_a_step_that_fails_is_left_after_two_failures() -> None:
    search = searched(("a", "b"), machine(PEAKS, failing=frozenset({"a"})))

    assert sum(candidate.step == "a" for candidate in search.tried) <= 2
    assert "b" == search.ranked()[0].candidate.step


def test_nothing_within_the_limits_goes_towards_the_lowest_latency() -> None:
    search = searched(("a",), machine(PEAKS), DeploymentLimits(p99_s=1e-6))

    best = search.ranked()[0].candidate
    assert (1, 1) == (best.batch_size, best.workers)


@pytest.mark.parametrize("seconds", [0.0, 5.0, 35.0, 100.0])
def test_the_search_ends_within_its_time(seconds: float) -> None:
    """It begins nothing that would not fit, by what the step took so far; the first it cannot know."""
    search = searched(("b", "a", "c"), machine(PEAKS), seconds=seconds)

    assert sum(tried.took_s for tried in search.tried.values()) <= max(10.0, seconds)


def test_the_front_has_what_none_other_beats_in_both() -> None:
    fast, quick, middle = measured("fast", 200, 0.1), measured("quick", 50, 0.01), measured("middle", 100, 0.05)
    beaten, equal = measured("beaten", 90, 0.06), measured("equal", 100, 0.05)

    assert ["quick", "middle", "fast"] == [m.step for m in pareto_front([beaten, fast, middle, equal, quick])]
    assert () == pareto_front([])


def test_points_say_what_is_on_the_front_and_which_limit_is_broken() -> None:
    drifted = measured("drifted", 500, 0.01, cosine=0.5)
    found = points([measured("fast", 200, 0.1), measured("quick", 50, 0.02), drifted], DeploymentLimits(p99_s=0.05, cosine=0.9))

    assert [("drifted", False), ("quick", True), ("fast", True)] == [(p.step, p.on_front) for p in found]
    assert ["cosine 0.5000, limit 0.9", "", "p99 100 ms, limit 50.0 ms"] == [p.broken for p in found]


INT8 = ("openvino_int8", "openvino")
MIXED = {"openvino_int8_mixed": "openvino_int8"}
OF_INT8 = {"openvino_int8": 200.0, "openvino": 100.0, "openvino_int8_mixed": 170.0}


def with_alternatives(measure: Machine, limits: DeploymentLimits, drifted: frozenset[str] = frozenset()) -> Search:
    search = Search(Space(INT8, CPUS, alternatives=MIXED, drifted=drifted), limits, dict.fromkeys((*INT8, *MIXED), 8))
    search.run(measure, lambda: 1e9)
    return search


def steps_of(search: Search) -> set[str]:
    return {candidate.step for candidate in search.tried}


def test_a_milder_int8_is_tried_where_the_usual_one_drifts() -> None:
    """Beyond the limit of the search, or beyond what the step itself allows; then it wins over floating point."""
    measure = machine(OF_INT8, cosines={"openvino_int8": 0.99, "openvino_int8_mixed": 0.9995})
    beyond = with_alternatives(measure, EXACT)

    def refusing(candidate: Candidate) -> Tried:
        return Tried(candidate, None, "outputs drifted", 1.0, drifted=True) if candidate.step == "openvino_int8" else measure(candidate)

    for search in (beyond, with_alternatives(refusing, NO_LIMITS)):
        assert "openvino_int8_mixed" == search.ranked()[0].candidate.step


def test_a_milder_int8_is_not_tried_where_the_usual_one_keeps_the_limit_or_cannot_be_built() -> None:
    """It costs a build, and is slower."""
    assert set(INT8) == steps_of(with_alternatives(machine(OF_INT8), EXACT))
    assert set(INT8) == steps_of(with_alternatives(machine(OF_INT8, failing=frozenset({"openvino_int8"})), EXACT))


def test_a_ladder_tells_that_the_usual_int8_drifts() -> None:
    search = Search(
        Space(("openvino",), CPUS, alternatives=MIXED, drifted=frozenset({"openvino_int8"})), EXACT, dict.fromkeys((*INT8, *MIXED), 8)
    )
    search.run(machine(OF_INT8), lambda: 1e9)

    assert {"openvino", "openvino_int8_mixed"} == steps_of(search)


def test_every_alternative_stands_for_a_step_that_a_search_tries() -> None:
    known = catalogue()
    found = alternatives({name: step.family for name, step in known.items()}, ())

    assert {
        "openvino_int8_mixed": "openvino_int8",
        "openvino_int8_accurate": "openvino_int8",
        "onnxruntime_int8_mixed": "onnxruntime_int8",
        "int8_dynamic": "pt2e_int8",
    } == found
    assert all(known[original].tuned is not None for original in found.values())
    assert {} == alternatives({"openvino_int8": "openvino"}, ())
    assert {} == alternatives({"int8_dynamic": "optional"}, ("int8_dynamic",))
