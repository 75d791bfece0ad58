"""Throughput against latency, for the page: every step of a model as a point, and the front that no other step beats. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.page.scales import Scale
from reports.saved.record import Measurement, Run
from reports.views.front import FrontPoint, points

WIDTH, HEIGHT = 720, 320  # units of the drawing
LEAST_POINTS = 2
LABEL_GAP = 14
LABEL_BELOW = 12
_TICKS_MS = tuple(digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """One step in the drawing; `label_y` is where its name stands, so that names do not cover each other."""

    point: FrontPoint
    x: float
    y: float
    label_y: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontView:
    """The drawing of one model: latency to the right on a logarithmic scale, throughput upwards from zero."""

    id: str
    model: str
    front: tuple[Dot, ...]
    others: tuple[Dot, ...]
    line: str
    ticks: tuple[tuple[float, float], ...]
    most: float


def fronts(run: Run[Measurement]) -> tuple[FrontView, ...]:
    """Return the drawing of each model with at least two steps that have a p99."""
    by_model: dict[str, list[Measurement]] = {}
    for measurement in run.measurements:
        by_model.setdefault(measurement.model, []).append(measurement)
    found = ((model, points(measurements)) for model, measurements in by_model.items())
    wanted = [(model, known) for model, known in found if len(known) >= LEAST_POINTS]
    return tuple(_view(f"front-{place}", model, known) for place, (model, known) in enumerate(wanted, 1))


def _view(name: str, model: str, known: Sequence[FrontPoint]) -> FrontView:
    latencies = [point.tail_s for point in known]
    across = Scale(min(latencies) / 1.2, max(latencies) * 1.2, is_logarithmic=True)
    most = max(point.samples_per_second for point in known)

    def x(latency_s: float) -> float:
        return round(across.place(latency_s) * WIDTH / 100, 1)

    def dots(chosen: Sequence[FrontPoint]) -> tuple[Dot, ...]:
        made, lowest = [], float(HEIGHT)
        for point in chosen:
            y = round(HEIGHT * (1 - 0.94 * point.samples_per_second / most), 1)
            lowest = min(y + LABEL_BELOW, lowest - LABEL_GAP)  # the line runs to the right and down from here
            made.append(Dot(point=point, x=x(point.tail_s), y=y, label_y=round(lowest, 1)))
        return tuple(made)

    front = dots([point for point in known if point.on_front])
    return FrontView(
        id=name,
        model=model,
        front=front,
        others=dots([point for point in known if not point.on_front]),
        line="".join(f"M{dot.x} {dot.y}" if place == 0 else f"H{dot.x}V{dot.y}" for place, dot in enumerate(front)),
        ticks=tuple((tick, x(tick / 1000)) for tick in _TICKS_MS if across.reaches(tick / 1000)),
        most=most,
    )
