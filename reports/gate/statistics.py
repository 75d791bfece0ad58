"""The gate's statistics: pure functions of slowdowns, d = log(head's time a sample / base's), one of each pair.

Degenerate samples (no spread at all) have an answer too, where scipy has a warning.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

from reports.statistics import Interval

LEAST_FOR_LAG = 3
MOST_FLIPPED = 40
EQUAL = 1e-12  # sums of the same numbers in another order differ by less, in shares of the sum of their magnitudes


def interval(slowdowns: Sequence[float], confidence: float) -> Interval:
    """Return the mean's one-sided bounds of `confidence` each, by Student's t. One pair alone bounds nothing.

    Raises ValueError for no pair.
    """
    from scipy.special import stdtrit

    if not slowdowns:
        raise ValueError("no pair to judge by")
    mean = statistics.fmean(slowdowns)
    if len(slowdowns) == 1:
        return Interval(-math.inf, math.inf)
    half = float(stdtrit(len(slowdowns) - 1, confidence)) * _deviation(slowdowns, mean) / math.sqrt(len(slowdowns))
    return Interval(mean - half, mean + half)


def _deviation(values: Sequence[float], mean: float) -> float:
    """Return the standard deviation of a sample whose mean is known; statistics.stdev is exact, and a hundred times as slow."""
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def as_ratio(slowdown: float) -> float:
    """Return a log ratio of times as a ratio minus 1, cut where floats end: 0.03 is 3 % slower."""
    return math.expm1(min(slowdown, 700.0))


def t_test(slowdowns: Sequence[float]) -> float:
    """Return the one-sided p value of the paired t test that head is slower. Raises ValueError for fewer than two pairs."""
    from scipy.stats import ttest_1samp

    if len(slowdowns) < 2:
        raise ValueError("a t test needs two pairs")
    if len(set(slowdowns)) == 1:
        return 0.0 if slowdowns[0] > 0 else 1.0
    return float(ttest_1samp(slowdowns, 0.0, alternative="greater").pvalue)


def sign_flip_test(slowdowns: Sequence[float]) -> float:
    """Return the one-sided p value of the exact sign-flip test of the mean: every d could as well have had the other sign.

    Assumes symmetry only, which taking turns in random order gives, so it checks the t test. All patterns are counted, by the sorted sums
    of each half. Raises ValueError for more than 40 pairs.
    """
    import numpy as np

    if len(slowdowns) > MOST_FLIPPED:
        raise ValueError(f"{len(slowdowns)} pairs: enumerating 2**{len(slowdowns)} signs takes too long")
    if len(slowdowns) < 2:
        return 0.5 if slowdowns and slowdowns[0] > 0 else 1.0
    half = len(slowdowns) // 2
    one, other = _signed_sums(slowdowns[:half]), np.sort(_signed_sums(slowdowns[half:]))
    least = math.fsum(slowdowns) - EQUAL * math.fsum(map(abs, slowdowns))
    reached = len(other) - np.searchsorted(other, least - one)
    return float(reached.sum()) / 2.0 ** len(slowdowns)


def _signed_sums(values: Sequence[float]) -> Any:
    """Return the sum for every pattern of signs, shape (2**values,)."""
    import numpy as np

    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def lag_1(*phases: Sequence[float]) -> float:
    """Return the correlation of each pair's slowdown with the next one's, in the order measured; 0 where there is no spread.

    Each phase has a mean of its own: a screen that looked suspect and a confirmation that does not are no drift.
    """
    judged = [phase for phase in phases if len(phase) >= LEAST_FOR_LAG]
    return sum(len(phase) * _lag_1(phase) for phase in judged) / sum(map(len, judged)) if judged else 0.0


def lag_1_test(*phases: Sequence[float]) -> float:
    """Return the one-sided p value that neighbours in time are alike, by the normal approximation; 1 where no phase has three pairs.

    Source: Moran, "Some theorems on time series II" (1948), the mean and variance without serial correlation; phases by Stouffer's
    method, weighted by their pairs.
    """
    from scipy.special import ndtr

    judged = [phase for phase in phases if len(phase) >= LEAST_FOR_LAG]
    if not judged:
        return 1.0
    scores = [(_lag_1(phase) + 1 / len(phase)) * len(phase) * math.sqrt(len(phase) - 1) / (len(phase) - 2) for phase in judged]
    combined = sum(math.sqrt(len(phase)) * score for phase, score in zip(judged, scores, strict=True))
    return float(ndtr(-combined / math.sqrt(sum(map(len, judged)))))


def _lag_1(slowdowns: Sequence[float]) -> float:
    mean = statistics.fmean(slowdowns)
    centred = [each - mean for each in slowdowns]
    square = math.fsum(each * each for each in centred)
    return math.fsum(one * next_ for one, next_ in itertools.pairwise(centred)) / square if square else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in the order given: compared with alpha they keep the rate of any false alarm below it.

    Source: Holm, "A simple sequentially rejective multiple test procedure" (1979).
    """
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
