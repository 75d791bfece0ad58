"""The promises of the gate, held against the recorded gates. Pure."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.gate_quality.analysis import Rate, Summary
from reports.gate.decision import Verdict

Judgement = Literal["shown", "met", "missed", "no gates yet"]
LONGEST_SCREEN_S = 75.0
UNCHANGED = {"same": "idle", "same_noisy": "noisy", "same_inductor": "own builds of Inductor", "same_pt2e": "own builds of PT2E"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A promise and what was found: `rate` of what must be rare (`at_most`) or frequent (`at_least`).

    Or `seconds`, at most `limit_s`, of the gates that `rate` counts.
    """

    promise: str
    rate: Rate | None = None
    at_most: float | None = None
    at_least: float | None = None
    seconds: float | None = None
    limit_s: float | None = None

    @property
    def judgement(self) -> Judgement:
        """`shown` where the 95 % bound keeps the promise, `met` where only the share found does."""
        if self.limit_s is not None:
            return "no gates yet" if self.seconds is None else "shown" if self.seconds <= self.limit_s else "missed"
        if self.rate is None or not self.rate.trials:
            return "no gates yet"
        most, least = self.at_most if self.at_most is not None else math.inf, self.at_least or 0.0
        if least <= self.rate.low and self.rate.high <= most:
            return "shown"
        return "met" if least <= self.rate.share <= most else "missed"


def targets(found: Mapping[str, Summary]) -> Iterator[Target]:
    """Yield each promise with what was found, from the summaries by kind."""
    for kind, where in UNCHANGED.items():
        promise = f"no change, {where}: gates that call a regression"
        yield Target(promise=promise, rate=found[kind].rate(Verdict.REGRESSION), at_most=0.01)
    yield Target(promise="3 % more work: gates that call a regression", rate=found["slower_3"].rate(Verdict.REGRESSION), at_least=0.95)
    for kind in ("slower_5", "slower_10"):
        summary = found[kind]
        percent = round(100 * summary.kind.more_work)
        yield Target(promise=f"{percent} % more work: gates that call a regression", rate=summary.rate(Verdict.REGRESSION), at_least=0.99)
        yield Target(promise=f"{percent} % more work: gates that pass", rate=summary.rate(Verdict.PASS), at_most=0.0)
    yield Target(
        promise="5 % less work: gates that pass and report an improvement",
        rate=Rate(found["faster_5"].faster, found["faster_5"].held),
        at_least=0.99,
    )
    same = found["same"]
    screened = same.screened_gate_s
    yield Target(
        promise="no change, idle: longest gate that the screen decided",
        rate=Rate(same.by_screen, same.held),
        seconds=screened.largest if screened else None,
        limit_s=LONGEST_SCREEN_S,
    )
