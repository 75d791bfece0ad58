"""The throughput of every benchmark over all saved runs of one machine. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime as DateTime
from typing import Any

from reports.saved.machines import machine_differences, machine_name
from reports.saved.record import Run, Throughput
from reports.statistics import Interval
from reports.statistics.changepoints import ChangePoint, changes
from reports.text.refusal import Refusal
from reports.views.ladder import sps_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryPoint:
    """One benchmark in one run.

    `shift` is set where a new level begins: its mean throughput / that of the level before, without what all steps of a run share.
    """

    run: str
    saved_at: DateTime
    commit: str
    measured: Throughput
    shift: float | None = None

    @property
    def samples_per_second(self) -> float:
        return self.measured.samples_per_second

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval over the run's own processes; None below two."""
        return sps_interval(self.measured)


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    model: str
    step: str
    points: tuple[HistoryPoint, ...]

    @property
    def shifts(self) -> tuple[HistoryPoint, ...]:
        return tuple(point for point in self.points if point.shift is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineShift:
    """From this run on all steps together are `ratio` times as fast: the machine, or whatever else they share."""

    run: str
    commit: str
    ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Series in the order of the newest run's ladder; `other_machines` counts the runs left out, by machine.

    `machine_shifts` are changes of what all steps of the runs share, which no step is charged with. `other_conditions` counts the
    measurements left out, which had other inputs, threads or workers than the newest one of their step.
    """

    machine: str
    series: tuple[Series, ...]
    runs: int
    other_machines: dict[str, int]
    machine_shifts: tuple[MachineShift, ...] = ()
    other_conditions: int = 0

    @property
    def disturbed(self) -> int:
        """How many of the measurements that are followed were disturbed, and tell no level."""
        return sum(point.measured.disturbed for series in self.series for point in series.points)


class NothingToFollow(Refusal):
    """No saved run has what was asked for."""


def history(
    runs: Sequence[Run[Throughput]], fingerprint: Mapping[str, Any], *, steps: Collection[str] = (), models: Collection[str] = ()
) -> History:
    """Follow `steps` of `models` (empty: all) through those of `runs`, oldest first, that are of the machine of `fingerprint`.

    A step is followed on the inputs, threads and workers of its newest measurement: another image size is no change of its level.
    A record that a resumed run took over from an interrupted one is followed once, where it was measured.
    Raises NothingToFollow if there is no such run, or none that has a step or model that was asked for, and for no fingerprint.
    """
    if not fingerprint:
        raise NothingToFollow(
            "the run says nothing about its machine (no machine_info.fingerprint), so nobody knows which other runs are of the same one; "
            "name a run that does with --machine-of: `python -m reports list` shows the machine of each"
        )
    mine, others = [], dict[str, int]()
    for run in runs:
        if not run.fingerprint or machine_differences(fingerprint, run.fingerprint):
            others[run.machine] = others.get(run.machine, 0) + 1
        else:
            mine.append(run)
    keys = dict.fromkeys((m.model, m.step) for run in reversed(mine) for m in run.measurements)
    if not keys:
        raise NothingToFollow("no saved run to follow: save some with `pytest benchmarks/ --benchmark-autosave`")
    _require(steps, {step for _, step in keys}, "step")
    _require(models, {model for model, _ in keys}, "model")
    wanted = [key for key in keys if (not models or key[0] in models) and (not steps or key[1] in steps)]
    if not wanted:
        told = f"no saved run of this machine has a step {' or '.join(steps)} of {' or '.join(models)}"
        raise NothingToFollow(f"{told}; name two that were measured together: `python -m reports list` shows the models of each run")
    once = _each_once(mine)
    newest = {(m.model, m.step): m.conditions for records in once for m in records}
    measured = [{(m.model, m.step): m for m in records if m.conditions == newest[m.model, m.step]} for records in once]
    # what was disturbed tells nothing of a level
    quiet = [{key: m.samples_per_second for key, m in each.items() if not m.disturbed} for each in measured]
    found = changes([[each.get(key) for each in quiet] for key in keys])
    return History(
        machine=machine_name(fingerprint),
        series=tuple(_series(key, mine, measured, found.steps[place]) for place, key in enumerate(keys) if key in wanted),
        runs=len(mine),
        other_machines=others,
        machine_shifts=tuple(
            MachineShift(run=mine[change.start].name, commit=mine[change.start].commit.short, ratio=change.ratio)
            for change in found.machine
        ),
        other_conditions=sum(len(records) - len(kept) for records, kept in zip(once, measured, strict=True)),
    )


def _each_once(runs: Sequence[Run[Throughput]]) -> list[list[Throughput]]:
    """Return the records of each run, without those whose pairs an earlier one has: that one was interrupted, and this one went on."""
    counted: set[tuple[object, ...]] = set()
    found = []
    for run in runs:
        found.append([m for m in run.measurements if (m.model, m.step, m.pairs) not in counted])
        counted |= {(m.model, m.step, m.pairs) for m in run.measurements if m.pairs}
    return found


def _require(wanted: Collection[str], known: Collection[str], kind: str) -> None:
    missing = [name for name in wanted if name not in known]
    if missing:
        raise NothingToFollow(f"no saved run of this machine has {kind} {missing[0]!r}; name one that is saved: {', '.join(sorted(known))}")


def _series(
    key: tuple[str, str],
    runs: Sequence[Run[Throughput]],
    measured: Sequence[Mapping[tuple[str, str], Throughput]],
    shifts: Sequence[ChangePoint],
) -> Series:
    ratios = {change.start: change.ratio for change in shifts}
    points = [
        HistoryPoint(run=run.name, saved_at=run.saved_at, commit=run.commit.short, measured=found[key], shift=ratios.get(place))
        for place, (run, found) in enumerate(zip(runs, measured, strict=True))
        if key in found
    ]
    return Series(model=key[0], step=key[1], points=tuple(points))
