"""What the recorded gates show: counts with exact bounds, for each kind and for each target. Pure."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.gate_quality.kinds import Kind
from benchmarks.gate_quality.record import Gate
from reports.gate.decision import Verdict
from reports.gate.pair import Pair
from reports.gate.statistics import as_ratio

CONFIDENCE = 0.95
SEED = 20261120
DRAWS = 200


@dataclass(frozen=True, slots=True)
class Rate:
    """Events among trials; `low` and `high` are one-sided 95 % bounds of the rate by Clopper and Pearson (1934)."""

    events: int
    trials: int

    @property
    def share(self) -> float:
        return self.events / self.trials if self.trials else math.nan

    @property
    def low(self) -> float:
        from scipy.stats import beta

        return float(beta.ppf(1 - CONFIDENCE, self.events, self.trials - self.events + 1)) if self.events else 0.0

    @property
    def high(self) -> float:
        from scipy.stats import beta

        return float(beta.ppf(CONFIDENCE, self.events + 1, self.trials - self.events)) if self.events < self.trials else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MedianAndLargest:
    """The median and the largest of some values; None where there are none."""

    median: float
    largest: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """All gates of one kind.

    `slowdown` is the median over gates of head's time against base's minus 1, `deviation` the standard deviation of d between the
    pairs of a gate, pooled over gates, and `within` what it would be if the rounds of a pair were all that varies. `by_screen` are gates
    that took no confirming pair. Durations in seconds: whole commands, and pairs. `others` is the share of the CPUs that other
    processes used while turns were taken, by pair.
    """

    kind: Kind
    verdicts: Mapping[str, int]
    faster: int
    by_screen: int
    slowdown: float | None
    deviation: float | None
    within: float | None
    gate_s: MedianAndLargest | None
    screened_gate_s: MedianAndLargest | None
    pair_s: MedianAndLargest | None
    others: MedianAndLargest | None

    @property
    def held(self) -> int:
        return sum(self.verdicts.values())

    def rate(self, verdict: Verdict) -> Rate:
        """Return how often gates of this kind ended so."""
        return Rate(self.verdicts.get(verdict, 0), self.held)


def summarize(kind: Kind, gates: Sequence[Gate]) -> Summary:
    """Return what the gates of `kind` among `gates` show."""
    own = [gate for gate in gates if gate.kind == kind.name]
    pairs = [pair for gate in own for pair in gate.pairs]
    means = [statistics.fmean(slowdowns(gate.pairs)) for gate in own if gate.pairs]
    screened = [gate for gate in own if not gate.confirm]
    return Summary(
        kind=kind,
        verdicts=Counter(gate.verdict for gate in own),
        faster=sum(gate.is_faster for gate in own),
        by_screen=len(screened),
        slowdown=as_ratio(statistics.median(means)) if means else None,
        deviation=pooled_deviation([slowdowns(gate.pairs) for gate in own]),
        within=within_pairs(pairs),
        gate_s=_spread([gate.took_s for gate in own]),
        screened_gate_s=_spread([gate.took_s for gate in screened]),
        pair_s=_spread([pair.took_s for pair in pairs]),
        others=_spread([pair.others for pair in pairs]),
    )


def slowdowns(pairs: Sequence[Pair]) -> list[float]:
    """Return d of each pair."""
    return [pair.slowdown for pair in pairs]


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the standard deviation within groups, each about its own mean; None where no group has two values."""
    large = [group for group in groups if len(group) > 1]
    if not large:
        return None
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in large)
    return math.sqrt(squares / sum(len(group) - 1 for group in large))


def within_pairs(pairs: Sequence[Pair]) -> float | None:
    """Return the standard deviation of d that rounds drawn anew give, as if rounds were independent; None without pairs."""
    import numpy as np

    if not pairs:
        return None
    generator, variances = np.random.default_rng(SEED), []
    for pair in pairs:
        drawn = generator.integers(len(pair.base_rounds_s), size=(DRAWS, len(pair.base_rounds_s)))
        ratios = np.log(pair.head_rounds_s) - np.log(pair.base_rounds_s)
        variances.append(float(np.var(np.median(ratios[drawn], axis=1), ddof=1)))
    return math.sqrt(statistics.fmean(variances))


def _spread(values: Sequence[float]) -> MedianAndLargest | None:
    return MedianAndLargest(median=statistics.median(values), largest=max(values)) if values else None
