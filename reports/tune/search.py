"""The search itself: from a start for each step to neighbours of what is best so far. Pure: what measures, and the clock, are passed in.

The space of one machine is small (steps x batches x log2 of the CPUs) and smooth: throughput rises with the batch until caches
overflow, latency rises with it, workers trade one for the other. A measurement costs seconds to minutes, nearly all of it export,
compilation and process start. So neither a model of the space (optuna's samplers) nor shorter measurements for the many (successive
halving) would save much; going on from the best so far finds it in few measurements, and everybody can follow why.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reports.saved.record import Measurement
from reports.statistics.latency import tail_s
from reports.tune.space import START_BATCH, Candidate, Space
from reports.views.recommend import DeploymentLimits

NEAR = 0.85
MOST_FAILURES = 2


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate's measurement, or why there is none; it `drifted` where its outputs were too far from fp32 eager's."""

    candidate: Candidate
    measurement: Measurement | None
    reason: str = ""
    took_s: float = 0.0
    drifted: bool = False

    @property
    def stands(self) -> bool:
        """Whether its figures tell anything: it was measured, and nobody disturbed that."""
        return self.measurement is not None and not self.measurement.disturbed


@dataclass
class Search:
    """The candidates tried so far, and which to try next. Known ones of an interrupted search are given as `tried`."""

    space: Space
    limits: DeploymentLimits
    start_batches: Mapping[str, int]
    tried: dict[Candidate, Tried] = field(default_factory=dict)

    def run(self, measure: Callable[[Candidate], Tried], time_left_s: Callable[[], float]) -> str:
        """Try candidates until no promising one is left or the next would not fit into the time; say why it ended."""
        while (candidate := self._next()) is not None:
            if self.cost_s(candidate) > time_left_s():
                return "the budget is used up"
            self.tried[candidate] = measure(candidate)
        return "no neighbour of the best is left to try"

    def cost_s(self, candidate: Candidate) -> float:
        """Return how long a candidate will take, by the slowest of its step so far, or of all."""
        same = [each.took_s for each in self.tried.values() if each.candidate.step == candidate.step]
        return max(same or [each.took_s for each in self.tried.values()], default=0.0)

    @property
    def measured(self) -> list[Tried]:
        return [each for each in self.tried.values() if each.stands]

    def _next(self) -> Candidate | None:
        for step in self.space.steps:
            start = self.space.start(step, self.start_batches[step])
            if start not in self.tried and self._is_open(start):
                return start
        for step, original in self.space.alternatives.items():
            start = self.space.start(step, self.start_batches.get(step, START_BATCH))
            if start not in self.tried and self._is_open(start) and self._drifts(original):
                return start
        ranked = self.ranked()
        for each in ranked:
            if self._rank(each) < NEAR * self._rank(ranked[0]):
                break
            for neighbour in self.space.neighbours(each.candidate):
                if neighbour not in self.tried and self._is_open(neighbour):
                    return neighbour
        return None

    def ranked(self) -> list[Tried]:
        """Return what was measured, best first: the fastest that is not shown to break a limit.

        Where all are, the one of lowest p99 comes first, whose neighbours may not be.
        """
        return sorted(self.measured, key=self._rank, reverse=True)

    def _rank(self, tried: Tried) -> float:
        """Return the throughput of what may keep the limits; below all of those, the reciprocal of the p99."""
        measurement = tried.measurement
        assert measurement is not None
        if all(self.limits.refuted_by(each.measurement) for each in self.measured if each.measurement is not None):
            return 1 / (tail_s(measurement) or float("inf"))
        return 0.0 if self.limits.refuted_by(measurement) else measurement.samples_per_second

    def _drifts(self, step: str) -> bool:
        """Whether a step was seen to answer otherwise than it may."""
        same_step = [each for each in self.tried.values() if each.candidate.step == step]
        broken = (each.measurement is not None and self.limits.of_outputs.broken_by(each.measurement) for each in same_step)
        return step in self.space.drifted or any(each.drifted for each in same_step) or any(broken)

    def _is_open(self, candidate: Candidate) -> bool:
        """Whether nothing seen so far tells that the candidate cannot be within the limits, or cannot be built."""
        same_step = [each for each in self.tried.values() if each.candidate.step == candidate.step]
        if sum(each.measurement is None for each in same_step) >= MOST_FAILURES:
            return False
        measured = [each.measurement for each in same_step if each.measurement is not None]
        if any(self.limits.of_outputs.broken_by(m) for m in measured):
            return False
        # A larger batch in the same placement takes longer.
        latency = DeploymentLimits(p99_s=self.limits.p99_s)
        return not any(
            each.measurement is not None and each.stands and latency.refuted_by(each.measurement)
            for each in same_step
            if each.candidate.workers == candidate.workers and each.candidate.batch_size < candidate.batch_size
        )
