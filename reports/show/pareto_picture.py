"""The Pareto front as a picture, PNG or SVG. Computes nothing. Needs matplotlib, and no display."""

from collections.abc import Sequence

from reports.show.pictures import BAR, BEST, DOWN, FAINT, picture, sheet
from reports.text.figures import milliseconds
from reports.text.plain_text import plain
from reports.views.front import FrontPoint
from reports.views.recommend import DeploymentLimits


def pareto_picture(points: Sequence[FrontPoint], limits: DeploymentLimits, *, title: str, winner: str, suffix: str) -> bytes:
    """Draw throughput against p99: the front as a line with names, all other recipes as dots, the limit as a border."""
    from matplotlib.ticker import FuncFormatter

    figure = sheet(10, 6)
    axes = figure.subplots()
    others = [point for point in points if not point.on_front]
    front = [point for point in points if point.on_front]
    axes.scatter(*_places(others), color=BAR, s=18, label="measured")
    axes.plot(*_places(front), color=BEST, marker="o", drawstyle="steps-post", linewidth=1, label="Pareto front")
    if first := [point for point in front if point.is_first]:
        axes.scatter(*_places(first), color="white", edgecolors=BEST, zorder=3, label="on the front, measured once")
    for point in front:
        axes.annotate(
            plain(point.step, 40),
            (1000 * point.tail_s, point.samples_per_second),
            xytext=(6, -10),
            textcoords="offset points",
            fontsize=8,
            parse_math=False,
            fontweight="bold" if point.step == winner else "normal",
        )
    if limits.p99_s is not None:
        axes.axvline(1000 * limits.p99_s, color=DOWN, linewidth=1, linestyle="--", label=f"limit: p99 {milliseconds(limits.p99_s)} ms")
    if points:
        axes.set_xscale("log")
        for written in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            written(FuncFormatter(lambda value, _place: f"{value:g}"))
    axes.set_ylim(bottom=0)
    axes.margins(x=0.15)
    axes.set_xlabel("p99 of a call, ms (of fewer than 100 calls the slowest)")
    axes.set_ylabel("samples per second")
    axes.set_title(plain(title, 120), parse_math=False, loc="left", fontsize=10)
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    axes.grid(color=FAINT, alpha=0.15)
    return picture(figure, suffix)


def _places(points: Sequence[FrontPoint]) -> tuple[list[float], list[float]]:
    """Return where points stand: milliseconds to the right, samples per second upwards."""
    return [1000 * point.tail_s for point in points], [point.samples_per_second for point in points]
