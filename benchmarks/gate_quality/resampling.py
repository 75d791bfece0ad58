"""Many more gates than can be held: recorded pairs drawn anew, judged by the gate's own decision code. Pure.

Drawn gates are as good as the recorded pairs: what never happened in those does not happen in these.
"""

import random
from collections import Counter
from collections.abc import Sequence

from reports.gate.decision import Rules, Sample, Verdict, is_suspect, judge, overall

SEED = 20261120


def draw_gates(pools: Sequence[Sequence[float]], gates: int, rules: Rules | None = None) -> list[Counter[Verdict]]:
    """Return how often each benchmark came out how in `gates` gates, and at the end how often the whole gates did.

    Each benchmark draws its pairs, with replacement, from its own pool of slowdowns. The same pools give the same counts.
    """
    rules, generator = rules or Rules(), random.Random(SEED)  # noqa: S311 - a simulation
    counts: list[Counter[Verdict]] = [Counter() for _ in range(len(pools) + 1)]
    for _ in range(gates):
        verdicts = [judged.verdict for judged in judge([_draw(pool, rules, generator) for pool in pools], rules)]
        for count, verdict in zip(counts, [*verdicts, overall(verdicts)], strict=True):
            count[verdict] += 1
    return counts


def _draw(pool: Sequence[float], rules: Rules, generator: random.Random) -> Sample:
    sample = Sample(screen=tuple(generator.choices(pool, k=rules.screen_pairs)))
    if not is_suspect(sample, rules):
        return sample
    return Sample(screen=sample.screen, confirm=tuple(generator.choices(pool, k=rules.confirm_pairs)))
