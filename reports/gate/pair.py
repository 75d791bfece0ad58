"""What one pair of fresh processes found. Data only."""

import math
import statistics
from dataclasses import dataclass
from typing import Literal

from reports.gate.benchmarks import Benchmark

Phase = Literal["screen", "confirm"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """What one pair found: each side's turns, what it computed in one, and what else the host did meanwhile.

    Durations in seconds; turns of the same place in `base_rounds_s` and `head_rounds_s` are neighbours in time. `restless` counts the
    turns after which workers did not stand still in time. `stolen` is the share of CPU time that the hypervisor took, `others` the
    share of the CPUs that processes other than the gate's used while turns were taken.
    """

    model: str
    step: str
    phase: Phase
    base_rounds_s: tuple[float, ...]
    head_rounds_s: tuple[float, ...]
    base_samples: int
    head_samples: int
    restless: int
    took_s: float
    stolen: float
    others: float

    @property
    def benchmark(self) -> Benchmark:
        return Benchmark(self.model, self.step)

    @property
    def slowdown(self) -> float:
        """Return log(head's time a sample / base's), each side's time being its median turn."""
        head_s, base_s = statistics.median(self.head_rounds_s), statistics.median(self.base_rounds_s)
        return math.log(head_s / self.head_samples) - math.log(base_s / self.base_samples)
