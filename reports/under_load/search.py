"""The highest rate of random arrivals whose p99 keeps a limit. Pure: what measures is passed in."""

from collections.abc import Callable

from reports.under_load.requests import Load

RESOLUTION = 1.03
FIRST_SHARE = 0.7
LOWEST_SHARE = 0.02
CONFIRMATIONS = 4
Measure = Callable[[float, int], Load]


def highest_rate(measure: Measure, at_once: Load, seed: int) -> Load | None:
    """Return the run at the highest rate that keeps the limit, found to 3 % and confirmed with other arrivals; None if none does.

    `measure(rate, seed)` runs one load. `at_once` is the run of requests that all came at once: above the rate that it achieved every
    queue grows without end. The search halves the interval between a rate that keeps the limit and one that does not; all its trials
    have the same arrivals but for their scale, so that they can be compared.
    """
    if at_once.limit_s is not None and at_once.service_p50_s > at_once.limit_s:
        return None
    kept: Load | None = None
    low, high, rate = 0.0, at_once.achieved, FIRST_SHARE * at_once.achieved
    while kept is None or high / low > RESOLUTION:
        trial = measure(rate, seed)
        if _keeps(trial):
            low, kept = rate, trial
        else:
            high = rate
        rate = (low + high) / 2
        if rate < LOWEST_SHARE * at_once.achieved:
            return None
    return _confirmed(measure, low, seed)


def _confirmed(measure: Measure, rate: float, seed: int) -> Load | None:
    """Measure the rate that was found with arrivals that the search has not seen, and go down by a step where it fails."""
    for attempt in range(1, CONFIRMATIONS + 1):
        again = measure(rate, seed + attempt)
        if _keeps(again):
            return again
        rate /= RESOLUTION
    return None


def _keeps(load: Load) -> bool:
    return bool(load.keeps_limit) and not load.behind
