"""The gate's statistics: pure functions of slowdowns, d = log(head's time a sample / base's), one of each pair.

The tests are scipy's. Degenerate samples (no spread at all) have an answer too, where scipy has a warning.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of d and its bounds."""

    low: float
    mean: float
    high: float


def interval(slowdowns: Sequence[float], confidence: float) -> Interval:
    """Return the mean with one-sided bounds of `confidence` each, by Student's t. One pair alone bounds nothing.

    Raises ValueError for no pair.
    """
    from scipy.special import stdtrit

    if not slowdowns:
        raise ValueError("no pair to judge by")
    mean = statistics.fmean(slowdowns)
    if len(slowdowns) == 1:
        return Interval(-math.inf, mean, math.inf)
    half = float(stdtrit(len(slowdowns) - 1, confidence)) * statistics.stdev(slowdowns) / math.sqrt(len(slowdowns))
    return Interval(mean - half, mean, mean + half)


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

    Assumes symmetry only, which taking turns in random order gives, so it checks the t test. At most 20 pairs.
    """
    import numpy as np
    from scipy.stats import permutation_test

    def mean(values: Any, axis: int) -> Any:
        return np.mean(values, axis=axis)

    if len(slowdowns) > 20:
        raise ValueError(f"{len(slowdowns)} pairs: enumerating 2**{len(slowdowns)} signs takes too long")
    if len(slowdowns) < 2:
        return 0.5 if slowdowns and slowdowns[0] > 0 else 1.0
    flips = 2 ** len(slowdowns) + 1  # more than there are: all of them, once each
    tested = permutation_test(
        (np.asarray(slowdowns),), mean, permutation_type="samples", alternative="greater", n_resamples=flips, vectorized=True
    )
    return float(tested.pvalue)


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
