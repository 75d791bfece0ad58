"""Other tools' rules: at their limits, against hand-computed values, and on simulated hosts."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.gate_quality.other_rules import RULES, apart, asv, called_apart, called_in_turns, mann_whitney, pyperf, pytest_benchmark
from reports.gate.decision import Verdict
from tests.gate_quality.recorded_gates import drawn_gate, gate


def test_pytest_benchmark_compares_one_figure() -> None:
    """5 % is a limit to be exceeded; another round counts for the mean and not for the minimum."""
    base = np.array([1.0, 1.0, 1.0])
    assert not pytest_benchmark("mean:5%")(base, np.array([1.05, 1.0499, 1.05]))
    assert pytest_benchmark("mean:5%")(base, np.array([1.0, 1.0, 1.2]))
    assert not pytest_benchmark("min:5%")(base, np.array([1.0, 1.5, 1.5]))
    assert pytest_benchmark("min:5%")(base, np.array([1.06, 1.5, 1.5]))


def test_asv_needs_a_factor_and_a_difference() -> None:
    base = np.linspace(1.0, 1.01, 30)
    assert asv(base, 1.11 * base)
    assert not asv(base, 1.09 * base)
    assert not asv(base, base / 1.2)
    assert not asv(base[:2], 1.2 * base[:2])  # two against two differ by chance once in three


def test_pyperf_is_students_pooled_t_test() -> None:
    """By pyperf's formula: pooled variance, 2 n - 2 degrees of freedom, and 1.984 as the critical value for 118 of them."""
    generator = np.random.default_rng(5)
    for _ in range(50):
        base, head = generator.normal(1.0, 0.05, 60), generator.normal(1.02, 0.05, 60)
        score = (head.mean() - base.mean()) / math.sqrt((base.var(ddof=1) + head.var(ddof=1)) / 60)
        if abs(score - 1.984) > 0.01:  # pyperf's table is coarse
            assert (score >= 1.984) == pyperf(base, head)


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_faster_head_is_never_called(rule: object) -> None:
    base = np.linspace(1.0, 1.01, 60)
    assert callable(rule)
    assert not rule(base, 0.8 * base)
    assert rule(base, 1.25 * base)


def test_pooled_rounds_of_unequal_processes_raise_false_alarms() -> None:
    """Processes of one code that differ by 2 %: tests on rounds take them for changes, the gate does not."""
    generator = random.Random(6)
    gates = [drawn_gate(generator, "same", 0.0, 0.02) for _ in range(60)]

    assert called_in_turns(mann_whitney, gates) >= 6
    assert called_in_turns(pyperf, gates) >= 6
    assert sum(each.verdict == Verdict.REGRESSION for each in gates) <= 1


def test_sides_of_separate_occasions_are_of_neighbouring_gates() -> None:
    gates = [gate(), replace(gate(), began="later"), replace(gate(), began="last")]

    assert [(gates[0], gates[1]), (gates[1], gates[2]), (gates[2], gates[0])] == apart(gates)
    assert [] == apart(gates[:1])


def test_host_that_drifts_fools_rules_on_separate_occasions() -> None:
    """Every second gate on a host 10 % slower: in turns both sides meet it, apart one of them does."""
    calm = drawn_gate(random.Random(7), "same", 0.0, 0.003)
    slow = replace(
        calm,
        pairs=tuple(
            replace(
                pair, base_rounds_s=tuple(1.1 * s for s in pair.base_rounds_s), head_rounds_s=tuple(1.1 * s for s in pair.head_rounds_s)
            )
            for pair in calm.pairs
        ),
    )
    rule = RULES["pytest-benchmark `mean:5%`"]

    assert 0 == called_in_turns(rule, [calm, slow] * 5)
    assert 5 == called_apart(rule, [calm, slow] * 5)
