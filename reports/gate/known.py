"""Regressions that base's configuration acknowledges: reported, and no failure, up to a bound and a date. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from reports.gate.benchmarks import Benchmark
from reports.gate.configuration import TIME, Acknowledged
from reports.gate.decision import Judged, Verdict
from reports.gate.quantities import METRIC, Quantity


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is acknowledged, as of `today`."""

    entries: tuple[Acknowledged, ...]
    today: date

    def time(self, benchmark: Benchmark, judged: Judged) -> Judged:
        """Return the verdict by time: a regression whose median is within an acknowledged bound is acknowledged."""
        if judged.verdict is not Verdict.REGRESSION or judged.median_slowdown is None:
            return judged
        entry = self._entry(benchmark, TIME, 100 * judged.median_slowdown)
        return judged if entry is None else replace(judged, verdict=Verdict.ACKNOWLEDGED, why=f"{judged.why}{_text(entry)}")

    def quantity(self, benchmark: Benchmark, quantity: Quantity) -> Quantity:
        """Return the quantity, likewise."""
        if quantity.verdict is not Verdict.REGRESSION:
            return quantity
        entry = self._entry(benchmark, quantity.name.replace(" ", "-"), quantity.worse)
        return quantity if entry is None else replace(quantity, verdict=Verdict.ACKNOWLEDGED, known=_text(entry))

    def expired(self) -> Iterator[str]:
        """Say which entries have expired, so that they no longer count."""
        for entry in self.entries:
            if entry.expires < self.today:
                yield f"the acknowledged {entry.measure} of {entry.benchmark} expired on {entry.expires} ({entry.reason})"

    def _entry(self, benchmark: Benchmark, measure: str, worse: float) -> Acknowledged | None:
        fitting = (each for each in self.entries if (each.benchmark, each.measure) == (benchmark.id, measure))
        within = (each for each in fitting if worse <= each.bound or math.isclose(worse, each.bound))  # 0.9 - 0.85 is more than 0.05
        return next((each for each in within if self.today <= each.expires), None)


def _text(entry: Acknowledged) -> str:
    unit = "" if entry.measure.startswith(METRIC) else {"SQNR": " dB", "accuracy": " points"}.get(entry.measure, " %")
    return f", acknowledged up to {entry.bound:g}{unit} until {entry.expires}: {entry.reason}"
