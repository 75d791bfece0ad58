"""A gate from end to end: two checkouts, two sides, pairs by schedule, a result."""

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fixtures.machine import this_machine
from fixtures.models import weights
from fixtures.record import recorded_variables
from fixtures.side_protocol import SIDE_PROTOCOL_VERSION
from reports.gate.benchmarks import Benchmark, select
from reports.gate.checkouts import Checkout, checked_out
from reports.gate.decision import Rules
from reports.gate.failures import SideError, both_failed
from reports.gate.journal import PairJournal, only_gate_in
from reports.gate.known import Known
from reports.gate.limits import USUAL_THRESHOLDS, Thresholds
from reports.gate.origins import Origins, judged_origins
from reports.gate.pair import Pair, Phase
from reports.gate.progress import Progress
from reports.gate.requirements import requirement_changes
from reports.gate.result import Result, SideRecord, rows, verdict_of
from reports.gate.schedule import Budget, Schedule
from reports.gate.sides import Settings, Side, Surveyed
from reports.gate.turns import measure_pair
from reports.machines import Difference, software_differences


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a gate was asked for. A side without revision is the working folder; without interpreter, the gate's own."""

    base: str | None
    head: str | None
    base_python: str | None
    head_python: str | None
    expression: str | None
    settings: Settings
    rules: Rules
    budget_s: float
    out: Path | None
    sources: tuple[str, ...] = ()
    thresholds: Thresholds = USUAL_THRESHOLDS
    steps: tuple[str, ...] = ()
    only: frozenset[Benchmark] | None = None
    known: Known | None = None
    notes: tuple[str, ...] = ()


def hold(request: Request) -> Result:
    """Hold the gate. Raises GateError where it cannot be held, and OSError."""
    begin_s = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(request.out))
        checkouts = (
            stack.enter_context(checked_out("base", request.base, request.base_python, folder / "base", request.sources)),
            stack.enter_context(checked_out("head", request.head, request.head_python, folder / "head", request.sources)),
        )
        sides = [stack.enter_context(Side(checkout, request.settings)) for checkout in checkouts]
        for side in sides:
            side.begin_survey()
        base, head = surveyed = [side.end_survey() for side in sides]
        required = requirement_changes(checkouts[0].folder, checkouts[1].folder)
        origins = [_origins(*each) for each in zip(checkouts, reversed(checkouts), surveyed, strict=True)]
        versions = (base.versions, head.versions)
        selection = select(base.offers, head.offers, request.expression, request.steps, request.only)
        journal = PairJournal(folder, _conditions(request, checkouts, versions))
        progress = Progress(request.rules, len(selection.compared))
        pairs = Pairs(sides[0], sides[1], journal, progress)
        schedule = Schedule(
            selection.compared,
            journal.pairs,
            rules=request.rules,
            budget=Budget(request.budget_s),
            measure=pairs.measure,
            failures=SideError,
            observer=progress,
            limits={each: request.thresholds.of(each, base.offers[each].family) for each in selection.compared},
        )
        if journal.pairs:
            progress.note(f"going on with {len(journal.pairs)} pairs in {folder}")
        schedule.run()
        progress.close()
    found = rows(selection, schedule.cases, request.rules, request.budget_s, pairs.changes, known=request.known)
    verdict, error = verdict_of(found)
    return Result(
        verdict=verdict,
        rows=found,
        error=error,
        base=_record(checkouts[0], base.versions, origins[0]),
        head=_record(checkouts[1], head.versions, origins[1]),
        software=software_differences({"versions": base.versions}, {"versions": head.versions}),
        machine=this_machine().fingerprint(),
        notes=(
            *request.notes,
            *(request.known.expired() if request.known else ()),
            *(required if checkouts[0].python == checkouts[1].python else ()),
            *selection.notes,
        ),
        rules=request.thresholds.common.rules(request.rules),
        limits=request.thresholds.common,
        budget_s=request.budget_s,
        took_s=time.monotonic() - begin_s,
    )


class Pairs:
    """Measures pairs of two sides and writes them down."""

    def __init__(self, base: Side, head: Side, journal: PairJournal, progress: Progress) -> None:
        self._base = base
        self._head = head
        self._journal = journal
        self._progress = progress
        self._built: set[Benchmark] = set()
        self.changes: dict[Benchmark, tuple[Difference, ...]] = {}
        self._order = random.Random()  # noqa: S311 - an order, not a secret

    def measure(self, benchmark: Benchmark, phase: Phase) -> Pair:
        """Measure one pair, artifacts built before. Raises SideError."""
        if benchmark not in self._built:
            self._build(benchmark)
        pair, self.changes[benchmark] = measure_pair(self._base, self._head, benchmark, phase, self._order)
        try:
            self._journal.add(pair)
        except OSError as error:
            self._progress.note(f"warning: the journal cannot be written ({error.strerror or error}): a killed gate would lose this pair")
        return pair

    def _build(self, benchmark: Benchmark) -> None:
        """Build both sides' artifacts, one after the other: equal sides share one."""
        errors = []
        for side in (self._base, self._head):
            try:
                side.build(benchmark)
            except SideError as error:
                errors.append(error)
        if errors:
            raise errors[0] if len(errors) == 1 else both_failed(*errors)
        self._built.add(benchmark)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Return the folder for worktrees and journal, held for this gate; a temporary one goes at the end."""
    with ExitStack() as stack:
        folder = out.absolute() if out else Path(stack.enter_context(TemporaryDirectory(prefix="gate-")))
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(only_gate_in(folder))
        yield folder


def _conditions(request: Request, checkouts: tuple[Checkout, Checkout], versions: tuple[Mapping[str, str], ...]) -> dict[str, Any]:
    """Return what pairs must share to be judged together."""
    settings = request.settings
    sides: dict[str, Any] = {
        checkout.side: checkout.conditions() | {"versions": dict(installed)}
        for checkout, installed in zip(checkouts, versions, strict=True)
    }
    return {
        **sides,
        "side_protocol": SIDE_PROTOCOL_VERSION,
        "machine": this_machine().fingerprint(),
        "image_size": settings.image_size,
        "sequence_length": settings.sequence_length,
        "batch_size": settings.batch_size,
        "threads": settings.threads,
        "weights": weights.digest(settings.weights),
        "environment": recorded_variables(os.environ),
    }


def _origins(checkout: Checkout, other: Checkout, surveyed: Surveyed) -> Origins:
    if surveyed.modules is None:
        return Origins(notes=("an older suite, which does not tell where its models' code came from",))
    return judged_origins(checkout, other, surveyed.modules, surveyed.opened)


def _record(checkout: Checkout, versions: Mapping[str, str], origins: Origins) -> SideRecord:
    return SideRecord(
        revision=checkout.revision,
        commit=checkout.commit,
        subject=checkout.subject,
        python=checkout.python,
        fixtures=checkout.fixtures,
        versions=versions,
        code=origins.code,
        notes=(*checkout.notes, *origins.notes),
    )
