"""What other tools would say of the same rounds: each rule calls head slower, or does not. Pure.

All see the rounds of a gate's four to six screening pairs, pooled: as many processes a side, more than most of their users take.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from pytest_benchmark.utils import parse_compare_fail

from benchmarks.gate_quality.record import Gate

Rounds = np.ndarray
Rule = Callable[[Rounds, Rounds], bool]

ASV_FACTOR, ASV_P = 1.1, 0.002
PYPERF_P = 0.05
MANN_WHITNEY_P = 0.05


def pytest_benchmark(threshold: str) -> Rule:
    """`--benchmark-compare-fail` with this threshold, by pytest-benchmark's own code."""
    check = parse_compare_fail(threshold)

    def is_slower(base: Rounds, head: Rounds) -> bool:
        now, then = ({"min": rounds.min(), "mean": rounds.mean()} for rounds in (head, base))
        return bool(check.fails(now, then))

    return is_slower


def mann_whitney(base: Rounds, head: Rounds) -> bool:
    """Mann and Whitney's two-sided test at 5 %, and head's median the larger one."""
    return _mann_whitney_p(base, head) < MANN_WHITNEY_P and bool(np.median(head) > np.median(base))


def asv(base: Rounds, head: Rounds) -> bool:
    """`asv compare` as it is by default: medians differ by a factor of 1.1, and Mann and Whitney's test at 0.2 %.

    Source: asv, `_is_result_better` in asv/commands/compare.py and `is_different` in asv_runner/statistics.py.
    """
    return bool(np.median(base) < np.median(head) / ASV_FACTOR) and _mann_whitney_p(base, head) < ASV_P


def pyperf(base: Rounds, head: Rounds) -> bool:
    """`pyperf compare_to`: Student's two-sided t test on all values, equal variances, at 5 %, and head's mean the larger one.

    Source: pyperf, `is_significant` in pyperf/_utils.py.
    """
    from scipy.stats import ttest_ind

    return float(ttest_ind(base, head).pvalue) < PYPERF_P and bool(head.mean() > base.mean())


RULES: Mapping[str, Rule] = {
    "pytest-benchmark `mean:5%`": pytest_benchmark("mean:5%"),
    "pytest-benchmark `min:5%`": pytest_benchmark("min:5%"),
    "Mann-Whitney, p < 0.05": mann_whitney,
    "asv compare": asv,
    "pyperf compare_to": pyperf,
}


def called_in_turns(rule: Rule, gates: Sequence[Gate]) -> int:
    """Return in how many gates the rule calls head slower; both sides took turns, as recorded."""
    return sum(rule(base_rounds(gate), head_rounds(gate)) for gate in gates)


def called_apart(rule: Rule, gates: Sequence[Gate]) -> int:
    """Return the same where base's processes ran in one gate and head's in the next, as in runs on separate occasions."""
    return sum(rule(base_rounds(earlier), head_rounds(later)) for earlier, later in apart(gates))


def apart(gates: Sequence[Gate]) -> list[tuple[Gate, Gate]]:
    """Return each gate with the one after it, the last with the first; nothing where there is only one."""
    return list(zip(gates, [*gates[1:], gates[0]], strict=True)) if len(gates) > 1 else []


def base_rounds(gate: Gate) -> Rounds:
    """Return base's rounds in all screening pairs, in seconds."""
    return np.concatenate([pair.base_rounds_s for pair in gate.screen])


def head_rounds(gate: Gate) -> Rounds:
    """Return head's, likewise."""
    return np.concatenate([pair.head_rounds_s for pair in gate.screen])


def _mann_whitney_p(base: Rounds, head: Rounds) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(base, head).pvalue)
