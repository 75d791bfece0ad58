"""The Pareto front of throughput against p99: what no other recipe beats in both. Pure, for any measurements of one model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.measurement import Measurement
from reports.recommend import Limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One recipe: its p99 in seconds, its throughput, whether it is on the front, and which limit it does not keep."""

    step: str
    latency_p99_s: float
    samples_per_second: float
    on_front: bool
    broken: str


def points(measurements: Iterable[Measurement], limits: Limits | None = None) -> tuple[Point, ...]:
    """Return all recipes that have a p99, lowest p99 first. Those that do not keep the limits of outputs cannot be on the front."""
    limits = limits or Limits()
    known = [m for m in measurements if m.latency_p99_s is not None]
    exact = [m for m in known if not limits.of_outputs.broken_by(m)]
    front = {m.step for m in pareto_front(exact)}
    found = [
        Point(
            step=m.step,
            latency_p99_s=m.latency_p99_s or 0.0,
            samples_per_second=m.samples_per_second,
            on_front=m.step in front,
            broken=limits.broken_by(m),
        )
        for m in known
    ]
    return tuple(sorted(found, key=lambda point: (point.latency_p99_s, -point.samples_per_second)))


def pareto_front(measurements: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Return, lowest p99 first, the measurements that none other equals or beats in both figures; of equal ones the first."""
    front: list[Measurement] = []
    known = [m for m in measurements if m.latency_p99_s is not None]
    for measurement in sorted(known, key=lambda m: (m.latency_p99_s or 0.0, -m.samples_per_second)):
        if not front or measurement.samples_per_second > front[-1].samples_per_second:
            front.append(measurement)
    return tuple(front)
