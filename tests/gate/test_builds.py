"""How far builds of equal code differ, and the test over them, by hand and by simulation."""

import numpy as np
import pytest
from scipy import stats

from reports.gate.builds import over_builds

BASE = [place % 4 for place in range(11)]
HEAD = [(place + place // 4) % 4 for place in range(11)]


def seen(slowdown: float, base: list[float], head: list[float], noise: list[float]) -> list[float]:
    """Return slowdowns of pairs whose builds differ by logarithms `base` and `head`."""
    return [slowdown + head[j] - base[i] + each for i, j, each in zip(BASE, HEAD, noise, strict=True)]


def test_spread_is_that_of_the_builds_by_hand() -> None:
    """Four builds of base at -1, 1, -1, 1 %, head's all equal: squares 4 (1 %)^2 over 6 degrees of freedom."""
    found = over_builds(seen(0.05, [-0.01, 0.01] * 2, [0.0] * 4, [0.0] * 11), BASE, HEAD, [0.02] * 6)
    assert (4 / 6) ** 0.5 * 0.01 == pytest.approx(float(found.spread))


def test_builds_alone_leave_about_students_t_of_their_degrees_of_freedom() -> None:
    """Without noise four builds of each side are all that is known: 2 times 3 degrees of freedom, half the variance in the mean.

    Never below it, and at most three times.
    """
    base, head = [0.01, -0.01, 0.02, -0.02], [0.005, -0.005, 0.015, -0.015]
    variance = sum(each**2 for each in base + head) / 6
    found = over_builds(seen(0.05, base, head, [0.0] * 11), BASE, HEAD, [-0.02] * 6)

    assert 1 <= float(found.p_value) / stats.t.sf(0.05 / (variance / 2) ** 0.5, 6) <= 3


def test_equal_builds_leave_students_t_of_the_pairs() -> None:
    """Noise that no build explains: at least its own p value, and where builds are surely equal little more."""
    noise = np.random.default_rng(1).normal(0.0, 0.01, 11).tolist()
    found = over_builds(seen(0.012, [0.0] * 4, [0.0] * 4, noise), BASE, HEAD, np.random.default_rng(2).normal(0.0, 0.01, 6))
    plain = stats.ttest_1samp([0.012 + each for each in noise], 0.0, alternative="greater").pvalue

    assert 0.3 * plain < float(found.p_value) < 0.05


@pytest.mark.parametrize("of_builds", [0.0, 0.002, 0.005, 0.02])
def test_p_values_hold_their_level_at_any_spread_of_builds(of_builds: float) -> None:
    """20,000 samples without a slowdown: at most as many below a level as it says (and three standard errors)."""
    generator = np.random.default_rng(3)
    base, head = (generator.normal(0.0, of_builds, (20_000, 4)) for _ in range(2))
    slowdowns = head[:, HEAD] - base[:, BASE] + generator.normal(0.0, 0.01, (20_000, 11))
    control = base[:, 1:2] - base[:, :1] + generator.normal(0.0, 0.01, (20_000, 6))
    p_values = over_builds(slowdowns, BASE, HEAD, control).p_value

    for level in (0.05, 0.008, 0.001):
        assert (p_values <= level).mean() <= level + 3 * (level / 20_000) ** 0.5


def test_control_counts_for_base_alone() -> None:
    """Its second build is slower than its first by more than the pairs show."""
    noise = np.random.default_rng(1).normal(0.0, 0.01, 11).tolist()
    pairs = seen(0.03, [0.0] * 4, [0.0] * 4, noise)
    steady, far = (over_builds(pairs, BASE, HEAD, [by, by + 0.001] * 3) for by in (0.0, 0.08))
    assert far.p_value > steady.p_value
    assert far.spread > steady.spread


def test_builds_that_explain_all_leave_nothing() -> None:
    """Head's builds lie 5 % above base's on average, and builds of each side as far from one another."""
    base, head = [-0.05, 0.05, 0.05, -0.05], [0.0, 0.1, 0.1, 0.0]
    assert over_builds(seen(0.0, base, head, [0.0] * 11), BASE, HEAD, [0.1] * 6).p_value > 0.05


def test_what_was_not_sampled_is_refused() -> None:
    with pytest.raises(ValueError, match="every pair has the same builds"):
        over_builds([0.01, 0.02], [0, 0], [1, 1], [])
    with pytest.raises(ValueError, match="2 pairs of 1 builds of base and 2 of head"):
        over_builds([0.01, 0.02], [0], [1, 1], [])


def test_too_few_pairs_for_so_many_builds_tell_nothing() -> None:
    assert 1.0 == over_builds([0.5, 0.6, 0.7], [0, 1, 2], [0, 1, 2], []).p_value


def test_a_control_of_builds_that_serve_in_no_pair_tells_nothing() -> None:
    """As those of builds that a gate's cache has lost: the pairs are of others, which differ by 0, and not by 10 %."""
    noise = np.random.default_rng(1).normal(0.0, 0.01, 11).tolist()
    pairs = seen(0.05, [0.0] * 4, [0.0] * 4, noise)
    later = [place + 8 for place in BASE]
    alone = over_builds(pairs, BASE, HEAD, [])
    lost, own = (over_builds(pairs, later, HEAD, [0.1] * 6, [builds] * 6) for builds in ((0, 1), (8, 9)))

    assert (float(alone.p_value), float(alone.spread)) == pytest.approx((float(lost.p_value), float(lost.spread)))
    assert own.spread > 2 * lost.spread
    assert float(over_builds(pairs, BASE, HEAD, [0.1] * 6).p_value) == pytest.approx(float(own.p_value))
