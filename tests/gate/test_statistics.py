"""The gate's statistics against hand-computed and published values, and against scipy."""

import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from reports.gate.statistics import holm, interval, lag_1, lag_1_test, sign_flip_test, t_test

# Student's sleep data, drug 2 against drug 1: the mean difference is 1.58, t = 4.0621 at 9 degrees of freedom.
SLEEP = (1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4)


def test_t_test_gives_the_published_value() -> None:
    """Student (1908); R's t.test(paired = TRUE) gives p = 0.002833 two-sided."""
    assert t_test(SLEEP) == pytest.approx(0.002833 / 2, abs=1e-6)


def test_t_test_is_one_sided() -> None:
    """A head that is faster is no regression, however sure."""
    assert t_test([-d for d in SLEEP]) == pytest.approx(1 - t_test(SLEEP))


@pytest.mark.parametrize(("value", "expected"), [(0.01, 0.0), (0.0, 1.0), (-0.01, 1.0)])
def test_t_test_without_any_spread(value: float, expected: float) -> None:
    """Equal slowdowns have no standard error; the sign decides."""
    assert expected == t_test([value] * 6)


def test_interval_is_student_t() -> None:
    """One-sided 99 % bounds: mean -+ t(0.99, 9) * s / sqrt(10), t = 2.8214."""
    found = interval(SLEEP, 0.99)
    half = 2.8214 * statistics.stdev(SLEEP) / math.sqrt(10)

    assert (1.58 - half, 1.58 + half) == pytest.approx(found, rel=1e-4)
    assert stats.ttest_1samp(SLEEP, 0.0).confidence_interval(0.98) == pytest.approx(found)


def test_interval_of_one_pair_bounds_nothing() -> None:
    found = interval([0.5], 0.99)
    assert (-math.inf, math.inf) == found


def test_interval_of_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="no pair"):
        interval([], 0.99)


@pytest.mark.parametrize(
    ("slowdowns", "expected"),
    [
        ((1.0, 1.0, 1.0), 1 / 8),  # only the signs as they are reach the sum
        ((1.0, 2.0, -1.0), 3 / 8),  # sums of at least 2: 4 (+++), 2 (++- as observed), 2 (-++)
        ((-1.0, -1.0), 1.0),
        ((0.0, 0.0), 1.0),
    ],
)
def test_sign_flip_test_by_hand(slowdowns: tuple[float, ...], expected: float) -> None:
    """The share of all sign patterns whose mean is at least the observed one."""
    assert sign_flip_test(slowdowns) == pytest.approx(expected)


def test_sign_flip_test_enumerates_all_signs() -> None:
    """Eleven pairs have 2048 patterns: the smallest p value is 1/2048, and the result is exact."""
    generator = np.random.default_rng(1)
    slowdowns = generator.normal(0.004, 0.012, 11).tolist()
    sums = [sum(sign * d for sign, d in zip(signs, slowdowns, strict=True)) for signs in itertools.product((1, -1), repeat=11)]

    assert sign_flip_test(slowdowns) == pytest.approx(np.mean(np.array(sums) >= sum(slowdowns) - 1e-12))
    assert sign_flip_test([0.05 + i / 1000 for i in range(11)]) == pytest.approx(1 / 2048)


def test_sign_flip_test_refuses_what_takes_forever() -> None:
    with pytest.raises(ValueError, match="41 pairs"):
        sign_flip_test([0.1] * 41)


@pytest.mark.parametrize("count", [2, 3, 11, 14])
def test_sign_flip_test_is_scipys(count: int) -> None:
    slowdowns = np.random.default_rng(count).normal(0.3, 1.0, count)
    tested = stats.permutation_test(
        (slowdowns,), lambda values, axis: np.mean(values, axis=axis), permutation_type="samples", alternative="greater", n_resamples=2**15
    )
    assert tested.pvalue == pytest.approx(sign_flip_test(slowdowns.tolist()))


def test_sign_flip_test_of_three_looks_is_exact() -> None:
    """33 pairs of one size: at least 25 of them must be positive, as by the binomial distribution."""
    assert sign_flip_test([0.01] * 25 + [-0.01] * 8) == pytest.approx(stats.binom.sf(24, 33, 0.5))


def test_holm_gives_published_values() -> None:
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") is 0.03 0.06 0.06 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize(("given", "expected"), [([], []), ([0.2], [0.2]), ([0.6, 0.7], [1.0, 1.0])])
def test_holm_at_its_ends(given: list[float], expected: list[float]) -> None:
    """Nothing to adjust, one test unchanged, never above 1."""
    assert holm(given) == pytest.approx(expected)


def test_holm_is_never_below_bonferroni_of_the_smallest() -> None:
    """The smallest is multiplied by the number of tests, and the order is kept."""
    generator = np.random.default_rng(2)
    for _ in range(200):
        p_values = generator.uniform(0, 0.2, 7).tolist()
        adjusted = holm(p_values)
        assert min(adjusted) == pytest.approx(min(1.0, 7 * min(p_values)))
        assert sorted(range(7), key=p_values.__getitem__) == sorted(range(7), key=lambda i: (adjusted[i], p_values[i]))


def test_lag_1_by_hand() -> None:
    """Of 1, 2, 3, 4 the centred values are -1.5, -0.5, 0.5, 1.5: (0.75 - 0.25 + 0.75) / 5."""
    assert 0.25 == pytest.approx(lag_1([1, 2, 3, 4]))
    assert 0.0 == lag_1([2, 2, 2])
    assert lag_1([1, -1] * 4) < -0.8


def test_lag_1_test_holds_its_level() -> None:
    """By simulation without serial correlation; a drift is found."""
    generator = np.random.default_rng(8)
    found = sum(lag_1_test(list(generator.normal(size=17))) <= 0.01 for _ in range(4000))
    assert 0.002 <= found / 4000 <= 0.016
    assert lag_1_test([0.01 * place for place in range(17)]) < 0.001
    assert 1.0 == lag_1_test([0.1, 0.2])
