"""The highest rate of random arrivals whose p99 keeps a limit. Pure: what measures is passed in.

A run keeps the limit by MLPerf's early-stopping criterion (`requests.py`), a rate by the median of three runs with other arrivals, and what
the search found is confirmed twice, two steps lower: requests of a queue are late in groups, which the criterion takes for independent,
and the highest of many rates that kept the limit is the luckiest one.
`tests/under_load/test_search.py` simulates how often a rate that was found breaks its limit all the same.
"""

import math
from collections.abc import Callable

from reports.under_load.requests import LoadRun

RESOLUTION = 1.03
FIRST_SHARE = 0.7
LOWEST_SHARE = 0.02
SEEDS = 3
STEPS_BELOW = 2
CONFIRMATIONS = 2
ATTEMPTS = 8
Measure = Callable[[float, int], LoadRun]


def highest_rate(measure: Measure, at_once: LoadRun, seed: int) -> LoadRun | None:
    """Return the median run at the highest rate that is shown to keep the limit; None if none is.

    `measure(rate, seed)` runs one load. `at_once` is the run of requests that all came at once: above the rate that it achieved every
    queue grows without end. The search halves the interval between a rate that keeps the limit and one that does not; all its trials
    have the same three arrivals but for their scale, so that they can be compared. What it finds is confirmed with others.
    """
    if at_once.limit_s is not None and at_once.service_p50_s > at_once.limit_s:
        return None
    low, high, rate = 0.0, at_once.achieved, FIRST_SHARE * at_once.achieved
    while low == 0 or high / low > RESOLUTION:
        if _most_keep(measure, rate, seed):
            low = rate
        else:
            high = rate
        rate = (low + high) / 2
        if rate < LOWEST_SHARE * at_once.achieved:
            return None
    return _confirmed(measure, low, seed)


def median_run(measure: Measure, rate: float, seed: int) -> LoadRun:
    """Return of three runs with other arrivals the one whose p99 is shown to keep the median of their limits."""
    runs = [measure(rate, seed + number) for number in range(SEEDS)]
    return sorted(runs, key=lambda load: (load.behind, math.inf if load.p99_high_s is None else load.p99_high_s))[SEEDS // 2]


def keeps(load: LoadRun) -> bool:
    """Whether a run keeps its limit, and its queue did not grow to the end."""
    return bool(load.keeps_limit) and not load.behind


def _most_keep(measure: Measure, rate: float, seed: int) -> bool:
    """Whether the median of three runs keeps the limit; the third is left out where two agree."""
    found = [keeps(measure(rate, seed + number)) for number in range(SEEDS - 1)]
    return found[0] if len(set(found)) == 1 else keeps(measure(rate, seed + SEEDS - 1))


def _confirmed(measure: Measure, rate: float, seed: int) -> LoadRun | None:
    """Measure a rate a little below the one that was found, twice with arrivals that the search has not seen; go down where it fails."""
    rate /= RESOLUTION**STEPS_BELOW
    for _ in range(ATTEMPTS):
        for _ in range(CONFIRMATIONS):
            seed += SEEDS
            again = median_run(measure, rate, seed)
            if not keeps(again):
                break
        else:
            return again
        rate /= RESOLUTION
    return None
