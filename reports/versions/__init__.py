"""Steps by release: what each gives in each version of a package, from saved runs and from pairs of two interpreters. Pure."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean, median

from reports.gate.result import Result, Row
from reports.saved.machines import ABSENT, Difference, machine_differences
from reports.saved.record import Gain, Measurement, Run
from reports.statistics import paired_gain, unpaired_ratio
from reports.views.ladder import processes_sps

Key = tuple[str, str]
DIFFERS = " differs too: "


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionCell:
    """One step in one version; `reason` says why there is no throughput. `processes` are those of fresh processes."""

    samples_per_second: float | None = None
    processes: tuple[float, ...] = ()
    outcome: str = "measured"
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionRow:
    """One step on one model, a cell for each version, None where it was not run.

    `unpaired` is the newest version's throughput over the oldest's, `paired` head's over base's from processes that took turns.
    """

    model: str
    step: str
    cells: tuple[VersionCell | None, ...]
    unpaired: Gain | None = None
    paired: Gain | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A step that works in one release and not in another."""

    model: str
    step: str
    works_in: str
    fails_in: str
    how: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Versions:
    """Steps by version of `package`, oldest version first. `compared` names the versions that took turns, base and head."""

    package: str
    versions: tuple[str, ...]
    rows: tuple[VersionRow, ...]
    broken: tuple[Broken, ...]
    compared: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()


def from_runs(runs: Sequence[Run[Measurement]], package: str) -> Versions:
    """Return what `runs`, oldest first, have of each version of `package`: those of the newest run's machine and inputs.

    Among several runs with one version the newest counts, step by step; not one in which others disturbed the step.
    """
    ours = [run for run in runs if _version(run, package)]
    ours = [run for run in ours if not machine_differences(run.fingerprint, ours[-1].fingerprint)]
    versions = tuple(sorted({_version(run, package) for run in ours}, key=_order))
    shapes = {(m.model, m.step): m.input_shape[1:] for run in ours for m in run.measurements if m.input_shape}  # the last of each step
    cells = {version: _cells([run for run in ours if _version(run, package) == version], shapes) for version in versions}
    keys = dict.fromkeys(key for column in cells.values() for key in column)
    rows = [
        VersionRow(model=model, step=step, cells=tuple(cells[version].get((model, step)) for version in versions)) for model, step in keys
    ]
    return _completed(Versions(package=package, versions=versions, rows=tuple(rows), broken=(), notes=tuple(_notes(ours, runs, package))))


def with_pairs(table: Versions, result: Result) -> Versions:
    """Return the table with the paired gains of a gate's pairs, and with what one of its two sides could not do."""
    assert result.base is not None
    assert result.head is not None
    base, head = (_labelled(table.package, side.versions.get(table.package, "none"), side.versions) for side in (result.base, result.head))
    if base == head:
        head = f"{head} (head)"
    versions = (*table.versions, *(version for version in (base, head) if version not in table.versions))
    further = (None,) * (len(versions) - len(table.versions))
    rows = {(row.model, row.step): replace(row, cells=row.cells + further) for row in table.rows}
    for found in result.rows:
        key = (found.model, found.step)
        row = rows.get(key) or VersionRow(model=found.model, step=found.step, cells=(None,) * len(versions))
        cells = list(row.cells)
        for version, cell in _pair_cells(found, base, head).items():
            place = versions.index(version)
            saved = cells[place]
            if saved is None or saved.samples_per_second is None or cell.outcome != "measured":
                cells[place] = cell
        rows[key] = replace(row, cells=tuple(cells), paired=_paired(found) or row.paired)
    changed = tuple(_changes(result.software))
    kept = tuple(note for note in table.notes if not note.partition(DIFFERS)[1])
    ordered = sorted(range(len(versions)), key=lambda place: _order(versions[place]))
    joined = replace(table, versions=versions, rows=tuple(rows.values()), compared=(base, head), notes=(*kept, *changed))
    return _completed(_at(joined, ordered))


def _at(table: Versions, places: Sequence[int]) -> Versions:
    """Return the table with the versions at these places, in this order."""
    rows = tuple(replace(row, cells=tuple(row.cells[place] for place in places)) for row in table.rows)
    return replace(table, versions=tuple(table.versions[place] for place in places), rows=rows)


def _completed(table: Versions) -> Versions:
    """Return the table with the unpaired ratios and the broken steps that follow from its cells."""
    rows = tuple(replace(row, unpaired=_unpaired(row.cells)) for row in table.rows)
    return replace(table, rows=rows, broken=tuple(broken for row in rows for broken in _broken(row, table.versions)))


def comparable(table: Versions) -> Versions:
    """Return the table without the steps that were run in one of several versions only, and a note of how many those are."""
    rows = tuple(row for row in table.rows if sum(cell is not None for cell in row.cells) > 1)
    alone = len(table.rows) - len(rows)
    if not rows or not alone:
        return table
    places = [place for place in range(len(table.versions)) if any(row.cells[place] is not None for row in rows)]
    notes = (*table.notes, f"{alone} steps were run in one release only, and are left out")
    return _completed(_at(replace(table, rows=rows, notes=notes), places))


def _version(run: Run[Measurement], package: str) -> str:
    """Return the version with the build variant where torch's is one of CUDA; empty where none was recorded."""
    versions, builds = (run.fingerprint.get(name) for name in ("versions", "builds"))
    version = versions.get(package) if isinstance(versions, Mapping) else None
    return _labelled(package, version, builds if isinstance(builds, Mapping) else {}) if isinstance(version, str) else ""


def _labelled(package: str, version: str, builds: Mapping[str, object]) -> str:
    build = str(builds.get("torch_build", "CPU"))
    return f"{version} ({build})" if package == "torch" and build != "CPU" else version


def _order(version: str) -> tuple[tuple[int, ...], str]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:4]), version


def _cells(runs: Sequence[Run[Measurement]], shapes: Mapping[Key, tuple[int, ...]]) -> dict[Key, VersionCell]:
    cells: dict[Key, VersionCell] = {}
    for run in runs:
        for ended in run.outcomes:
            if ended.outcome != "measured":
                reason = _first_line(ended.reason or "no reason saved")
                cells[ended.model, ended.step] = VersionCell(outcome=ended.outcome, reason=reason)
        processes = processes_sps(run.measurements)
        for measured in run.measurements:
            key = (measured.model, measured.step)
            if measured.input_shape and measured.input_shape[1:] != shapes[key]:
                continue
            if not measured.disturbed:
                cells[key] = _of_processes(processes[key])
            elif key not in cells or cells[key].outcome != "measured":
                cells[key] = VersionCell(reason="disturbed by other processes")
    return cells


def _unpaired(cells: Sequence[VersionCell | None]) -> Gain | None:
    measured = [cell.processes if cell is not None else () for cell in cells]
    return unpaired_ratio((measured[-1],), (measured[0],)) if len(cells) > 1 and measured[0] and measured[-1] else None


def _broken(row: VersionRow, versions: Sequence[str]) -> Iterator[Broken]:
    working = [version for version, cell in zip(versions, row.cells, strict=True) if cell is not None and cell.outcome == "measured"]
    for version, cell in zip(versions, row.cells, strict=True):
        if working and cell is not None and cell.outcome != "measured":
            yield Broken(
                model=row.model, step=row.step, works_in=", ".join(working), fails_in=version, how=cell.outcome, reason=cell.reason
            )


def _pair_cells(row: Row, base: str, head: str) -> dict[str, VersionCell]:
    """Return what a gate's row says of each side. A side that failed has a reason, in a later pair too; the other one works."""
    cells: dict[str, VersionCell] = {}
    if row.pairs:
        cells[base] = _of_processes([pair.base_samples / median(pair.base_rounds_s) for pair in row.pairs])
        cells[head] = _of_processes([pair.head_samples / median(pair.head_rounds_s) for pair in row.pairs])
    if row.failed_on is None:
        return cells
    failed = VersionCell(outcome="failed" if row.was_tried else "skipped", reason=_first_line(row.judged.why))
    works = VersionCell(reason="not timed: the other release could not")
    return {
        base: failed if row.failed_on != "head" else cells.get(base, works),
        head: failed if row.failed_on != "base" else cells.get(head, works),
    }


def _of_processes(processes: Sequence[float]) -> VersionCell:
    """The geometric mean, of which the ratio between two versions is one."""
    return VersionCell(samples_per_second=geometric_mean(processes), processes=tuple(processes))


def _paired(row: Row) -> Gain | None:
    if not row.pairs or row.failed_on is not None:
        return None
    times = [math.exp(pair.slowdown) for pair in row.pairs]  # head's time a sample over base's, as the gate sees it
    return paired_gain(times, [1.0] * len(times))


def _notes(ours: Sequence[Run[Measurement]], runs: Sequence[Run[Measurement]], package: str) -> Iterable[str]:
    if len(ours) < len(runs):
        yield f"{len(runs) - len(ours)} runs of other machines, or without a version of {package}, were left out"
    others: dict[str, set[str]] = {}
    for run in ours:
        for name, version in run.fingerprint["versions"].items():
            others.setdefault(name, set()).add(str(version))
    for name, found in others.items():
        if name != package and len(found) > 1:
            yield f"{name}{DIFFERS}{', '.join(sorted(found, key=_order))}"


def _changes(software: Iterable[Difference]) -> Iterable[str]:
    """Name the packages that the two environments have in different versions, and those that one of them lacks."""
    alone = []
    for difference in software:
        name = difference.field.removeprefix("versions.")
        if ABSENT in (difference.base, difference.head):
            alone.append(name)
        else:
            yield f"{name}: {difference.base} on base, {difference.head} on head"
    if alone:
        yield f"in one of the two environments only: {', '.join(alone)}"


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
