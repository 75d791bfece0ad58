"""Ladders and histories as pictures, PNG or SVG. Computes nothing. Needs matplotlib, and no display."""

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.saved.files import check_folder, write_atomically
from reports.saved.record import Outcome
from reports.statistics import FASTER, SLOWER
from reports.text.figures import per_second, signed_percent, times
from reports.text.plain_text import plain
from reports.text.refusal import Refusal
from reports.views.history import History, HistoryPoint, Series
from reports.views.ladder import Ladder, Stair, stairs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
MOST_PANELS = 60
FEWEST_PLACES = 8
JOINED = 100
BAR, BEST, UP, DOWN, UNSURE, FAINT = "#7a9cc6", "#1f4e8c", "#3a8f5c", "#c0504d", "#a6a6a6", "#666666"
_COLOURS = {FASTER: UP, SLOWER: DOWN}


class CannotPlot(Refusal):
    """A picture cannot be made; the message says why and what to do."""


def check_plot(path: Path | None) -> None:
    """Raise CannotPlot where a picture is wanted and cannot be written: unknown suffix, no such folder, no matplotlib."""
    if path is None:
        return
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        raise CannotPlot(
            f"--plot {str(path)!r}: pictures are {' or '.join('.' + name for name in FORMATS)}; name a file with one of these endings"
        )
    check_folder("--plot", path)
    try:
        import matplotlib.figure  # noqa: F401 - only to see whether it is there
    except ImportError as error:
        raise CannotPlot(f"--plot needs matplotlib ({error}): install it (pip install matplotlib)") from error


def save_plot(path: Path | None, draw: Callable[[str], bytes]) -> None:
    """Write what `draw` makes for the path's suffix, where a picture is wanted. Raises OSError."""
    if path is not None:
        write_atomically(path, draw(path.suffix))


def ladders_picture(ladders: Sequence[Ladder], suffix: str) -> bytes:
    """Draw for each model throughput by step with 95 % intervals, and the best recipe's gains as a waterfall."""
    heights = [max(3, 1 + 0.3 * len(ladder.rows)) for ladder in ladders]
    figure = sheet(13, sum(heights))
    axes = figure.subplots(len(ladders), 2, squeeze=False, gridspec_kw={"height_ratios": heights, "width_ratios": [3, 2]})
    for ladder, (left, right) in zip(ladders, axes, strict=True):
        _throughput(left, ladder)
        _waterfall(right, ladder, stairs(ladder))
    return picture(figure, suffix)


def history_picture(found: History, suffix: str) -> bytes:
    """Draw a panel per benchmark: every run with its interval, changes of level marked."""
    shown = found.series[:MOST_PANELS]
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = sheet(7 * columns, 2.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for series, panel in zip(shown, axes, strict=False):
        _series(panel, series)
    for panel in axes[len(shown) :]:
        panel.set_axis_off()
    figure.suptitle(plain(found.machine), parse_math=False, fontsize=10)
    return picture(figure, suffix)


def _throughput(axes: "Axes", ladder: Ladder) -> None:
    for place, row in enumerate(ladder.rows):
        if isinstance(row, Outcome):
            axes.annotate(row.outcome, (0, place), xytext=(4, 0), textcoords="offset points", va="center", color=FAINT, fontsize=8)
            continue
        right = sps = row.measurement.samples_per_second
        axes.barh(place, sps, color=BEST if row is ladder.best else BAR, height=0.7)
        if row.samples_per_second_interval is not None:
            axes.plot(row.samples_per_second_interval, [place, place], color="black", linewidth=1.2, marker="|", markersize=5)
            right = max(right, *row.samples_per_second_interval)
        label = f"{per_second(sps)}  {times(row.speedup)}" if row.speedup else per_second(sps)
        axes.annotate(label, (right, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
    name_rows(axes, [row.step for row in ladder.rows], places=len(ladder.rows))
    axes.margins(x=0.16)
    axes.set_xlim(left=0)
    axes.set_xlabel("samples per second (bar ends at the mean, line: 95 % interval over several processes)")
    axes.set_title(f"{plain(ladder.model, 60)}: throughput, and times the baseline (unpaired)", parse_math=False, loc="left", fontsize=10)


def _waterfall(axes: "Axes", ladder: Ladder, steps: Sequence[Stair]) -> None:
    if not steps:
        axes.set_axis_off()
        axes.text(0, 0.5, "no paired gain to show", color=FAINT)
        return
    for place, stair in enumerate(steps):
        axes.barh(place, stair.end - stair.start, left=stair.start, color=_COLOURS.get(stair.gain.verdict, UNSURE), height=0.7)
        if stair.gain.low is not None and stair.gain.high is not None:
            ends = (stair.start * stair.gain.low, stair.start * stair.gain.high)
            axes.plot(ends, [place, place], color="black", linewidth=1.2, marker="|", markersize=5)
        if place + 1 < len(steps):
            axes.plot([stair.end, stair.end], [place, place + 1], color=FAINT, linewidth=0.6, linestyle=":")
        right = max(stair.start, stair.end, stair.start * (stair.gain.high or 0))
        axes.annotate(signed_percent(stair.gain.ratio), (right, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
    name_rows(axes, [stair.step for stair in steps], places=max(len(steps), FEWEST_PLACES))
    axes.axvline(1, color=FAINT, linewidth=0.6)
    axes.margins(x=0.2)
    axes.set_xlabel(
        f"times {plain(steps[0].gain.over, 30)}: product of paired gains\n(grey: no measurable effect, or not resolved)", parse_math=False
    )
    best = plain(ladder.best.step, 40) if ladder.best else ""
    axes.set_title(f"what each step of {best} gives", parse_math=False, loc="left", fontsize=10)


def _series(axes: "Axes", series: Series) -> None:
    places = range(len(series.points))
    intervals = [(place, interval) for place, point in enumerate(series.points) if (interval := point.interval) is not None]
    axes.vlines(
        [place for place, _ in intervals], [low for _, (low, _) in intervals], [high for _, (_, high) in intervals], colors=BAR, alpha=0.5
    )
    throughput = [point.samples_per_second for point in series.points]
    axes.plot(places, throughput, color=BEST, marker=".", markersize=3, linewidth=0.7 if len(throughput) <= JOINED else 0)
    for place, point in enumerate(series.points):
        if point.shift is not None:
            _mark_shift(axes, place, point, point.shift)
    ticks = sorted({0, len(series.points) // 2, len(series.points) - 1})
    names = [f"{plain(series.points[tick].run, 12)}\n{series.points[tick].saved_at:%Y-%m-%d}" for tick in ticks]
    axes.set_xticks(ticks, names, fontsize=7)
    for name in axes.get_xticklabels():
        name.set_parse_math(False)
    axes.set_ylabel("SPS", fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_title(f"{plain(series.model, 30)} {plain(series.step, 40)}", parse_math=False, loc="left", fontsize=9)


def _mark_shift(axes: "Axes", place: int, point: HistoryPoint, shift: float) -> None:
    colour = UP if shift > 1 else DOWN
    axes.axvline(place - 0.5, color=colour, linewidth=1)
    axes.text(
        place - 0.5,
        0.97,
        f" {signed_percent(shift)} at {plain(point.run, 20)} ({plain(point.commit, 11)})",
        transform=axes.get_xaxis_transform(),
        color=colour,
        fontsize=7,
        va="top",
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )


def name_rows(axes: "Axes", names: Sequence[str], *, places: int, longest: int = 32) -> None:
    """Name the rows of a bar chart, the first on top, with room for `places` of them."""
    axes.set_yticks(range(len(names)), [plain(name, longest) for name in names], fontsize=8)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(places - 0.4, -0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def sheet(width: float, height: float) -> "Figure":
    """Return an empty figure of so many inches, which finds room for all that stands in it."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def picture(figure: "Figure", suffix: str) -> bytes:
    """Return a figure as a PNG or SVG file, as `suffix` says."""
    content = io.BytesIO()
    name = suffix.lower().removeprefix(".")
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes: no reason to bother the user.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(content, format=name, dpi=130, metadata={"Date": None} if name == "svg" else None)
    return content.getvalue()
