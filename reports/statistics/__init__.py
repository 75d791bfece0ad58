"""Gains, ratios and percentiles with honest intervals: pure functions of numbers.

The unit of all of them is the median of one fresh process, never a single round: rounds of a process share its memory
layout and its placement, so they are not independent (Kalibera & Jones, "Rigorous benchmarking in reasonable time", 2013).
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.saved.record import Gain

NEGLIGIBLE = 0.02
CONFIDENCE = 0.95

FASTER = "faster"
SLOWER = "slower"
NO_EFFECT = "no measurable effect"
DISTURBED = "disturbed"
ONE_PAIR = "not resolved (one pair)"
ONE_PROCESS = "not resolved (one process)"


class Interval(NamedTuple):
    """The bounds of a figure."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Percentiles:
    p50_s: float
    p90_s: float
    p99_s: float


def paired_gain(own_s: Sequence[float], over_s: Sequence[float]) -> Gain:
    """Return own SPS / predecessor's SPS from the seconds a sample of processes that took turns: item i of both sequences is pair i.

    The ratio is the geometric mean over the pairs, the interval Student's t on their log ratios.
    Raises ValueError for no pair, sequences of different length, or a time that is not a positive number.
    """
    if not own_s or len(own_s) != len(over_s):
        raise ValueError(f"expected as many times on both sides, at least one; found {len(own_s)} and {len(over_s)}")
    logs = [over - own for own, over in zip(_logarithms(own_s), _logarithms(over_s), strict=True)]
    if len(logs) == 1:
        return Gain(ratio=bounded_exp(logs[0]), low=None, high=None, verdict=ONE_PAIR)
    mean, variance = _moments(logs)
    return _gain(mean, math.sqrt(variance / len(logs)), len(logs) - 1, CONFIDENCE)


def unpaired_ratio(
    numerators: Sequence[Sequence[float]], denominators: Sequence[Sequence[float]], *, confidence: float = CONFIDENCE
) -> Gain:
    """Return a ratio of throughputs from processes that ran at different times: one throughput a process, one sequence a group.

    `((head,), (base,))` is head / base; `((head, base_baseline), (base, head_baseline))` the ratio of two speedups. The ratio is that
    of the groups' geometric means, the interval Welch's t on the logarithms (degrees of freedom by Welch and Satterthwaite);
    without interval where a group has one process only. Raises ValueError for an empty group or a throughput that is not positive.
    """
    groups = [(1.0, _logarithms(group)) for group in numerators] + [(-1.0, _logarithms(group)) for group in denominators]
    if not all(logs for _, logs in groups):
        raise ValueError("expected at least one process in every group")
    moments = [(sign, len(logs), *_moments(logs)) for sign, logs in groups]
    mean = sum(sign * group_mean for sign, _, group_mean, _ in moments)
    if any(count == 1 for _, count, _, _ in moments):
        return Gain(ratio=bounded_exp(mean), low=None, high=None, verdict=ONE_PROCESS)
    squares = [(count, variance / count) for _, count, _, variance in moments]
    square = math.fsum(part for _, part in squares)
    freedom: float = sum(count - 1 for count, _ in squares)
    if square > 0:
        freedom = 1 / math.fsum((part / square) ** 2 / (count - 1) for count, part in squares)
    return _gain(mean, math.sqrt(square), freedom, confidence)


def geometric_mean_gain(gains: Sequence[tuple[float, Sequence[float]]]) -> Gain:
    """Return the geometric mean of several benchmarks' gains, each given as its ratio and the ratios of its single pairs.

    The interval is that of this mean over these very benchmarks: how far it would move if they were measured again. It is Student's t on
    the variance of pairs, pooled over the benchmarks that have several. Raises ValueError for no gain, or one that is not positive.
    """
    if not gains:
        raise ValueError("no gain to take the mean of")
    mean = math.fsum(_logarithms([ratio for ratio, _ in gains])) / len(gains)
    pairs = [_logarithms(ratios) for _, ratios in gains]
    freedom = sum(len(logs) - 1 for logs in pairs if logs)
    if freedom == 0 or not all(pairs):
        return Gain(ratio=bounded_exp(mean), low=None, high=None, verdict=ONE_PAIR)
    pooled = math.fsum(_moments(logs)[1] * (len(logs) - 1) for logs in pairs) / freedom
    error = math.sqrt(pooled * math.fsum(1 / len(logs) for logs in pairs)) / len(pairs)
    return _gain(mean, error, freedom, CONFIDENCE)


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the interval of the geometric mean of positive values. Raises ValueError below two."""
    return _interval(values, 0)


def process_interval(values: Sequence[float]) -> Interval:
    """Return where one more value of the same kind will lie (a prediction interval on the logarithms), as wide as n values make it.

    For throughputs of fresh processes it says where another fresh process is expected. Raises ValueError below two.
    """
    return _interval(values, 1)


def latency_percentiles(latencies_s: Sequence[float]) -> Percentiles:
    """Return the p50, p90 and p99 of latencies, by linear interpolation as numpy's default does it. Raises ValueError for none."""
    if not latencies_s:
        raise ValueError("no latency to take a percentile of")
    ordered = sorted(latencies_s)
    return Percentiles(*(_quantile(ordered, share) for share in (0.5, 0.9, 0.99)))


def verdict(low: float, high: float) -> str:
    """Say in words what an interval of a ratio of throughputs shows."""
    if low >= 1 - NEGLIGIBLE and high <= 1 + NEGLIGIBLE:
        return NO_EFFECT
    if low > 1:
        return FASTER
    if high < 1:
        return SLOWER
    percent = 100 * (math.sqrt(high / low) - 1) if low > 0 else math.inf
    return f"not resolved (±{percent:.1f} %)" if percent < 1000 else "not resolved (±1000 % or more)"


def _interval(values: Sequence[float], further: int) -> Interval:
    """Return the interval of the mean of positive values, or of one further value."""
    logs = _logarithms(values)
    if len(logs) < 2:
        raise ValueError("expected at least two values to tell the spread from")
    mean, variance = _moments(logs)
    half = t_quantile(CONFIDENCE, len(logs) - 1) * math.sqrt(variance / len(logs) + further * variance)
    return Interval(bounded_exp(mean - half), bounded_exp(mean + half))


def _gain(mean: float, error: float, freedom: float, confidence: float) -> Gain:
    half = t_quantile(confidence, freedom) * error
    ratio, low, high = bounded_exp(mean), bounded_exp(mean - half), bounded_exp(mean + half)
    return Gain(ratio=ratio, low=low, high=high, verdict=verdict(low, high))


@functools.lru_cache(maxsize=1024)
def t_quantile(confidence: float, freedom: float) -> float:
    """Return the half width of an interval of Student's t, in standard errors."""
    from scipy.special import stdtrit  # half the import time of scipy.stats, and the same value as its t.ppf

    return float(stdtrit(freedom, 0.5 + confidence / 2))


def _moments(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    return mean, math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _logarithms(values: Sequence[float]) -> list[float]:
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"expected a positive finite number, found {value!r}")
    return [math.log(value) for value in values]


def bounded_exp(value: float) -> float:
    """Return e**value; beyond the largest float, the largest rather than an OverflowError."""
    return math.exp(min(value, 700.0))


def _quantile(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
