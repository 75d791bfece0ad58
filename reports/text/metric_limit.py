"""The limit of a metric as options and files have it, `f1=-0.01`: how far its value may go from the one that it is held against. Pure."""

import math
import re
from dataclasses import dataclass

from reports.text.plain_text import plain

FORM = "NAME=-CHANGE where less is worse, NAME=+CHANGE where more is: f1=-0.01, perplexity=+0.2, or perplexity=+1%"
_LIMIT = re.compile(r"(?P<name>\w{1,100})=(?P<sign>[+-])(?P<amount>\d{1,9}(?:\.\d{1,9})?)(?P<percent>%?)", re.ASCII)
_ROUNDING = 1e-9  # of binary fractions: 0.9 - 0.89 is more than 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricLimit:
    """How much worse a metric may get: by `amount`, which is a share in per cent of what it is held against where it `is_percent`.

    Where it `rises`, more is worse, as of an error or a perplexity; else less is.
    """

    name: str
    amount: float
    rises: bool
    is_percent: bool = False

    @property
    def bound(self) -> str:
        """The change that is just allowed: `-0.01`, `+1 %`."""
        return f"{'+' if self.rises else '-'}{self.amount:g}{' %' if self.is_percent else ''}"

    def __str__(self) -> str:
        return f"{self.name} {self.bound}"

    def allowed(self, reference: float) -> float:
        """Return how much worse than `reference` the metric may be, in its own unit."""
        return self.amount / 100 * abs(reference) if self.is_percent else self.amount

    def lost(self, change: float) -> float:
        """Return how much worse a change makes the metric; below 0 where it gets better."""
        return change if self.rises else -change

    def breaks(self, change: float, reference: float) -> bool:
        """Whether a change from `reference` goes beyond the limit."""
        return self.lost(change) > self.allowed(reference) and not self._is_on(change, reference)

    def reaches(self, change: float, reference: float) -> bool:
        """Whether a change for the worse is as large as the limit, or larger."""
        return self.lost(change) > 0 and (self.lost(change) >= self.allowed(reference) or self._is_on(change, reference))

    def _is_on(self, change: float, reference: float) -> bool:
        return math.isclose(self.lost(change), self.allowed(reference), rel_tol=_ROUNDING)


def metric_limit_of(text: str) -> MetricLimit:
    """Return the limit that a text says. Raises ValueError."""
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise ValueError(f"expected {FORM}; found {plain(text, 100)!r}")
    return MetricLimit(name=found["name"], amount=float(found["amount"]), rises=found["sign"] == "+", is_percent=found["percent"] == "%")
