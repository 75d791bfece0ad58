"""The roofline as a picture, PNG or SVG: a panel for each model. Computes nothing but where labels go. Needs matplotlib, and no display."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.saved.record import Calibration
from reports.show.pictures import DOWN, FAINT, picture, sheet
from reports.statistics.roofline import Place, Roofline, RooflinePoint
from reports.text.figures import significant
from reports.text.plain_text import plain
from reports.views.tables.roofline import GIGA, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by most eyes; shapes and line styles say the same without colour.
_STYLES = {"f32": ("#0072B2", "o", "-"), "bf16": ("#D55E00", "s", "--"), "f16": ("#009E73", "D", "-."), "int8": ("#7B4173", "^", ":")}
_OTHER = ("#444444", "X", "-")
_LABEL_GAP = 0.03
_MOST_LABELS = 32
_INCHES_A_LABEL = 0.2


def roofline_picture(roofline: Roofline, suffix: str) -> bytes:
    """Draw for each model its steps under the machine's roofs."""
    panels = [(model, _placed(roofline, model)) for model in roofline.models]
    heights = [max(5.0, 1.5 + _INCHES_A_LABEL * min(len(placed), _MOST_LABELS)) for _, placed in panels]
    figure = sheet(12, sum(heights))
    axes = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for (model, placed), (panel,) in zip(panels, axes, strict=True):
        title = f"{plain(model, 60)} on {plain(roofline.machine, 80)}"
        _panel(panel, title, placed, roofline.calibration)
    return picture(figure, suffix)


def _placed(roofline: Roofline, model: str) -> list[tuple[RooflinePoint, Place, float]]:
    return [
        (point, place, place.intensity)
        for point in roofline.points
        if point.model == model and (place := point.place) is not None and place.intensity
    ]


def _panel(axes: "Axes", title: str, placed: Sequence[tuple[RooflinePoint, Place, float]], calibration: Calibration) -> None:
    axes.set_title(title, parse_math=False, loc="left", fontsize=10)
    if not placed:
        axes.set_axis_off()
        axes.text(0, 0.5, "no step has a place under the roof; the table says why", color=FAINT)
        return
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = _range(placed, calibration)
    _roofs(axes, calibration, low, high)
    for _, place, intensity in placed:
        colour, shape, _ = _STYLES.get(place.precision, _OTHER)
        edge = DOWN if place.fault else "white"
        axes.plot(
            intensity, place.flops_per_second / GIGA, marker=shape, color=colour, markersize=7, markeredgecolor=edge, linewidth=0, zorder=3
        )
    axes.set_xlim(low, high)
    highest = max([peak.flops_per_second for peak in calibration.peaks] + [place.flops_per_second for _, place, _ in placed])
    lowest = min([place.flops_per_second for _, place, _ in placed] + [_slope(calibration) * low])
    axes.set_ylim(0.7 * lowest / GIGA, 1.6 * highest / GIGA)
    axes.set_xlabel("FLOP per byte (estimated traffic: weights once a call, activations once at each operator)")
    axes.set_ylabel("GFLOP per second")
    _plain_ticks(axes)
    axes.grid(visible=True, which="both", linewidth=0.3, color="#dddddd")
    _labels(axes, placed)


def _plain_ticks(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _slope(calibration: Calibration) -> float:
    """Bytes per second of the memory roof; without one nothing lies below the points."""
    return calibration.bandwidth_bytes_per_second or math.inf


def _range(placed: Sequence[tuple[RooflinePoint, Place, float]], calibration: Calibration) -> tuple[float, float]:
    ridges = [peak.flops_per_second / _slope(calibration) for peak in calibration.peaks if calibration.bandwidth_bytes_per_second]
    seen = [intensity for _, _, intensity in placed] + ridges
    return min(seen) / 2, max(seen) * 2


def _roofs(axes: "Axes", calibration: Calibration, low: float, high: float) -> None:
    bandwidth = calibration.bandwidth_bytes_per_second
    for peak in calibration.peaks:
        colour, shape, line = _STYLES.get(peak.precision, _OTHER)
        height = peak.flops_per_second / GIGA
        ridge = peak.flops_per_second / bandwidth if bandwidth else low
        axes.plot([max(low, ridge), high], [height, height], color=colour, linestyle=line, linewidth=1.4)
        axes.plot([], [], color=colour, linestyle=line, marker=shape, label=f"{plain(peak.precision, 20)}: {significant(height)} GFLOP/s")
    if bandwidth:
        top = min(high, max((peak.flops_per_second for peak in calibration.peaks), default=bandwidth * high) / bandwidth)
        axes.plot([low, top], [low * bandwidth / GIGA, top * bandwidth / GIGA], color="black", linewidth=1.2)
        axes.plot([], [], color="black", label=f"memory: {significant(bandwidth / GIGA)} GB/s")
    for text in axes.legend(loc="upper left", fontsize=8).get_texts():
        text.set_parse_math(False)


def _labels(axes: "Axes", placed: Sequence[tuple[RooflinePoint, Place, float]]) -> None:
    """Name each point in a column at the right, in order of height, joined to it by a thin line."""
    chosen = sorted(sorted(placed, key=lambda each: -each[1].share_of_peak)[:_MOST_LABELS], key=lambda each: each[1].flops_per_second)
    bottom, top = (math.log(limit) for limit in axes.get_ylim())
    wanted = [(math.log(place.flops_per_second / GIGA) - bottom) / (top - bottom) for _, place, _ in chosen]
    for (point, place, intensity), height in zip(chosen, spread(wanted, _LABEL_GAP), strict=True):
        text = f"{plain(point.step, 32)}  {percent(place.share_of_peak)}{' FAULT of the peaks' if place.fault else ''}"
        label = axes.annotate(
            text,
            (intensity, place.flops_per_second / GIGA),
            xytext=(1.02, height),
            textcoords="axes fraction",
            fontsize=8,
            va="center",
            color=DOWN if place.fault else "black",
            arrowprops={"arrowstyle": "-", "color": "#bbbbbb", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3, "relpos": (0, 0.5)},
        )
        label.set_parse_math(False)
    if len(placed) > len(chosen):
        axes.text(1.02, -0.06, f"and {len(placed) - len(chosen)} more", transform=axes.transAxes, fontsize=8, color=FAINT)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return ascending heights moved as little as a simple sweep does until they are `gap` apart, between 0 and 1 where they fit."""
    gap = min(gap, 1 / max(1, len(wanted) - 1))
    found: list[float] = []
    for height in wanted:
        found.append(max(height, found[-1] + gap if found else 0.0))
    ceiling = 1.0
    for place in reversed(range(len(found))):
        found[place] = min(found[place], ceiling)
        ceiling = found[place] - gap
    return found
