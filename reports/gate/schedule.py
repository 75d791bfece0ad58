"""Which pair is measured next, until every benchmark is decided or the time is used up. Knows no process and no file."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Rules, Sample, is_suspect
from reports.gate.limits import USUAL, Limits
from reports.gate.pair import Pair, Phase
from reports.gate.statistics import interval


@dataclass
class Case:
    """One benchmark at the gate: its limits, its pairs so far, and the failure that ended it, if one did."""

    benchmark: Benchmark
    limits: Limits = USUAL
    pairs: dict[Phase, list[Pair]] = field(default_factory=lambda: {"screen": [], "confirm": []})
    failure: Exception | None = None

    @property
    def sample(self) -> Sample:
        """The slowdowns."""
        screen, confirm = (tuple(pair.slowdown for pair in self.pairs[phase]) for phase in ("screen", "confirm"))
        return Sample(screen=screen, confirm=confirm)

    @property
    def all_pairs(self) -> list[Pair]:
        return self.pairs["screen"] + self.pairs["confirm"]


class Budget:
    """Seconds that a gate may take, counted from its start."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._begin_s = clock()

    @property
    def spent_s(self) -> float:
        return self._clock() - self._begin_s

    @property
    def left_s(self) -> float:
        return self.seconds - self.spent_s


class Observer(Protocol):
    """Is told what happens, as it happens."""

    def begins(self, case: Case, phase: Phase, of: int, left_s: float) -> None:
        """A pair begins; the gate needs about `left_s` seconds more."""

    def ends(self, case: Case) -> None:
        """A benchmark's screen or confirmation is over."""


class Schedule:
    """Screens every benchmark, then confirms the suspects, the clearest first.

    `measure` returns a pair, or raises one of `failures`, which ends that benchmark only.
    """

    def __init__(
        self,
        benchmarks: Sequence[Benchmark],
        recorded: Iterable[Pair],
        *,
        rules: Rules,
        budget: Budget,
        measure: Callable[[Benchmark, Phase], Pair],
        failures: type[Exception],
        observer: Observer,
        limits: Mapping[Benchmark, Limits] | None = None,
    ) -> None:
        self.cases = [Case(benchmark, (limits or {}).get(benchmark, USUAL)) for benchmark in benchmarks]
        self._rules = rules
        self._budget = budget
        self._measure = measure
        self._failures = failures
        self._observer = observer
        self._targets: dict[Phase, int] = {"screen": rules.screen_pairs, "confirm": rules.confirm_pairs}
        by_benchmark = {case.benchmark: case for case in self.cases}
        for pair in recorded:
            case = by_benchmark.get(pair.benchmark)
            if case is not None and len(case.pairs[pair.phase]) < self._targets[pair.phase]:
                case.pairs[pair.phase].append(pair)

    def run(self) -> None:
        """Measure until all is decided or the time is used up."""
        for case in self.cases:
            if self._must_confirm_now(case):
                break
            self._complete(case, "screen")
        for case in self._suspects():
            self._complete(case, "confirm")

    def _complete(self, case: Case, phase: Phase) -> None:
        pairs, is_news = case.pairs[phase], False
        while case.failure is None and len(pairs) < self._targets[phase]:
            if self._budget.left_s < self._pair_s(case):
                return
            self._observer.begins(case, phase, self._targets[phase], self._needed_s())
            try:
                pairs.append(self._measure(case.benchmark, phase))
            except self._failures as error:
                case.failure = error
            is_news = True
        if is_news:
            self._observer.ends(case)

    def _suspects(self) -> list[Case]:
        """Return those that failed the screen, the clearest first: the time may not suffice for all."""
        suspects = [case for case in self.cases if case.failure is None and is_suspect(case.sample, case.limits.rules(self._rules))]
        return sorted(suspects, key=lambda case: -interval(case.sample.screen, 1 - self._rules.alpha).low)

    def _must_confirm_now(self, case: Case) -> bool:
        """Whether the screen of `case` would use up the time that the clearest suspect so far needs to be confirmed."""
        suspects = self._suspects()
        if not suspects:
            return False
        needed_s, left_s = self._due_s(suspects[0], "confirm"), self._budget.left_s
        return needed_s <= left_s < needed_s + self._due_s(case, "screen")

    def _needed_s(self) -> float:
        """Return about how many seconds all pairs still take that are known to be due."""
        due_s = sum(self._due_s(case, "screen") for case in self.cases if case.failure is None)
        return due_s + sum(self._due_s(case, "confirm") for case in self._suspects())

    def _due_s(self, case: Case, phase: Phase) -> float:
        return max(0, self._targets[phase] - len(case.pairs[phase])) * self._pair_s(case)

    def _pair_s(self, case: Case) -> float:
        """Return about how long a pair of `case` takes: as its own did, else as all did; 0 before the first."""
        pairs = case.all_pairs or [pair for other in self.cases for pair in other.all_pairs]
        return sum(pair.took_s for pair in pairs) / len(pairs) if pairs else 0.0
