"""Drawn gates: the gate's decision code on pairs drawn anew."""

import random
from collections import Counter

import pytest

from benchmarks.gate_quality.analysis import Rate
from benchmarks.gate_quality.resampling import draw_gates
from reports.gate.decision import Verdict


def pool(effect: float, deviation: float, seed: int = 1, pairs: int = 2000) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(effect, deviation) for _ in range(pairs)]


def test_same_pools_give_the_same_counts() -> None:
    assert draw_gates([pool(0.0, 0.02)], gates=50) == draw_gates([pool(0.0, 0.02)], gates=50)


def test_gate_is_as_bad_as_its_worst_benchmark() -> None:
    unchanged, slower, whole = draw_gates([[0.0, 0.001], [0.05, 0.051]], gates=20)

    assert {Verdict.PASS: 20} == unchanged
    assert slower == whole
    assert slower[Verdict.REGRESSION] >= 16  # in a few gates pairs of only two values follow each other as if they drifted
    assert slower[Verdict.PASS] == 0


@pytest.mark.slow
@pytest.mark.parametrize("deviation", [0.012, 0.05])
def test_no_change_raises_few_alarms(deviation: float) -> None:
    """At most 1 % of gates of a dozen benchmarks, however noisy; checked by the exact lower bound of what was drawn."""
    *_, whole = draw_gates([pool(0.0, deviation)] * 12, gates=100)
    assert Rate(whole[Verdict.REGRESSION], 100).low <= 0.01


@pytest.mark.slow
def test_power_agrees_with_pairs_from_a_normal_distribution() -> None:
    """3 % at a spread of 1.3 %: 96.9 % of 20,000 gates of one benchmark, simulated with numpy and scipy apart from this code."""
    _, whole = draw_gates([pool(0.02956, 0.013, pairs=50_000)], gates=1000)
    found = Rate(whole[Verdict.REGRESSION], 1000)

    assert found.low - 0.01 <= 0.969 <= found.high + 0.01
    assert Counter(whole)[Verdict.PASS] <= 35
