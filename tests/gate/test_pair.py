"""What a pair says about head."""

import math

import pytest

from tests.gate.pairs import pair


def test_slowdown_is_the_log_ratio_of_medians() -> None:
    """A turn that met an interrupt counts no more than any other."""
    found = pair(base_rounds_s=(0.010, 0.010, 0.010), head_rounds_s=(0.011, 0.011, 5.0))

    assert found.slowdown == pytest.approx(math.log(1.1))


def test_slowdown_is_by_sample() -> None:
    """A head that computes twice as much in a turn may take twice as long."""
    found = pair(base_rounds_s=(0.010,), head_rounds_s=(0.020,), base_samples=8, head_samples=16)

    assert found.slowdown == pytest.approx(0)
