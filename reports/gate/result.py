"""A gate's result: what every output shows. Data, and the one place where failures become verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from reports.gate.benchmarks import Benchmark, Selection
from reports.gate.decision import EXIT_CODES, Judged, Rules, Verdict, is_settled, overall
from reports.gate.failures import PROOFS, SideError
from reports.gate.known import Known
from reports.gate.limits import USUAL, Limits
from reports.gate.pair import Pair
from reports.gate.quantities import Quantity, quantities, sampled_tests, with_quantities
from reports.gate.schedule import Case, judge_cases
from reports.saved.machines import Difference
from reports.text.durations import duration


@dataclass(frozen=True, kw_only=True, slots=True)
class SideRecord:
    """One side: the revision that was asked for, the commit it is, and the versions installed there.

    `code` are the files that its models' code came from, relative to the top of its worktree; `notes` what a reader must know of it.
    """

    revision: str
    commit: str
    subject: str
    python: str
    fixtures: str
    versions: Mapping[str, str]
    code: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One benchmark: its verdict with the figures, its pairs, and the differences between the proofs of both sides in the last one.

    `judged` has the verdict by everything and the figures of time; `quantities` are those beside time, `limits` the most that it may cost.
    `control` are pairs of base and a second build of base, where the sides have artifacts of their own.
    `failed_on` is the side that could not serve it, None where none was seen to fail; `was_tried` is False where it does not even offer it.
    """

    model: str
    step: str
    judged: Judged
    pairs: tuple[Pair, ...] = ()
    control: tuple[Pair, ...] = ()
    changes: tuple[Difference, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    limits: Limits = USUAL
    failed_on: Literal["base", "head", "both"] | None = None
    was_tried: bool = True

    @property
    def id(self) -> str:
        return Benchmark(self.model, self.step).id

    @property
    def took_s(self) -> float:
        return sum(pair.took_s for pair in (*self.pairs, *self.control))


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A whole gate. `error` says why there are no rows, where the gate could not be held; `machine` is its fingerprint.

    `rules` and `limits` are those of benchmarks that have none of their own.
    """

    verdict: Verdict
    rows: tuple[Row, ...] = ()
    error: str | None = None
    base: SideRecord | None = None
    head: SideRecord | None = None
    software: tuple[Difference, ...] = ()
    machine: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    rules: Rules
    limits: Limits = USUAL
    budget_s: float
    took_s: float

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    def of(self, verdict: Verdict) -> tuple[Row, ...]:
        """Return the rows of one verdict."""
        return tuple(row for row in self.rows if row.judged.verdict is verdict)

    @property
    def faster(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.judged.is_faster)


def rows(
    selection: Selection,
    cases: Sequence[Case],
    rules: Rules,
    budget_s: float,
    changes: Mapping[Benchmark, tuple[Difference, ...]],
    *,
    known: Known | None = None,
    others: Sequence[Case] = (),
) -> tuple[Row, ...]:
    """Return a row for every benchmark that was to be compared or could not be; regressions in `known` do not fail.

    `others` are those that the gate measured before and does not now.
    """
    judged = judge_cases(cases, others, rules)
    tests = sampled_tests([case.limits for case in cases])
    found = []
    for case, each in zip(cases, judged, strict=True):
        by_time = _judged(case, each, case.limits.rules(rules), budget_s)
        beside = _beside(case, each.look, rules, tests)
        if known is not None:
            by_time = known.time(case.benchmark, by_time)
            beside = tuple(known.quantity(case.benchmark, quantity) for quantity in beside)
        row = Row(
            model=case.benchmark.model,
            step=case.benchmark.step,
            judged=with_quantities(by_time, beside),
            pairs=tuple(case.all_pairs),
            control=tuple(case.pairs["control"]),
            changes=changes.get(case.benchmark, ()),
            quantities=beside,
            limits=case.limits,
            failed_on=case.failure.side if isinstance(case.failure, SideError) else None,
        )
        found.append(row)
    return (
        *found,
        *_told(selection.missing, Verdict.ERROR, "missing on head: ", "head"),
        *_told(selection.new, Verdict.NEW, "on head only; on base ", "base"),
        *_told(selection.skipped, Verdict.SKIPPED, "", "both"),
    )


def verdict_of(rows: Sequence[Row]) -> tuple[Verdict, str | None]:
    """Return the gate's verdict, and why where nothing was compared."""
    verdicts = [row.judged.verdict for row in rows]
    is_empty = not {*verdicts} - {Verdict.NEW, Verdict.SKIPPED}
    return overall(verdicts), "nothing was compared: no benchmark can be measured on both sides" if is_empty else None


def _beside(case: Case, looks: int, rules: Rules, tests: int) -> tuple[Quantity, ...]:
    """Return what stands beside time as of the last of so many looks; a regression of an earlier one stays, as one by time does."""
    found: dict[str, Quantity] = {}
    for look in range(1, max(1, looks) + 1):
        confirming = look * rules.confirm_pairs if looks else None
        pairs = [*case.pairs["screen"], *case.pairs["confirm"][:confirming]]
        for each in quantities(pairs, case.limits, tests=tests, alpha=rules.alpha_of(look)):
            if each.name not in found or found[each.name].verdict is not Verdict.REGRESSION:
                found[each.name] = each
    return tuple(found.values())


def _judged(case: Case, judged: Judged, rules: Rules, budget_s: float) -> Judged:
    if isinstance(case.failure, SideError):
        return _failed(case.failure, is_first=not case.all_pairs)
    if judged.verdict is not Verdict.INCONCLUSIVE or is_settled(case.sample, rules, case.looks):
        is_spent = judged.verdict is Verdict.INCONCLUSIVE and judged.look == len(rules.looks)
        return replace(judged, why=f"{judged.why}; looked at {judged.look} times, so no alpha is left") if is_spent else judged
    return replace(judged, why=f"the budget of {duration(budget_s)} ran out: {judged.why}; raise --budget or narrow -k")


def _failed(failure: SideError, *, is_first: bool) -> Judged:
    """A side could not serve the benchmark: head's failure is an error; what base never did cannot have been lost."""
    if failure.is_unsupported and failure.side == "both":
        return Judged(verdict=Verdict.SKIPPED, why=failure.reason)
    if failure.is_alike and is_first:
        return Judged(verdict=Verdict.SKIPPED, why=f"in force on neither side; {failure.reason}")
    if failure.side == "base" and is_first and (failure.kind in PROOFS or failure.is_unsupported):
        return Judged(verdict=Verdict.NEW, why=f"in force on head only, so nothing to compare with; base: {failure.reason}")
    return Judged(verdict=Verdict.ERROR, why=str(failure))


def _told(reasons: Mapping[Benchmark, str], verdict: Verdict, prefix: str, failed_on: Literal["base", "head", "both"]) -> Iterator[Row]:
    for benchmark, reason in reasons.items():
        judged = Judged(verdict=verdict, why=prefix + reason)
        yield Row(model=benchmark.model, step=benchmark.step, judged=judged, failed_on=failed_on, was_tried=False)
