"""What can be tuned: steps of the ladder, batch sizes, and workers that share the CPUs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fixtures.steps.optimizations import catalogue
from reports.saved.record import Measurement
from reports.statistics.latency import tail_s
from reports.views.recommend import NO_REQUESTS, DeploymentLimits

BATCHES = (1, 2, 4, 8, 16, 32, 64)
START_BATCH = 8
NOT_TUNED = NO_REQUESTS | {"batch_size", "workers"}  # the search has batches and workers of its own
KEPT_SHARE = 0.5
LEAST_KEPT = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of the space: a step, its batch size, and workers that have `threads` threads each."""

    step: str
    batch_size: int
    workers: int
    threads: int

    @property
    def name(self) -> str:
        """The name that fixtures.steps.placement gives its recipe."""
        return f"{self.step}@b{self.batch_size}w{self.workers}t{self.threads}"


@dataclass(frozen=True, slots=True)
class Space:
    """Steps in the order they are tried, and CPUs to share. `asynchronous` steps fill all CPUs from one process.

    `alternatives` are tried where the step that each stands for drifts too far; of those in `drifted` a saved ladder tells so.
    """

    steps: tuple[str, ...]
    cpus: int
    asynchronous: frozenset[str] = frozenset()
    alternatives: Mapping[str, str] = field(default_factory=dict)
    drifted: frozenset[str] = frozenset()

    def start(self, step: str, batch_size: int) -> Candidate:
        """Return the candidate of one worker on all CPUs."""
        return Candidate(step, batch_size, 1, self.cpus)

    def neighbours(self, candidate: Candidate) -> tuple[Candidate, ...]:
        """Return the candidates that differ by one doubling or halving, of the batch or of the workers."""
        place = BATCHES.index(candidate.batch_size)
        found = [replace(candidate, batch_size=BATCHES[at]) for at in (place + 1, place - 1) if 0 <= at < len(BATCHES)]
        if candidate.step not in self.asynchronous:
            counts = [candidate.workers * 2, candidate.workers // 2]
            found += [replace(candidate, workers=count, threads=self.cpus // count) for count in counts if 1 <= count <= self.cpus]
        return tuple(found)


def ordered_steps(families: Mapping[str, str], ladder: Sequence[Measurement], limits: DeploymentLimits) -> tuple[str, ...]:
    """Return the steps worth trying, most promising first. `families` maps the steps that apply here to their families.

    A saved ladder of this model rules out steps whose outputs drift beyond a limit that it tells of, and those of less than half the best
    one's throughput, the best three left aside; its disturbed steps tell nothing. Without one the `tuned` steps of the catalogue are tried,
    in that order: the fastest on most machines first, so that a small budget is spent well.
    """
    tuned = [step for step, family in families.items() if family not in NOT_TUNED]
    proved = {m.step: m for m in ladder if m.step in tuned and not m.disturbed}
    exact = {step: m for step, m in proved.items() if not limits.outputs_refuted_by(m)}
    if not exact:
        places = {name: step.tuned for name, step in catalogue().items() if step.tuned is not None}
        return tuple(step for step in sorted(places, key=lambda name: places[name]) if step in tuned and step not in proved)
    best = max(m.samples_per_second for m in exact.values())
    ranked = sorted(exact, key=lambda step: -exact[step].samples_per_second)
    return tuple(step for place, step in enumerate(ranked) if place < LEAST_KEPT or exact[step].samples_per_second >= KEPT_SHARE * best)


def alternatives(families: Mapping[str, str], steps: Sequence[str]) -> dict[str, str]:
    """Return the steps that apply here and are tried instead of another one only, with that one."""
    known = catalogue()
    return {name: original for name in families if name not in steps and (original := known[name].instead_of) is not None}


def start_batch(step: str, ladder: Sequence[Measurement], limits: DeploymentLimits) -> int:
    """Return the batch to try first: the ladder's, or the largest whose p99 the ladder lets expect within the limit."""
    known = next((m for m in ladder if m.step == step and not m.disturbed), None)
    batch = START_BATCH if known is None or known.batch_size not in BATCHES else known.batch_size
    expected_s = None if known is None else tail_s(known)
    if known is not None and expected_s is not None and limits.p99_s is not None:
        while batch > 1 and expected_s * batch / known.batch_size > limits.p99_s:
            batch //= 2
    return batch
