"""The throughput of every benchmark over all saved runs of one machine. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime as DateTime
from typing import Any

from reports.changepoints import change_points
from reports.ladder import sps_interval
from reports.machines import machine_differences, machine_name
from reports.measurement import Run, Throughput


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryPoint:
    """One benchmark in one run; `shift` is set where a new level begins: its mean throughput / that of the level before."""

    run: str
    saved_at: DateTime
    commit: str
    measured: Throughput
    shift: float | None = None

    @property
    def samples_per_second(self) -> float:
        return self.measured.samples_per_second

    @property
    def interval(self) -> tuple[float, float] | None:
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
class History:
    """Series in the order of the newest run's ladder; `other_machines` counts the runs left out, by machine."""

    machine: str
    series: tuple[Series, ...]
    runs: int
    other_machines: dict[str, int]


class NothingToFollow(Exception):
    """No saved run has what was asked for."""


def history(
    runs: Sequence[Run[Throughput]], fingerprint: Mapping[str, Any], *, steps: Collection[str] = (), models: Collection[str] = ()
) -> History:
    """Follow `steps` of `models` (empty: all) through those of `runs`, oldest first, that are of the machine of `fingerprint`.

    Raises NothingToFollow if there is no such run, or none that has a step or model that was asked for.
    """
    mine, others = [], dict[str, int]()
    for run in runs:
        if machine_differences(fingerprint, run.fingerprint):
            name = machine_name(run.fingerprint)
            others[name] = others.get(name, 0) + 1
        else:
            mine.append(run)
    keys = dict.fromkeys((m.model, m.step) for run in reversed(mine) for m in run.measurements)
    if not keys:
        raise NothingToFollow("no saved run to follow: save some with `pytest benchmarks/ --benchmark-autosave`")
    _require(steps, {step for _, step in keys}, "step")
    _require(models, {model for model, _ in keys}, "model")
    points: dict[tuple[str, str], list[HistoryPoint]] = {
        key: [] for key in keys if (not models or key[0] in models) and (not steps or key[1] in steps)
    }
    for run in mine:
        for measurement in run.measurements:
            if (measurement.model, measurement.step) in points:
                points[measurement.model, measurement.step].append(_point(run, measurement))
    return History(
        machine=machine_name(fingerprint),
        series=tuple(Series(model=key[0], step=key[1], points=_mark_shifts(found)) for key, found in points.items() if found),
        runs=len(mine),
        other_machines=others,
    )


def _require(wanted: Collection[str], known: Collection[str], kind: str) -> None:
    missing = [name for name in wanted if name not in known]
    if missing:
        raise NothingToFollow(f"no saved run of this machine has {kind} {missing[0]!r}; name one that is saved: {', '.join(sorted(known))}")


def _point(run: Run[Throughput], measurement: Throughput) -> HistoryPoint:
    return HistoryPoint(run=run.name, saved_at=run.saved_at, commit=run.commit.short, measured=measurement)


def _mark_shifts(points: Sequence[HistoryPoint]) -> tuple[HistoryPoint, ...]:
    marked = list(points)
    for change in change_points([point.samples_per_second for point in points]):
        marked[change.start] = replace(marked[change.start], shift=change.ratio)
    return tuple(marked)
