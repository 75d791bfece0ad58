"""What a pair says about head."""

import math

import pytest

from tests.gate.pairs import pair


def test_slowdown_is_the_median_of_neighbouring_turns() -> None:
    """A turn that met an interrupt counts no more than any other."""
    found = pair(base_rounds_s=(0.010, 0.010, 0.010), head_rounds_s=(0.011, 0.011, 5.0))

    assert found.slowdown == pytest.approx(math.log(1.1))


def test_what_slows_both_turns_of_a_round_cancels() -> None:
    """A neighbour that comes in the middle of a pair, and meets one side's middle turn only: medians would say twice as slow."""
    found = pair(base_rounds_s=(0.010, 0.010, 0.010, 0.020, 0.020), head_rounds_s=(0.010, 0.010, 0.020, 0.020, 0.020))

    assert found.slowdown == pytest.approx(0)


def test_slowdown_is_by_sample() -> None:
    """A head that computes twice as much in a turn may take twice as long."""
    found = pair(base_rounds_s=(0.010,), head_rounds_s=(0.020,), base_samples=8, head_samples=16)

    assert found.slowdown == pytest.approx(0)
