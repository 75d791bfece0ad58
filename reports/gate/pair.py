"""What one pair of fresh processes found. Data only."""

import math
import statistics
from dataclasses import dataclass
from typing import Literal

from reports.gate.benchmarks import Benchmark

Phase = Literal["screen", "control", "confirm"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricFigure:
    """The value of a metric on so many samples, and on resamples of them; values of both sides are paired where they `drawn` alike."""

    name: str
    value: float
    samples: int
    resampled: tuple[float, ...] = ()
    drawn: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What one side of a pair cost beside its time; None where it was not told, as by a side of an older suite.

    `peak_rss_bytes` is the most that its workers held together, shared pages once; `cold_start_s` from the start of the process to the
    first output, beside the other side's; `build_s` the build that served this pair, or this process's own. `sqnr_db` is over the first
    `sqnr_samples` samples. `right` has 1 for each labelled picture that is classified right, and 0 for each other one. `metrics` are the
    user's own and the perplexity of a text.
    """

    peak_rss_bytes: float | None = None
    cold_start_s: float | None = None
    build_s: float | None = None
    artifact_bytes: float | None = None
    sqnr_db: float | None = None
    sqnr_samples: int | None = None
    right: str | None = None
    metrics: tuple[MetricFigure, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The findings of one pair: each side's turns, its work in one, and the other work of the host meanwhile.

    Durations in seconds; turns of the same place in `base_rounds_s` and `head_rounds_s` are neighbours in time. `restless` counts the
    turns after which workers did not stand still in time. `stolen` is the share of CPU time that the hypervisor took, `others` the
    share of the CPUs that processes other than the gate's used while turns were taken. Which side started first is drawn; older gates do
    not tell. `base` and `head` are their figures beside time, `base_build` and `head_build` the numbers of the builds that served, from 0:
    others than the first where the sides have artifacts of their own. In a `control` head is the second build of base. `base_artifact` and
    `head_artifact` are digests of their files, empty where there are none, or nobody told. `named` is what a model of the user's own is
    called with its path, since two may have one id: empty for others, and in older gates.
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
    head_started_first: bool | None = None
    base: Figures = Figures()
    head: Figures = Figures()
    base_build: int = 0
    head_build: int = 0
    base_artifact: str = ""
    head_artifact: str = ""
    named: str = ""

    @property
    def benchmark(self) -> Benchmark:
        return Benchmark(self.model, self.step)

    @property
    def slowdown(self) -> float:
        """Return log(head's time a sample / base's): the median over rounds, whose two turns are neighbours in time.

        What disturbs the host for longer than a round slows both turns of a round, and cancels. The ratio of the sides' medians is as
        steady on a quiet host, and not on others (docs/gate.md).
        """
        rounds = zip(self.base_rounds_s, self.head_rounds_s, strict=True)
        ratio = statistics.median(math.log(head_s / base_s) for base_s, head_s in rounds)
        return ratio - math.log(self.head_samples / self.base_samples)
