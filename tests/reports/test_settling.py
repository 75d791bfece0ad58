"""Rounds that a process took before it was warm."""

import random

import pytest

from reports.statistics.settling import settling_rounds, slowdown


def pair(rounds: int, *, slow: int = 0, by: float = 0.0, spread: float = 0.01, seed: int = 1) -> list[float]:
    """Return rounds of about a second, the first `slow` of them slower by the share `by`."""
    draw = random.Random(seed)
    return [(1 + by * (number < slow)) * draw.lognormvariate(0, spread) for number in range(rounds)]


@pytest.mark.parametrize(("pairs", "rounds"), [(2, 9), (3, 9), (1, 20), (5, 12)])
def test_rounds_that_were_not_warm_are_found(pairs: int, rounds: int) -> None:
    taken = [pair(rounds, slow=rounds // 3, by=0.08, seed=seed) for seed in range(pairs)]
    assert settling_rounds(taken) == rounds // 3
    assert slowdown(taken, rounds // 3) == pytest.approx(0.08, abs=0.02)


def test_few_rounds_and_small_differences_tell_nothing() -> None:
    assert settling_rounds([]) == 0
    assert settling_rounds([[3.0, 1.0]]) == 0
    assert settling_rounds([[2.0, 1.0, 1.0]]) == 0
    assert settling_rounds([pair(9, slow=3, by=0.2)]) == 0  # one order in 84 is as extreme
    assert settling_rounds([pair(30, slow=10, by=0.005, spread=0.0001, seed=seed) for seed in range(3)]) == 0


def test_rounds_that_get_slower_all_count() -> None:
    assert settling_rounds([pair(9, slow=3, by=-0.2, seed=seed) for seed in range(3)]) == 0


def test_steady_rounds_are_left_out_in_one_of_a_hundred() -> None:
    found = sum(settling_rounds([pair(9, spread=0.05, seed=3 * run + number) for number in range(3)]) > 0 for run in range(1000))
    assert 1 <= found <= 20
