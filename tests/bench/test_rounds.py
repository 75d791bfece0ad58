"""How many rounds a pair has, and how many iterations each side has in a turn."""

import pytest

from fixtures.bench.turns import LEAST_TIMED, iterations_beside, least_rounds


@pytest.mark.parametrize(
    ("slowest_s", "bursts", "expected"), [(0.05, False, 9), (1.0, False, 9), (1.1, False, 3), (3.1, False, 2), (0.05, True, 3)]
)
def test_short_iterations_have_many_rounds(slowest_s: float, bursts: bool, expected: int) -> None:
    assert expected == least_rounds(slowest_s, bursts=bursts, usual=9)


def test_a_fast_predecessor_beside_a_slow_step_is_timed_more_than_twice() -> None:
    """50 ms beside 5 s in two rounds: five iterations a turn, nine and more a pair; the slow side has one."""
    assert (5, 1) == (iterations_beside(0.05, 5.0, 2), iterations_beside(5.0, 5.0, 2))
    assert 2 * iterations_beside(0.05, 5.0, 2) >= LEAST_TIMED


def test_no_turn_is_longer_than_the_slow_sides() -> None:
    """Two sides of nearly the same speed have one iteration each, and in nine rounds both have."""
    assert 1 == iterations_beside(2.0, 3.5, 3)
    assert 1 == iterations_beside(0.05, 0.9, 9)
