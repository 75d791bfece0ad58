"""Throughput against latency, for the page: every step of a model as a point, and the front that no other step beats. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.page.scales import Scale
from reports.saved.record import Measurement, Run
from reports.text.figures import counted_in
from reports.views.front import FrontPoint, points

WIDTH, HEIGHT = 720, 320  # units of the drawing
LEAST_POINTS = 2
LABEL_GAP = 14
LABEL_BELOW = 12
LABEL_RIGHT = 8
LETTER_WIDTH = 6.6  # of the longest names, about
DOT = 6
Box = tuple[float, float, float, float]  # left, top, right, bottom
_TICKS_MS = tuple(digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """One step in the drawing; `label_y` is where its name stands, so that names cover neither each other nor a dot, None for no room."""

    point: FrontPoint
    x: float
    y: float
    label_y: float | None


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

    @property
    def counted_in(self) -> str:
        """What the throughputs count: samples, or tokens of generated text."""
        return counted_in((*self.front, *self.others)[0].point.measurement)


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
        others=_named(front, dots([point for point in known if not point.on_front])),
        line="".join(f"M{dot.x} {dot.y}" if place == 0 else f"H{dot.x}V{dot.y}" for place, dot in enumerate(front)),
        ticks=tuple((tick, x(tick / 1000)) for tick in _TICKS_MS if across.reaches(tick / 1000)),
        most=most,
    )


def _named(front: Sequence[Dot], others: Sequence[Dot]) -> tuple[Dot, ...]:
    """Return the others with their names right beside them where there is room, the fastest first."""
    taken = [box for dot in front for box in (_box(dot, dot.label_y), _circle(dot))]
    circles = [(dot, _circle(dot)) for dot in others]
    made = []
    for dot in sorted(others, key=lambda dot: dot.y):
        box = _box(dot, dot.y)
        free = not any(_cover(box, each) for each in (*taken, *(circle for other, circle in circles if other is not dot)))
        taken += [box] if free else []
        made.append(replace(dot, label_y=dot.y if free else None))
    return tuple(made)


def _box(dot: Dot, label_y: float | None) -> Box:
    """Return what a name covers."""
    left, y = dot.x + LABEL_RIGHT, dot.y if label_y is None else label_y
    return left, y - LABEL_GAP / 2, left + LETTER_WIDTH * len(dot.point.step), y + LABEL_GAP / 2


def _circle(dot: Dot) -> Box:
    return dot.x - DOT, dot.y - DOT, dot.x + DOT, dot.y + DOT


def _cover(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
