"""How near each step comes to what the machine can do, for the page. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.page.scales import Scale, amount_scale
from reports.saved.record import Calibration, Measurement, Run
from reports.statistics.roofline import CannotPlace, Roofline, RooflinePoint, roofline


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsView:
    """The steps of one model under the roof of the machine, and the scale of their shares of its peak, 1 being the peak."""

    id: str
    model: str
    points: tuple[RooflinePoint, ...]
    shares: Scale


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineLimits:
    """The machine's peaks, and the share of them that the steps of each model reach."""

    roofline: Roofline
    models: tuple[LimitsView, ...]


def machine_limits(run: Run[Measurement], calibration: Calibration | None = None) -> MachineLimits | None:
    """Return the run under a later calibration, or its own; None where it has none, or counts no FLOPs."""
    try:
        found = roofline(run, calibration)
    except CannotPlace:
        return None
    views = (_view(f"limits-{place}", model, found.points) for place, model in enumerate(found.models, 1))
    return MachineLimits(roofline=found, models=tuple(views))


def _view(name: str, model: str, points: Sequence[RooflinePoint]) -> LimitsView:
    own = tuple(point for point in points if point.model == model)
    shares = amount_scale([1.0, *(point.place.share_of_peak for point in own if point.place)])
    return LimitsView(id=name, model=model, points=own, shares=shares)
