"""The Pareto front of throughput against p99: what no other recipe beats in both. Pure, for any measurements of one model."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from reports.saved.record import Measurement
from reports.statistics.latency import tail_s
from reports.views.recommend import DeploymentLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontPoint:
    """One recipe: whether it is on the front, and which limit it is not shown to keep.

    `tail_s` is its p99, or, of fewer calls than have one, the slowest. `is_first` says that its figures are those that it was chosen for.
    """

    measurement: Measurement
    tail_s: float
    on_front: bool
    broken: str
    is_first: bool = False

    @property
    def step(self) -> str:
        return self.measurement.step

    @property
    def samples_per_second(self) -> float:
        return self.measurement.samples_per_second


def points(
    measurements: Iterable[Measurement], limits: DeploymentLimits | None = None, *, measured_again: Collection[str] | None = None
) -> tuple[FrontPoint, ...]:
    """Return all recipes that have a latency above 0, lowest p99 first.

    Those that do not keep the limits of outputs, and disturbed ones, cannot be on the front. `measured_again` names those whose figures
    are of a second measurement, None where nothing was chosen by the first.
    """
    limits = limits or DeploymentLimits()
    known = [(m, found_s) for m in measurements if (found_s := tail_s(m))]
    front = {m.step for m in pareto_front([m for m, _ in known if may_be_on_front(m, limits)])}
    found = [
        FrontPoint(
            measurement=m,
            tail_s=found_s,
            on_front=m.step in front,
            broken=limits.broken_by(m),
            is_first=measured_again is not None and m.step not in measured_again,
        )
        for m, found_s in known
    ]
    return tuple(sorted(found, key=lambda point: (point.tail_s, -point.samples_per_second)))


def may_be_on_front(measurement: Measurement, limits: DeploymentLimits) -> bool:
    """Whether a recipe's figures are worth anything, and its outputs within the limits."""
    return not measurement.disturbed and not limits.of_outputs.broken_by(measurement)


def pareto_front(measurements: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Return, lowest p99 first, the measurements that none other equals or beats in both figures; of equal ones the first."""
    front: list[Measurement] = []
    known = [(found_s, m) for m in measurements if (found_s := tail_s(m)) is not None]
    for _, measurement in sorted(known, key=lambda each: (each[0], -each[1].samples_per_second)):
        if not front or measurement.samples_per_second > front[-1].samples_per_second:
            front.append(measurement)
    return tuple(front)
