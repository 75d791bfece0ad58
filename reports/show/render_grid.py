"""Language models over their grid: terminal tables, Markdown, and a heat map of queries per second. Computes nothing."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.show.render_plot import CannotPlot, picture
from reports.text.figures import decibels, gain_short, milliseconds, p99_ms, per_second, top1
from reports.text.markdown import escape
from reports.text.plain_text import plain
from reports.views.grid import Grid, GridCell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("step", "tokens", "texts", "queries/s", "gain [95 %]", "over", "p50 ms", "p90 ms", "p99 ms", "SQNR dB", "top-1 %")
_DARK = 0.6


def print_grids(console: Console, grids: Iterable[Grid]) -> None:
    """Print one table per model, and why points have no figures."""
    for grid in grids:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
        for column in _COLUMNS:
            table.add_column(column, justify="left" if column in {"step", "over"} else "right", no_wrap=column != "over")
        for cell in _measured(grid):
            table.add_row(*(Text(text) for text in _texts(cell)))
        console.print(Text(plain(grid.model), style="bold"))
        console.print(table)
        for line in _reasons(grid):
            console.print(Text(plain(line, 700), overflow="fold", style="dim"))
        console.print()


def grids_markdown(grids: Iterable[Grid]) -> str:
    """Return a section with a table per model."""
    lines: list[str] = []
    for grid in grids:
        lines += [f"### {escape(grid.model)}\n", f"| {' | '.join(_COLUMNS)} |"]
        lines.append(f"|{'|'.join('---' if column in {'step', 'over'} else '---:' for column in _COLUMNS)}|")
        lines += [f"| {' | '.join(escape(text) for text in _texts(cell))} |" for cell in _measured(grid)]
        lines += ["", *(f"- {escape(line, 700)}" for line in _reasons(grid)), ""]
    return "\n".join(lines)


def grids_picture(grids: Iterable[Grid], suffix: str) -> bytes:
    """Draw a heat map for each model (rows) and step (columns): queries per second by sequence length and batch size.

    All maps of a model have one logarithmic scale of colour, and each cell its figure.
    """
    from matplotlib.figure import Figure

    drawn = [grid for grid in grids if _measured(grid)]
    if not drawn:
        raise CannotPlot("no point of the grid was measured, so there is nothing to draw: name another RUN")
    columns = max(len(grid.steps) for grid in drawn)
    height = 1.4 + 0.35 * max(len(grid.lengths) for grid in drawn)
    figure = Figure(figsize=(3.2 * columns, height * len(drawn)), layout="constrained")
    axes = figure.subplots(len(drawn), columns, squeeze=False)
    for grid, row in zip(drawn, axes, strict=True):
        for step, panel in zip(grid.steps, row, strict=False):
            _heat_map(panel, grid, step)
        for panel in row[len(grid.steps) :]:
            panel.set_axis_off()
    figure.suptitle("queries per second (one query is one text)", fontsize=10)
    return picture(figure, suffix)


def _heat_map(axes: "Axes", grid: Grid, step: str) -> None:
    logs = [math.log(cell.queries_per_second) for cell in grid.cells if cell.queries_per_second]
    low, high = min(logs), max(logs)
    values = [[_log(grid.at(step, length, size)) for size in grid.batch_sizes] for length in grid.lengths]
    axes.imshow(values, cmap="Blues", vmin=low - 0.1, vmax=high + 0.1, aspect="auto")
    for down, length in enumerate(grid.lengths):
        for right, size in enumerate(grid.batch_sizes):
            cell = grid.at(step, length, size)
            shown = per_second(cell.queries_per_second) if cell else "-"
            dark = values[down][right] - low > _DARK * (high - low) > 0
            axes.text(right, down, shown, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(len(grid.batch_sizes)), [str(size) for size in grid.batch_sizes], fontsize=8)
    axes.set_yticks(range(len(grid.lengths)), [str(length) for length in grid.lengths], fontsize=8)
    axes.set_xlabel("texts in a batch", fontsize=8)
    axes.set_ylabel("tokens", fontsize=8)
    axes.set_title(f"{plain(grid.model, 30)}\n{plain(step, 30)}", parse_math=False, fontsize=9)


def _log(cell: GridCell | None) -> float:
    return math.log(cell.queries_per_second) if cell and cell.queries_per_second else math.nan


def _measured(grid: Grid) -> list[GridCell]:
    return [cell for cell in grid.cells if cell.queries_per_second is not None]


def _texts(cell: GridCell) -> Iterator[str]:
    yield plain(cell.step)
    yield str(cell.sequence_length)
    yield str(cell.batch_size)
    yield per_second(cell.queries_per_second)
    yield gain_short(cell.gain)
    yield plain(cell.gain.over) if cell.gain else "-"
    yield milliseconds(cell.latency_p50_s)
    yield milliseconds(cell.latency_p90_s)
    yield p99_ms(cell)
    yield decibels(cell.sqnr_db)
    yield top1(cell.top1_agreement)


def _reasons(grid: Grid) -> Iterator[str]:
    """Say each reason once, with the points that it is of."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell in grid.cells:
        if cell.queries_per_second is None:
            reasons.setdefault((cell.step, cell.reason), []).append(f"{cell.sequence_length}x{cell.batch_size}")
    for (step, reason), points in reasons.items():
        yield f"{step} at {', '.join(points)} {reason}"
