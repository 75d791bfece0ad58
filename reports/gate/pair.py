"""What one pair of fresh processes found. Data only."""

import math
from dataclasses import dataclass
from typing import Literal

from reports.gate.benchmarks import Benchmark

Phase = Literal["screen", "confirm"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """What one pair found: the median turn of each side, what it computed in a turn, and what else the host did meanwhile.

    Durations in seconds. `rounds_slowdown` is the median over rounds of log(head's time a sample / base's), kept to study the
    estimator. `restless` counts the turns after which workers did not stand still in time. `stolen` is the share of CPU time that
    the hypervisor took, `waiting` the share of the turns' time in which some task of the host had no CPU to run on.
    """

    model: str
    step: str
    phase: Phase
    base_median_s: float
    head_median_s: float
    base_samples: int
    head_samples: int
    rounds_slowdown: float
    rounds: int
    restless: int
    took_s: float
    stolen: float
    waiting: float

    @property
    def benchmark(self) -> Benchmark:
        return Benchmark(self.model, self.step)

    @property
    def slowdown(self) -> float:
        """Return log(head's time a sample / base's)."""
        return math.log(self.head_median_s / self.head_samples) - math.log(self.base_median_s / self.base_samples)
