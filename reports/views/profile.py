"""Where the time of one step goes, alone or beside another step's of the same model. Pure functions on a saved run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from reports.saved.record import Measurement, OperatorTime, Run, SavedProfile
from reports.text.plain_text import some_of
from reports.text.refusal import Refusal

OTHERS = "(others)"
SMALL = 0.005
MOST_NAMED = 40


class NoProfile(Refusal):
    """A run, a model or a step has no profile; the message says which do and how to take one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepProfile:
    """One step's profile, its batch, and the median latency that it was timed with, without the profiler."""

    model: str
    step: str
    batch_size: int
    latency_p50_s: float | None
    profile: SavedProfile

    @property
    def calls(self) -> float:
        """Calls of all operators in one inference."""
        return sum(operator.calls for operator in self.profile.operators)


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorRow:
    """One operator in one or two steps; a side is None where the step does not run it."""

    name: str
    sides: tuple[OperatorTime | None, ...]

    @property
    def most_s(self) -> float:
        """The greater of both self times, in seconds."""
        return max(side.self_s for side in self.sides if side is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakdown:
    """One or two steps and the operators of either, the most expensive first and "(others)" last."""

    steps: tuple[StepProfile, ...]
    rows: tuple[OperatorRow, ...]


def breakdown(run: Run[Measurement], *, model: str | None, step: str, against: str | None = None) -> Breakdown:
    """Return where the time goes in `step`, and in `against` beside it. Raises NoProfile."""
    model = _model(run, model)
    steps = tuple(_profiled(run, model, name) for name in ([step] if against is None else [step, against]))
    by_name = [_by_name(each.profile.operators) for each in steps]
    names = dict.fromkeys(name for operators in by_name for name in operators)
    rows = [OperatorRow(name=name, sides=tuple(operators.get(name) for operators in by_name)) for name in names]
    return Breakdown(steps=steps, rows=tuple(sorted(rows, key=_place)))


def without_small(found: Breakdown) -> Breakdown:
    """Return the breakdown with all rows of less than half a percent on every side added up in "(others)"."""
    small = [row for row in found.rows if row.name == OTHERS or all(side is None or side.share < SMALL for side in row.sides)]
    if len(small) < 2:
        return found
    others = OperatorRow(name=OTHERS, sides=tuple(_sum([row.sides[place] for row in small]) for place in range(len(found.steps))))
    return replace(found, rows=(*(row for row in found.rows if row not in small), others))


def trace_file(run: Run[Measurement], profiled: StepProfile) -> Path:
    """Return the Chrome trace of a profile. Raises NoProfile where there is none."""
    of = f"run {run.name}: the profile of step {profiled.step!r} on {profiled.model!r}"
    if profiled.profile.trace is None:
        raise NoProfile(f"{of} has no trace ({'; '.join(profiled.profile.notes) or 'none was saved'}): show its table without --trace")
    name, folder = Path(profiled.profile.trace), run.path.absolute().parent
    if not name.is_absolute() and ".." not in name.parts:
        for file in (folder.parent / name, folder / name):
            if file.is_file():
                return file
    raise NoProfile(
        f"{of} has its trace in {str(name)!r} of the storage it was saved to, and no such file is there: "
        "keep the folder of traces beside the runs, or measure again with --profile"
    )


def _model(run: Run[Measurement], model: str | None) -> str:
    models = list(dict.fromkeys(measurement.model for measurement in run.measurements))
    if model is None:
        if len(models) != 1:
            raise NoProfile(f"run {run.name} measured {len(models)} models: name one with --model ({some_of(models, MOST_NAMED)})")
        return models[0]
    wanted = model if model in models else model.replace(":", ".")
    if wanted not in models:
        raise NoProfile(f"run {run.name} has no model {model!r}: name one that it measured ({some_of(models, MOST_NAMED)})")
    return wanted


def _profiled(run: Run[Measurement], model: str, step: str) -> StepProfile:
    measured = {each.step: each for each in run.measurements if each.model == model}
    having = [name for name, each in measured.items() if each.profile is not None]
    again = "take one with `pytest benchmarks/ --profile --benchmark-autosave`"
    found = measured.get(step)
    if found is not None and found.profile is not None:
        return StepProfile(model=model, step=step, batch_size=found.batch_size, latency_p50_s=found.latency_p50_s, profile=found.profile)
    if found is not None and found.profile_failure is not None:
        raise NoProfile(f"run {run.name}: step {step!r} on {model!r} was measured, but profiling it failed: {found.profile_failure}")
    if not having:
        raise NoProfile(f"run {run.name} was saved without profiles of {model!r}: {again}")
    lacks = f"has no profile of step {step!r}" if found is not None else f"did not measure step {step!r}"
    raise NoProfile(f"run {run.name} {lacks} on {model!r}: name one that has a profile ({some_of(having, MOST_NAMED)}), or {again}")


def _by_name(operators: Sequence[OperatorTime]) -> dict[str, OperatorTime]:
    """Return operators by name; of a name that comes twice the sum."""
    groups: dict[str, list[OperatorTime]] = {}
    for operator in operators:
        groups.setdefault(operator.name, []).append(operator)
    return {name: msgspec.structs.replace(_sum(group) or group[0], name=name) for name, group in groups.items()}


def _sum(sides: Collection[OperatorTime | None]) -> OperatorTime | None:
    present = [side for side in sides if side is not None]
    if not present:
        return None
    return OperatorTime(
        name=OTHERS,
        self_s=sum(side.self_s for side in present),
        share=min(1.0, sum(side.share for side in present)),
        calls=sum(side.calls for side in present),
    )


def _place(row: OperatorRow) -> tuple[bool, float]:
    return row.name == OTHERS, -row.most_s
