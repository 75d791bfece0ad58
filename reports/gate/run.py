"""A gate from end to end: two checkouts, two sides, pairs by schedule, a result."""

import difflib
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fixtures import models
from fixtures.bench.record import recorded_variables
from fixtures.machine import this_machine
from fixtures.models import weights
from fixtures.protocol.side_protocol import SIDE_PROTOCOL_VERSION, SideSurveyed
from fixtures.steps.optimizations import catalogue
from reports.gate.benchmarks import Benchmark, GateError, select
from reports.gate.checkouts import Checkout, checked_out
from reports.gate.configuration import check_families
from reports.gate.decision import Rules
from reports.gate.environments import files_of, with_requirements
from reports.gate.failures import SideError
from reports.gate.journal import PairJournal, only_gate_in
from reports.gate.known import Known
from reports.gate.limits import USUAL_THRESHOLDS, Thresholds
from reports.gate.origins import Origins, bases_metric, check_code_stays, judged_origins, models_digest, own_model, own_names, own_weights
from reports.gate.pair import Figures
from reports.gate.pairs import Pairs
from reports.gate.progress import Progress
from reports.gate.requirements import requirement_changes
from reports.gate.result import Result, SideRecord, rows, verdict_of
from reports.gate.schedule import Budget, Schedule
from reports.gate.sides import Settings, Side
from reports.saved.machines import software_differences
from reports.text.plain_text import plain
from reports.views.weights import weights_text

ENVIRONMENTS = "environments"
ABSENT = "(not installed)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a gate was asked for. A side without revision is the working folder; without interpreter, the gate's own."""

    base: str | None = None
    head: str | None = None
    base_python: str | None = None
    head_python: str | None = None
    expression: str | None
    settings: Settings
    rules: Rules
    budget_s: float
    out: Path | None = None
    sources: tuple[str, ...] = ()
    thresholds: Thresholds = USUAL_THRESHOLDS
    steps: tuple[str, ...] = ()
    requirements: str | None = None
    only: frozenset[Benchmark] | None = None
    known: Known | None = None
    notes: tuple[str, ...] = ()


def hold(request: Request) -> Result:
    """Hold the gate. Raises GateError and JournalError where it cannot be held, and OSError."""
    begin_s = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(request.out))
        checkouts = (
            stack.enter_context(checked_out("base", request.base, request.base_python, folder / "base", request.sources)),
            stack.enter_context(checked_out("head", request.head, request.head_python, folder / "head", request.sources)),
        )
        request = replace(request, settings=replace(request.settings, evaluate=bases_metric(request.settings.evaluate, checkouts[0])))
        if request.requirements:
            checkouts = _with_requirements(stack, checkouts, request.requirements, request.settings.artifact_cache)
        sides = [stack.enter_context(closing(Side(checkout, request.settings))) for checkout in checkouts]
        for side in sides:
            side.begin_survey()
        base, head = surveyed = [side.end_survey() for side in sides]
        of_base, of_head = ({Benchmark(each.model, each.step): each for each in seen.offers} for seen in surveyed)
        offered = {each.family for side in surveyed for each in side.offers}  # whose steps may be of another version than ours
        check_families(request.thresholds.families, offered | {step.family for step in catalogue().values()})
        own = _measured_files(checkouts, request.requirements)
        required = requirement_changes(checkouts[0].folder, checkouts[1].folder, own)
        taken = [_weights(request.settings, checkout) for checkout in checkouts]
        origins = [_origins(*each) for each in zip(checkouts, reversed(checkouts), surveyed, strict=True)]
        selection = select(of_base, of_head, request.expression, request.steps, request.only)
        journal = PairJournal(folder, _conditions(request, checkouts, surveyed))
        named = own_names(request.settings.models, checkouts[1], Path.cwd())
        recorded = journal.of(named)
        progress = Progress(request.rules, len(selection.compared))
        limits = {each: request.thresholds.of(each, of_base[each].family) for each in selection.compared}
        pairs = Pairs(
            sides[0],
            sides[1],
            journal,
            progress,
            again=lambda side, number: stack.enter_context(closing(side.again(number))),
            taken=recorded,
            rules=request.rules,
            one_by_one=any(each.build_time_percent is not None for each in limits.values()),
            check=check_code_stays(checkouts, [seen.modules or {} for seen in surveyed]),
            named=named,
        )
        schedule = Schedule(
            selection.compared,
            recorded,
            rules=request.rules,
            budget=Budget(request.budget_s),
            measure=pairs.measure,
            failures=SideError,
            observer=progress,
            limits=limits,
        )
        if recorded:
            progress.note(f"going on with {len(recorded)} pairs in {folder}")
        for case in schedule.again:
            alpha = request.rules.alpha_of(case.looks)
            progress.note(f"{case.benchmark.id}: could not be told; look {case.looks} at its pairs, with the {alpha:.2%} that are left")
        schedule.run()
        progress.close()
    found = rows(selection, schedule.cases, request.rules, request.budget_s, pairs.changes, known=request.known, others=schedule.others)
    verdict, error = verdict_of(found)
    pairs_taken = [pair for case in schedule.cases for pair in case.all_pairs]
    figures = ([pair.base for pair in pairs_taken], [pair.head for pair in pairs_taken])
    records = [_record(*each, settings=request.settings) for each in zip(checkouts, surveyed, origins, taken, figures, strict=True)]
    return Result(
        verdict=verdict,
        rows=found,
        error=error,
        base=records[0],
        head=records[1],
        software=software_differences(*_installed(checkouts, (base.versions, head.versions))),
        machine=this_machine().fingerprint(),
        notes=(
            *request.notes,
            *(request.known.expired() if request.known else ()),
            *fitting_nothing(request.thresholds, request.known, {*of_base, *of_head}),
            *(required if own or checkouts[0].python == checkouts[1].python else ()),
            *selection.notes,
        ),
        rules=request.thresholds.common.rules(request.rules),
        limits=request.thresholds.common,
        budget_s=request.budget_s,
        took_s=time.monotonic() - begin_s,
    )


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Return the folder for worktrees and journal, held for this gate; a temporary one goes at the end."""
    with ExitStack() as stack:
        folder = out.absolute() if out else Path(stack.enter_context(TemporaryDirectory(prefix="gate-")))
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(only_gate_in(folder))
        yield folder


def _conditions(request: Request, checkouts: tuple[Checkout, Checkout], surveyed: Sequence[SideSurveyed]) -> dict[str, Any]:
    """Return what pairs must share to be judged together."""
    settings, here = request.settings, Path.cwd()
    sides: dict[str, Any] = {}
    for checkout, seen in zip(checkouts, surveyed, strict=True):
        models = [own_model(name, checkout, here) for name in settings.models]
        digest = models_digest(checkout, models, seen.modules or {}, seen.opened or [])
        code = {"commit": checkout.commit, "digest": checkout.digest, "python": checkout.python}
        sides[checkout.side] = code | {"versions": dict(seen.versions), "code of its models": digest}
    return {
        **sides,
        "side_protocol": SIDE_PROTOCOL_VERSION,
        "machine": this_machine().fingerprint(),
        "image": str(settings.image),
        "sequence_length": settings.sequence_length,
        "batch_size": settings.batch_size,
        "threads": settings.threads,
        "weights": weights.digest(settings.weights),
        **settings.answers.conditions,
        "environment": recorded_variables(os.environ),
    } | ({"sources": list(request.sources)} if request.sources else {})


def _with_requirements(stack: ExitStack, checkouts: tuple[Checkout, Checkout], name: str, cache: Path) -> tuple[Checkout, Checkout]:
    """Give each side the requirements of its own revision. Raises GateError."""
    if not any((checkout.folder / name).is_file() for checkout in checkouts):
        raise GateError(f"--requirements {name}: neither side has such a file; name one of the repository")
    tell = partial(print, file=sys.stderr, flush=True)
    base, head = (stack.enter_context(with_requirements(each, name, cache / ENVIRONMENTS, tell)) for each in checkouts)
    return base, head


def fitting_nothing(thresholds: Thresholds, known: Known | None, offered: Collection[Benchmark]) -> Iterator[str]:
    """Say which limits and acknowledgements of the configuration are of nothing that a side offers: of other models, or misspelt."""
    named: dict[str, tuple[Iterable[str], set[str]]] = {
        "thresholds.models": (thresholds.models, {each.model for each in offered}),
        "thresholds.benchmarks": (thresholds.benchmarks, {each.id for each in offered}),
        "acknowledged": ({entry.benchmark: entry for entry in known.entries} if known else (), {each.id for each in offered}),
    }
    for kind, (names, there) in named.items():
        for name in names:
            if name not in there:
                near = difflib.get_close_matches(name, sorted(there), n=1, cutoff=0.0)
                yield f"{kind}: {plain(name, 100)} is nothing that was offered here; the nearest is {', '.join(near) or 'none'}"


def _measured_files(checkouts: tuple[Checkout, Checkout], name: str | None) -> frozenset[str]:
    """Return the requirements files whose changes are measured: none where both sides have the same packages."""
    if name is None or checkouts[0].python == checkouts[1].python:
        return frozenset()
    return files_of(checkouts[0], name) | files_of(checkouts[1], name)


def _installed(checkouts: Sequence[Checkout], told: Sequence[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield what is installed on each side, as far as the other side has it otherwise or not at all."""
    names = {name: ABSENT for checkout in checkouts for name in checkout.packages}
    for checkout, versions in zip(checkouts, told, strict=True):
        yield {"versions": names | dict(checkout.packages) | dict(versions)}


def _origins(checkout: Checkout, other: Checkout, surveyed: SideSurveyed) -> Origins:
    if surveyed.modules is None:
        return Origins(notes=("an older suite, which does not tell where its models' code came from",))
    return judged_origins(checkout, other, surveyed.modules, surveyed.opened or [])


def _weights(settings: Settings, checkout: Checkout) -> str:
    """Say which weights a side measures."""
    if settings.weights:
        return f"{weights_text(weights.digest(own_weights(settings.weights, checkout)))} ({settings.weights})"
    own = all(models.runs_own_code(name) for name in settings.models)
    return "weights as the model's own code makes them" if own else "random weights, seed 0 (give trained ones with --weights)"


def _record(
    checkout: Checkout, surveyed: SideSurveyed, origins: Origins, taken: str, told: Sequence[Figures], *, settings: Settings
) -> SideRecord:
    """Return what a side is, with the weights that were `taken`, and which answers it did not tell although it was asked for them."""
    pictures = bool(settings.accuracy) and any(each.right is None for each in told)
    metrics = bool(settings.text or settings.evaluate) and any(not each.metrics for each in told)
    silent = (
        *(("an older suite, which classifies no pictures: answers are not judged",) if pictures else ()),
        *(("an older suite, which has no metrics: they are not judged",) if metrics else ()),
    )
    return SideRecord(
        revision=checkout.revision,
        commit=checkout.commit,
        subject=checkout.subject,
        python=checkout.python,
        fixtures=checkout.fixtures,
        versions=surveyed.versions,
        code=origins.code,
        notes=(*checkout.notes, *origins.notes, *silent, taken),
    )
