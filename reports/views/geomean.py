"""Gains over a published set of models: each one's own, why others have none, and the geometric mean beside the published one. Pure."""

from dataclasses import dataclass

from fixtures.models import model_id
from fixtures.models.sets import SETS, Published
from fixtures.steps.optimizations import SET_STEPS
from reports.saved.record import Gain, Measurement, Run
from reports.statistics import geometric_mean_gain
from reports.views.history import NothingToFollow

EAGER = "eager"
[STEP] = SET_STEPS


class NoSetMeasured(NothingToFollow):
    """A run holds no model of any set, measured against eager PyTorch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One model of a set. Where it was not `measured` over eager PyTorch, `reason` says why."""

    name: str
    model: str
    reason: str = ""
    measured: Measurement | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SetGain:
    """A set with all its members, in its own order; `mean` is that of those that were measured."""

    name: str
    members: tuple[Member, ...]
    missing: dict[str, str]
    mean: Gain
    published: Published

    @property
    def measured(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.measured is not None)


def set_gains(run: Run[Measurement]) -> tuple[SetGain, ...]:
    """Return each set of which the run measured a model by `compile_freezing` over eager PyTorch. Raises NoSetMeasured."""
    found = tuple(found for name in SETS if (found := _set_gain(name, run)) is not None)
    if not found:
        raise NoSetMeasured(
            f"{run.path}: no model of a set ({', '.join(SETS)}) was measured by {STEP} over eager PyTorch; measure one with "
            f"`pytest benchmarks/test_compile.py --set {next(iter(SETS))} --benchmark-autosave`"
        )
    return found


def _set_gain(name: str, run: Run[Measurement]) -> SetGain | None:
    members = tuple(_member(published, model_id(model), run) for published, model in SETS[name].models.items())
    gains = [(m.gain.ratio, _pairs(m)) for member in members if (m := member.measured) is not None and m.gain is not None]
    if not gains:
        return None
    return SetGain(name=name, members=members, missing=SETS[name].missing, mean=geometric_mean_gain(gains), published=SETS[name].published)


def _member(name: str, model: str, run: Run[Measurement]) -> Member:
    measured = next((m for m in run.measurements if (m.model, m.step) == (model, STEP)), None)
    if measured is None:
        outcome = next((o for o in run.outcomes if (o.model, o.step) == (model, STEP)), None)
        reason = f"{outcome.outcome}: {outcome.reason or 'no reason saved'}" if outcome else "not run"
        return Member(name=name, model=model, reason=reason)
    if measured.gain is None:
        return Member(name=name, model=model, reason="measured over no other step")
    if measured.disturbed:
        return Member(name=name, model=model, reason="disturbed by other processes: measure it again on an idle machine")
    if measured.over_side is None or measured.over_side.runtime != EAGER:
        return Member(name=name, model=model, reason=f"measured over {measured.gain.over}, which is not eager")
    return Member(name=name, model=model, measured=measured)


def _pairs(measured: Measurement) -> tuple[float, ...]:
    """Return the gain of each pair."""
    return tuple(pair.over_median_s / pair.own_median_s for pair in measured.pairs if pair.over_median_s is not None)
