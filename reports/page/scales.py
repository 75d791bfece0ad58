"""Where a number is drawn: scales from values to percent of a drawing's width. Pure."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

FURTHEST = 100.0
MARGIN_PERCENT = 2.0
CLOSEST_TICKS_PERCENT = 18.0
_TICKS = ((0.9, 1.0, 1.1), (0.75, 1.0, 1.5), (0.5, 1.0, 2.0), (0.25, 1.0, 4.0), (0.1, 1.0, 10.0), (0.01, 1.0, 100.0))


@dataclass(frozen=True, slots=True)
class Scale:
    """Percent of the width for values from `low` to `high`; what lies outside is drawn at the edge."""

    low: float
    high: float
    is_logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high, within = (self._on_line(each) for each in (self.low, self.high, min(max(value, self.low), self.high)))
        share = (within - low) / (high - low) if high > low else 0.5
        return round(MARGIN_PERCENT + (100 - 2 * MARGIN_PERCENT) * share, 2)

    def length(self, start: float, end: float) -> float:
        return round(abs(self.place(end) - self.place(start)), 2)

    def reaches(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def ticks(self) -> tuple[float, ...]:
        """Round ratios for a logarithmic scale, 1 among them, no closer than their labels are wide."""
        for ticks in _TICKS:
            inside = tuple(tick for tick in ticks if self.reaches(tick))
            if all(self.length(*two) >= CLOSEST_TICKS_PERCENT for two in itertools.pairwise(inside)):
                return inside
        return ()

    def _on_line(self, value: float) -> float:
        return math.log(value) if self.is_logarithmic else value


def ratio_scale(values: Iterable[float | None]) -> Scale:
    """Return a logarithmic scale for ratios, 1 among them; a ratio beyond 100 or below 1/100 is drawn at the edge."""
    known = [value for value in values if value is not None]
    low, high = min((*known, 0.9)), max((*known, 1.1))
    return Scale(max(low, 1 / FURTHEST), min(high, FURTHEST), is_logarithmic=True)


def amount_scale(values: Iterable[float | None]) -> Scale:
    """Return a scale from zero to the largest value."""
    return Scale(0.0, max((value for value in values if value is not None), default=1.0))
