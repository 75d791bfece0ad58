"""Which pair is measured next, until every benchmark is decided or the time is used up. Knows no process and no file."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Judged, Rules, Sample, Verdict, is_settled, is_suspect, judge, looks_taken, passed_after
from reports.gate.limits import USUAL, Limits
from reports.gate.pair import Pair, Phase
from reports.gate.quantities import quantities
from reports.gate.statistics import as_ratio, interval

PHASES: tuple[Phase, ...] = ("screen", "control", "confirm")


@dataclass
class Case:
    """One benchmark at the gate: its limits, its pairs so far, and the failure that ended it, if one did.

    `looks` says how often its confirming pairs may be looked at in all: once more than before where the look before could not tell.
    `builds_s` is how long the builds before its first pair took, 0 where that pair is of a gate before.
    """

    benchmark: Benchmark
    limits: Limits = USUAL
    pairs: dict[Phase, list[Pair]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    failure: Exception | None = None
    looks: int = 1
    builds_s: float = 0.0

    @property
    def sample(self) -> Sample:
        """The slowdowns."""
        screen, control, confirm = (tuple(pair.slowdown for pair in self.pairs[phase]) for phase in PHASES)
        return Sample(
            screen=screen,
            confirm=confirm,
            control=control,
            base_builds=tuple(pair.base_build for pair in self.pairs["confirm"]),
            head_builds=tuple(pair.head_build for pair in self.pairs["confirm"]),
            control_builds=tuple((pair.base_build, pair.head_build) for pair in self.pairs["control"]),
            has_own_builds=self.has_own_builds,
            has_failed=self.failure is not None,
        )

    @property
    def has_own_builds(self) -> bool:
        """Whether the sides have artifacts of their own, of which several builds each are measured."""
        return any(pair.base_build or pair.head_build for pair in self.pairs["screen"])

    @property
    def all_pairs(self) -> list[Pair]:
        """The pairs of base and head."""
        return self.pairs["screen"] + self.pairs["confirm"]

    @property
    def exceeds_a_limit(self) -> bool:
        """Whether something beside time seems to be above its limit so far, for which all pairs of the screen are wanted."""
        return any(each.verdict not in {None, Verdict.PASS} for each in quantities(self.pairs["screen"], self.limits, tests=1, alpha=0.5))

    def is_done(self, rules: Rules) -> bool:
        """Whether no further pair is due."""
        return is_settled(self.sample, self.limits.rules(rules), self.looks)


def judge_cases(cases: Sequence[Case], others: Sequence[Case], rules: Rules) -> list[Judged]:
    """Return the verdict of each case by its time; `others` were measured by the same gate before, and count as suspects do."""
    every = [*cases, *others]
    return judge([case.sample for case in every], rules, [case.limits.rules(rules) for case in every])[: len(cases)]


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
    """Screens every benchmark, then confirms the suspects, the clearest first, each after its control where it has builds of its own.

    Where the budget cannot suffice for all, the clearest suspect so far is confirmed before anything else is screened: a regression that
    is found decides the gate.
    What recorded pairs could not tell is looked at once more. Those of benchmarks that are not measured now, as with a narrower -k, are
    kept as `others`: else fewer suspects would make a regression of the same pairs. `measure` returns a pair, or raises one of `failures`,
    which ends that benchmark only.
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
        most = {"screen": rules.screen_pairs, "control": rules.control_pairs, "confirm": len(rules.looks) * rules.confirm_pairs}
        by_benchmark = {case.benchmark: case for case in self.cases}
        for pair in recorded:
            case = by_benchmark.setdefault(pair.benchmark, Case(pair.benchmark))
            if len(case.pairs[pair.phase]) < most[pair.phase]:
                case.pairs[pair.phase].append(pair)
        self.others = [case for benchmark, case in by_benchmark.items() if benchmark not in {*benchmarks}]
        self._look_again()

    @property
    def again(self) -> list[Case]:
        """The benchmarks that are looked at once more."""
        return [case for case in self.cases if case.looks > 1 and not case.is_done(self._rules)]

    def run(self) -> None:
        """Measure until all is decided or the time is used up."""
        for case in self.cases:
            while (suspect := self._must_be_confirmed_now()) is not None:
                self._confirm(suspect)
            self._complete(case, "screen")
        for case in self._suspects():
            self._confirm(case)

    def _look_again(self) -> None:
        """Let every benchmark that recorded pairs could not tell be looked at once more, while there is alpha left."""
        for case, judged in zip(self.cases, judge_cases(self.cases, self.others, self._rules), strict=True):
            rules = case.limits.rules(self._rules)
            taken = looks_taken(case.sample, rules)
            is_open = taken > 0 and judged.verdict is Verdict.INCONCLUSIVE
            case.looks = min(taken + 1, len(rules.looks)) if is_open else max(1, judged.look)

    def _complete(self, case: Case, phase: Phase) -> None:
        pairs, is_news = case.pairs[phase], False
        while case.failure is None and len(pairs) < (target := self._target(case, phase)):
            if self._budget.left_s < self._pair_s(case) + (self._further_builds_s(case) if phase == "confirm" else 0.0):
                return
            due_s = self._screens_s() + sum(map(self._confirmation_s, self._suspects()))
            self._observer.begins(case, phase, target, due_s)
            begin_s = self._budget.spent_s
            try:
                pair = self._measure(case.benchmark, phase)
                case.builds_s = case.builds_s if case.all_pairs else max(0.0, self._budget.spent_s - begin_s - pair.took_s)
                pairs.append(pair)
            except self._failures as error:
                case.failure = error
            is_news = True
        if is_news and (phase != "control" or case.failure is not None):
            self._observer.ends(case)

    def _confirm(self, case: Case) -> None:
        self._complete(case, "control")
        self._complete(case, "confirm")

    def _target(self, case: Case, phase: Phase) -> int:
        """Return how many pairs of a phase a benchmark needs: fewer of a screen that passed early, others as a suspect."""
        if phase == "screen":
            early = None if case.exceeds_a_limit else passed_after(case.sample, case.limits.rules(self._rules))
            return early or self._rules.screen_pairs
        if phase == "control":
            return self._rules.control_pairs if case.has_own_builds else 0
        return case.looks * self._rules.confirm_pairs

    def _suspects(self) -> list[Case]:
        """Return those that failed the screen, the clearest first: the time may not suffice for all."""
        suspects = [case for case in self.cases if case.failure is None and is_suspect(case.sample, case.limits.rules(self._rules))]
        return sorted(suspects, key=lambda case: -interval(case.sample.screen, 1 - self._rules.alpha).low)

    def _must_be_confirmed_now(self) -> Case | None:
        """Return the clearest suspect, if there is just time to confirm it, not for all screens too, and no regression is known yet.

        One that is slower by less than the least effect so far is hardly a regression, and waits.
        """
        suspects = [
            case
            for case in self._suspects()
            if not case.is_done(rules := case.limits.rules(self._rules))
            and as_ratio(statistics.median(case.sample.screen)) >= rules.least_effect
        ]
        if not suspects or self._has_regression():
            return None
        needed_s, left_s = self._confirmation_s(suspects[0]), self._budget.left_s
        return suspects[0] if needed_s <= left_s < needed_s + self._screens_s() else None

    def _has_regression(self) -> bool:
        return any(judged.verdict is Verdict.REGRESSION for judged in judge_cases(self.cases, self.others, self._rules))

    def _screens_s(self) -> float:
        return sum(self._due_s(case, "screen") for case in self.cases if case.failure is None)

    def _confirmation_s(self, case: Case) -> float:
        return self._due_s(case, "control") + self._further_builds_s(case) + self._due_s(case, "confirm")

    def _further_builds_s(self, case: Case) -> float:
        """Return about how long the builds take that a suspect needs beside its first ones."""
        if not case.has_own_builds or case.pairs["confirm"]:
            return 0.0
        return case.builds_s * (self._rules.confirm_builds - self._rules.screen_builds) / self._rules.screen_builds

    def _due_s(self, case: Case, phase: Phase) -> float:
        return max(0, self._target(case, phase) - len(case.pairs[phase])) * self._pair_s(case)

    def _pair_s(self, case: Case) -> float:
        """Return about how long a pair of `case` takes: as its own did in the median, else as all did; 0 before the first.

        The first one also draws references and classifies pictures.
        """
        pairs = case.all_pairs or [pair for other in self.cases for pair in other.all_pairs]
        return statistics.median(pair.took_s for pair in pairs) if pairs else 0.0
