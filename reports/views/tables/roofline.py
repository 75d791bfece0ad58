"""The roofline and the calibration as tables. Computes nothing."""

from collections.abc import Iterator

from reports.saved.record import Calibration
from reports.statistics.roofline import FAULT, WINOGRAD, Roofline, RooflinePoint
from reports.text.figures import NONE, per_second, share_percent, significant
from reports.views.tables import Cell, Column, Table

GIGA = 1e9
DISTURBED_SHARE = "disturbed by other processes, so its share is no figure"
_COLUMNS = (
    Column("model", "model", is_number=False),
    Column("step", "step", is_number=False),
    Column("SPS", "samples_per_second"),
    Column("GFLOP/s", "flops_per_second"),
    Column("of reported\nkernel time %", "precision_share", is_number=False),
    Column("peak of\nthis mix", "peak_flops_per_second"),
    Column("share\nof peak", "share_of_peak"),
    Column("of the\nlargest part's", "share_of_dominating_peak"),
    Column("FLOP\n/byte", "flops_per_byte"),
    Column("bound by", "bound_by", is_number=False),
)
_PEAK_COLUMNS = (
    Column("limit", "limit", is_number=False),
    Column("highest", "per_second"),
    Column("unit", "unit", is_number=False),
    Column("reached by", "reached_by", is_number=False),
    Column("kernel", "kernel", is_number=False),
)


def calibration_table(calibration: Calibration, machine: str) -> Table:
    """Return each precision's peak, the bandwidth, and why one is missing."""
    rows = [_limit(peak.precision, peak.flops_per_second, "FLOP/s", peak.trial, peak.kernel) for peak in calibration.peaks]
    if calibration.bandwidth_bytes_per_second is not None:
        rows.append(_limit("memory", calibration.bandwidth_bytes_per_second, "B/s", calibration.bandwidth_trial, ""))
    return Table(
        title=f"{machine}, {calibration.threads} threads",
        columns=_PEAK_COLUMNS,
        rows=tuple(rows),
        remarks=tuple(_calibration_remarks(calibration)),
    )


def roofline_tables(roofline: Roofline) -> tuple[Table, ...]:
    """Return one table for each model; the step nearest its peak stands out."""
    return tuple(_table(roofline, model) for model in roofline.models)


def percent(share: float) -> str:
    """Return 0.974 as `97 %`; above 1 never cut off, and never rounded down to 100."""
    return f"{100 * share:.1f} %" if 1 < share < 1.1 else f"{100 * share:.0f} %" if share < 1e4 else f"{100 * share:.1e} %"


def limits(calibration: Calibration) -> str:
    """Return peaks and bandwidth in one sentence."""
    parts = [f"{peak.precision} {significant(peak.flops_per_second / GIGA)} GFLOP/s" for peak in calibration.peaks]
    if calibration.bandwidth_bytes_per_second is not None:
        parts.append(f"memory {significant(calibration.bandwidth_bytes_per_second / GIGA)} GB/s")
    return ", ".join(parts) or "no peak"


def _table(roofline: Roofline, model: str) -> Table:
    points = [point for point in roofline.points if point.model == model]
    placed = [
        (place.share_of_peak, row)
        for row, point in enumerate(points)
        if (place := point.place) is not None and not place.fault and not point.disturbed
    ]
    faults = [f"{point.step} {percent(point.place.share_of_peak)}" for point in points if point.place is not None and point.place.fault]
    remarks = [f"above the peak, which is {FAULT}: {', '.join(faults)}"] if faults else []
    explained = [f"{p.step} {percent(p.place.share_of_peak)}" for p in points if p.place is not None and p.place.explanation]
    remarks += [f"above the peak, {WINOGRAD}: {', '.join(explained)}"] if explained else []
    remarks += [f"{point.step} was {DISTURBED_SHARE}" for point in points if point.place is not None and point.disturbed]
    remarks += [f"{point.step} has no place under the roof: {point.reason}" for point in points if point.place is None]
    return Table(
        title=f"{model} on {roofline.machine}: {limits(roofline.calibration)}",
        columns=_COLUMNS,
        rows=tuple(_row(point) for point in points),
        remarks=(*remarks, *_calibration_remarks(roofline.calibration)),
        marked=frozenset([max(placed)[1]] if placed else []),
    )


def _row(point: RooflinePoint) -> tuple[Cell, ...]:
    place = point.place
    named = (Cell(point.model), Cell(point.step), Cell(per_second(point.samples_per_second), point.samples_per_second))
    mix = Cell(share_percent(point.precision_share), " ".join(f"{name}={share:.4f}" for name, share in point.precision_share.items()))
    if place is None:
        return (*named, Cell(NONE), mix, *(Cell(NONE),) * 5)
    return (
        *named,
        Cell(significant(place.flops_per_second / GIGA), place.flops_per_second),
        mix,
        Cell(significant(place.peak_flops_per_second / GIGA), place.peak_flops_per_second),
        Cell(f"{percent(place.share_of_peak)}{' FAULT' if place.fault else ' Winograd' if place.explanation else ''}", place.share_of_peak),
        Cell(f"{place.precision} {percent(place.share_of_dominating_peak)}", place.share_of_dominating_peak),
        Cell(NONE if place.intensity is None else significant(place.intensity), place.intensity),
        Cell(place.bound_by or NONE),
    )


def _limit(name: str, rate: float, unit: str, trial: str, kernel: str) -> tuple[Cell, ...]:
    return (Cell(name), Cell(f"{significant(rate / GIGA)} G", rate), Cell(unit), Cell(trial), Cell(kernel))


def _calibration_remarks(calibration: Calibration) -> Iterator[str]:
    for missing in calibration.missing:
        yield f"no peak of {missing.precision}: {missing.reason}"
    yield from calibration.notes
    taken = f"peaks measured {calibration.taken_at:%Y-%m-%d %H:%M} UTC with {calibration.threads} threads"
    yield f"{taken}, in a hurry: `python -m reports peaks` takes longer and is surer" if calibration.is_short else taken
