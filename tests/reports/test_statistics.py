"""Gains and intervals: hand-computed values, scipy as a second opinion, and coverage by simulation."""

import math
import random

import pytest
from scipy import stats

from reports.saved.record import Gain
from reports.statistics import Percentiles, latency_percentiles, paired_gain, unpaired_ratio, verdict
from tests.reports.saved_runs import bounds


def test_gain_is_the_geometric_mean_over_pairs() -> None:
    """Ratios of 2 and 8 average to 4, whatever each process's own speed is."""
    gain = paired_gain([1.0, 0.5], [2.0, 4.0])

    assert 4.0 == pytest.approx(gain.ratio)


def test_interval_is_student_t_on_log_ratios() -> None:
    """Log ratios 0.1, 0.2, 0.3: mean 0.2, standard error 0.1 / sqrt(3), t(2) at 97.5 % = 4.302653."""
    gain = paired_gain([1.0, 1.0, 1.0], [math.exp(x) for x in (0.1, 0.2, 0.3)])

    half = 4.302653 * 0.1 / math.sqrt(3)
    assert (math.exp(0.2 - half), math.exp(0.2 + half)) == pytest.approx(bounds(gain), rel=1e-6)


def test_interval_agrees_with_scipy() -> None:
    noise = random.Random(1)
    own, over = [noise.uniform(0.9, 1.1) for _ in range(6)], [noise.uniform(1.0, 1.2) for _ in range(6)]

    gain = paired_gain(own, over)

    differences = [math.log(b / a) for a, b in zip(own, over, strict=True)]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (expected.low, expected.high) == pytest.approx([math.log(end) for end in bounds(gain)])


def test_unpaired_interval_agrees_with_scipys_welch() -> None:
    noise = random.Random(2)
    head, base = [noise.uniform(90, 110) for _ in range(3)], [noise.uniform(80, 120) for _ in range(7)]

    ratio = unpaired_ratio((head,), (base,))

    welch = stats.ttest_ind([math.log(x) for x in head], [math.log(x) for x in base], equal_var=False).confidence_interval(0.95)
    assert (welch.low, welch.high) == pytest.approx([math.log(end) for end in bounds(ratio)])


def test_ratio_of_speedups_divides_each_side_by_its_own_baseline() -> None:
    """Head runs 4x its baseline, base 3x its own: the ratio is 4/3 although head's machine is ten times as fast."""
    ratio = unpaired_ratio(([400.0, 400.0], [10.0, 10.0]), ([30.0, 30.0], [100.0, 100.0]))

    assert 4 / 3 == pytest.approx(ratio.ratio)


def test_one_pair_has_no_interval() -> None:
    assert Gain(ratio=2.0, low=None, high=None, verdict="not resolved (one pair)") == paired_gain([1.0], [2.0])


def test_one_process_a_side_has_no_interval() -> None:
    ratio = unpaired_ratio(([2.0, 2.1],), ([1.0],))

    assert (None, None, "not resolved (one process)") == (ratio.low, ratio.high, ratio.verdict)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.03, 1.20, "faster"),
        (0.80, 0.97, "slower"),
        (0.99, 1.01, "no measurable effect"),
        (1.005, 1.015, "no measurable effect"),
        (0.95, 1.05, "not resolved (±5.1 %)"),
        (1.0, 1.05, "not resolved (±2.5 %)"),
        (0.0, 1e300, "not resolved (±1000 % or more)"),
    ],
)
def test_verdict_follows_from_the_interval(low: float, high: float, expected: str) -> None:
    """An interval within 2 % of 1 is "no measurable effect", even if it leaves out 1."""
    assert expected == verdict(low, high)


@pytest.mark.parametrize(
    ("own", "over"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([math.nan], [1.0]), ([1.0], [math.inf]), ([-1.0], [1.0])]
)
def test_medians_that_are_no_durations_are_refused(own: list[float], over: list[float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        paired_gain(own, over)


def test_extreme_medians_give_finite_gains() -> None:
    gain = paired_gain([1e-18, 1e18], [1e18, 1e-18])

    assert all(math.isfinite(value) for value in (gain.ratio, *bounds(gain)))


def test_percentiles_are_those_of_numpy() -> None:
    """Of 1 to 100: 50.5, 90.1, 99.01 (linear interpolation, Hyndman and Fan's type 7)."""
    found = latency_percentiles([float(x) for x in range(100, 0, -1)])

    assert (50.5, 90.1, 99.01) == pytest.approx((found.p50_s, found.p90_s, found.p99_s))
    assert Percentiles(3.0, 3.0, 3.0) == latency_percentiles([3.0])


@pytest.mark.parametrize("pairs", [2, 3, 6, 11])
def test_paired_interval_covers_the_true_gain_in_95_of_100_cases(pairs: int) -> None:
    """Log-normal noise common to a pair cancels; of 2,000 intervals 95 % hold the truth (limits: five standard errors)."""
    noise = random.Random(pairs)
    covered = 0
    for _ in range(2000):
        common = [noise.gauss(0, 0.07) for _ in range(pairs)]
        own = [0.1 * math.exp(c + noise.gauss(0, 0.01)) for c in common]
        over = [0.13 * math.exp(c + noise.gauss(0, 0.01)) for c in common]
        low, high = bounds(paired_gain(own, over))
        covered += low <= 1.3 <= high

    assert 0.95 == pytest.approx(covered / 2000, abs=5 * math.sqrt(0.95 * 0.05 / 2000))


def test_unpaired_interval_covers_although_the_sides_differ_in_noise() -> None:
    noise = random.Random(3)
    covered = 0
    for _ in range(2000):
        head = [110 * math.exp(noise.gauss(0, 0.068)) for _ in range(3)]
        base = [100 * math.exp(noise.gauss(0, 0.03)) for _ in range(9)]
        low, high = bounds(unpaired_ratio((head,), (base,)))
        covered += low <= 1.1 <= high

    assert 0.95 == pytest.approx(covered / 2000, abs=0.03)


def test_three_processes_a_side_at_usual_noise_resolve_about_18_percent() -> None:
    """What `compare` tells its users: the median half width at 6.8 % spread."""
    noise = random.Random(4)
    halves = []
    for _ in range(500):
        head, base = ([math.exp(noise.gauss(0, 0.068)) for _ in range(3)] for _ in range(2))
        low, high = bounds(unpaired_ratio((head,), (base,)))
        halves.append(math.sqrt(high / low) - 1)

    assert 0.18 == pytest.approx(sorted(halves)[250], abs=0.03)
