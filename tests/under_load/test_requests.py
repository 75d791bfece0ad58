"""Arrivals, percentiles and throughput by MLPerf's definitions, and the search for the highest rate."""

import itertools
import math
import random
import statistics
from collections.abc import Callable

import pytest

from reports.under_load.command import _nearest
from reports.under_load.requests import LoadRun, ServedRequests, percentile, poisson_arrivals, summarize
from reports.under_load.search import highest_rate, keeps
from reports.under_load.texts import load_line, loads_table
from tests.under_load.queues import simulate


def summarized(served: ServedRequests, rate: float | None = None, limit_s: float | None = None) -> LoadRun:
    return summarize(served, scenario="server", step="s", workers=1, threads=1, batch_size=4, rate=rate, limit_s=limit_s)


def test_arrivals_are_poisson_and_begin_at_once() -> None:
    """Gaps of mean 1 / rate, and of a standard deviation as large as the mean."""
    arrivals = poisson_arrivals(50.0, 20_000, seed=3)
    gaps = [b - a for a, b in itertools.pairwise(arrivals)]

    assert 0.0 == arrivals[0]
    assert min(gaps) >= 0
    assert 0.02 == pytest.approx(statistics.mean(gaps), rel=0.03)
    assert 0.02 == pytest.approx(statistics.stdev(gaps), rel=0.05)


def test_a_seed_stands_for_one_schedule_that_a_rate_only_scales() -> None:
    slow, fast, other = poisson_arrivals(10.0, 100, 1), poisson_arrivals(20.0, 100, 1), poisson_arrivals(10.0, 100, 2)

    assert slow.tolist() == poisson_arrivals(10.0, 100, 1).tolist()
    assert slow.tolist() != other.tolist()
    assert slow == pytest.approx(2 * fast, abs=1e-6)


def test_latency_counts_from_the_intended_arrival() -> None:
    """One worker that stalls for a second makes all wait that arrive meanwhile: a closed loop would have seen one slow request."""
    served = simulate([0.0, 0.1, 0.2, 0.3], [1.0, 0.01, 0.01, 0.01], workers=1)

    assert [1.0, 0.91, 0.82, 0.73] == pytest.approx(served.latencies_s)
    assert [1.0, 0.01, 0.01, 0.01] == pytest.approx(served.service_s)
    assert 1.03 == pytest.approx(served.duration_s)


def test_workers_share_one_queue() -> None:
    """The first idle worker takes the next request, whoever it is."""
    served = simulate([0.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 1.0], workers=2)

    assert (0.0, 0.0, 1.0, 2.0) == served.begin_s
    assert (3.0, 1.0, 2.0, 3.0) == served.end_s


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_simulated_waiting_is_what_queueing_theory_says(load: float) -> None:
    """M/M/1: the mean time in the system is 1 / (mu - lambda)."""
    draw = random.Random(1)
    count = 100_000
    served = simulate(poisson_arrivals(load, count, 7).tolist(), [draw.expovariate(1.0) for _ in range(count)], workers=1)

    assert 1 / (1 - load) == pytest.approx(statistics.mean(served.latencies_s), rel=0.08)


@pytest.mark.parametrize(("count", "share", "item"), [(100, 0.99, 99), (101, 0.99, 99), (1000, 0.999, 999), (10, 0.5, 5), (1, 0.999, 0)])
def test_percentiles_are_items_never_interpolated(count: int, share: float, item: int) -> None:
    assert item == percentile([float(value) for value in range(count)], share)


def test_a_run_is_summarized_as_loadgen_does() -> None:
    """Requests at random: n - 1 of n count in the time until the last one; all at once: n."""
    served = simulate([0.0, 1.0, 2.0, 3.0], [0.5] * 4, workers=1)
    at_random = summarized(served, rate=1.0, limit_s=0.6)
    at_once = summarize(served, scenario="offline", step="s", workers=1, threads=1, batch_size=4)

    assert 3 / 3.5 == pytest.approx(at_random.achieved)
    assert 4 / 3.5 == pytest.approx(at_once.achieved)
    assert 16 / 3.5 == pytest.approx(at_once.samples_per_second)
    assert {"p50": 0.5, "p90": 0.5, "p99": 0.5, "p99.9": 0.5} == pytest.approx(at_random.percentiles_s)
    assert (False, None) == (at_random.keeps_limit, at_once.keeps_limit)
    with pytest.raises(ValueError, match="no request"):
        summarized(ServedRequests(arrivals_s=(), begin_s=(), end_s=()))


@pytest.mark.parametrize(
    ("requests", "late", "kept"), [(458, 0, False), (459, 0, True), (661, 1, False), (662, 1, True), (2000, 19, False)]
)
def test_a_limit_is_kept_by_as_many_requests_as_early_stopping_wants(requests: int, late: int, kept: bool) -> None:
    """2000 requests of which 19 are late have a p99 within the limit, and do not show that the next 2000 will."""
    service_s = [0.5] * late + [0.01] * (requests - late)
    served = ServedRequests(arrivals_s=(0.0,) * requests, begin_s=(0.0,) * requests, end_s=tuple(service_s))

    assert kept == summarized(served, rate=1.0, limit_s=0.1).keeps_limit


def test_a_queue_that_grows_keeps_no_limit() -> None:
    """All its requests came within an hour; of a day's most would not have."""
    arrivals = poisson_arrivals(2.0, 2000, 1).tolist()
    grows, steady = (summarized(simulate(arrivals, [service_s] * 2000, workers=1), rate=2.0, limit_s=3600.0) for service_s in (1.0, 0.1))

    assert grows.keeps_limit
    assert [True, False] == [grows.behind, steady.behind]
    assert [False, True] == [keeps(grows), keeps(steady)]
    assert "limit not kept, the queue grew to the end" in load_line(grows)
    assert "limit kept" in load_line(steady)
    told = [" ".join(map(str, loads_table("m", [load]).remarks)) for load in (grows, steady)]
    assert [True, False] == ["no limit is kept" in each for each in told]


def test_requests_that_are_worked_on_at_the_end_are_no_queue() -> None:
    """64 workers of 0.6 s a request, three quarters busy for ten seconds: nobody waits, and the last request ends 0.6 s after it came."""
    arrivals = poisson_arrivals(80.0, 800, 1).tolist()
    quiet, busy = (summarized(simulate(arrivals, [0.6] * 800, workers=workers), rate=80.0) for workers in (64, 40))

    assert 0.6 == pytest.approx(quiet.percentiles_s["p50"])
    assert not quiet.behind
    assert busy.behind


Measure = Callable[[float, int], LoadRun]


def served_by(service_s: float, limit_s: float, trials: list[float], count: int = 8000) -> Measure:
    """A server of constant service time behind arrivals of the rate and seed that are asked for."""

    def measure(rate: float, seed: int) -> LoadRun:
        trials.append(rate)
        served = simulate(poisson_arrivals(rate, count, seed).tolist(), [service_s] * count, workers=1)
        return summarized(served, rate=rate, limit_s=limit_s)

    return measure


def at_once(service_s: float, limit_s: float) -> LoadRun:
    served = simulate([0.0] * 100, [service_s] * 100, workers=1)
    return summarize(served, scenario="offline", step="s", workers=1, threads=1, batch_size=4, limit_s=limit_s)


@pytest.mark.parametrize("limit_s", [0.018, 0.03, 0.2])
def test_the_highest_rate_is_found_and_confirmed(limit_s: float) -> None:
    """30 % above it the limit is broken, by arrivals that the search has not seen; it takes few trials."""
    trials: list[float] = []
    measure = served_by(0.01, limit_s, trials)

    found = highest_rate(measure, at_once(0.01, limit_s), seed=1)

    assert found is not None
    assert found.keeps_limit
    assert found.rate is not None
    assert found.rate == trials[-1]
    assert len(trials) <= 45
    assert not all(measure(1.3 * found.rate, seed).keeps_limit and 1.3 * found.rate < 100 for seed in range(20, 25))
    assert all(measure(0.75 * found.rate, seed).keeps_limit for seed in range(20, 25))


def test_a_looser_limit_allows_a_higher_rate() -> None:
    rates = [highest_rate(served_by(0.01, limit_s, []), at_once(0.01, limit_s), seed=1) for limit_s in (0.018, 0.025, 0.05, 0.5)]

    found = [load.rate for load in rates if load is not None and load.rate is not None]
    assert 4 == len(found)
    assert sorted(found) == found
    assert math.isclose(found[-1], 100.0, rel_tol=0.15)


def test_no_rate_keeps_a_limit_below_the_service_time() -> None:
    trials: list[float] = []

    assert highest_rate(served_by(0.01, 0.009, trials), at_once(0.01, 0.009), seed=1) is None
    assert [] == trials


def test_requests_that_all_came_at_once_are_no_rate_that_came_near() -> None:
    """Their p99 is a place in the queue, 5 s: a limit of 40 ms fails for the 50 ms that each is worked on."""
    together, at_random = at_once(0.05, 0.04), summarized(simulate([0.0, 1.0, 2.0], [0.05] * 3, workers=1), rate=1.0, limit_s=0.04)

    assert together.p99_s > 4
    assert "half of the requests are worked on for 50.0 ms and more, without waiting" == _nearest([together])
    assert "the nearest was server at 1.00 requests/s, 1 worker: p99 50.0 ms" in _nearest([together, at_random])


def test_the_search_gives_up_where_a_hundredth_of_the_capacity_is_too_much() -> None:
    """One request in fifty takes ten times as long as the limit allows, at any rate."""
    trials: list[float] = []

    def measure(rate: float, seed: int) -> LoadRun:
        trials.append(rate)
        served = simulate(poisson_arrivals(rate, 1000, seed).tolist(), [0.01] * 980 + [0.2] * 20, workers=1)
        return summarized(served, rate=rate, limit_s=0.02)

    assert highest_rate(measure, at_once(0.01, 0.02), seed=1) is None
    assert 2.0 <= min(trials)
