"""Language models over their grid: tables, and a heat map of queries per second. Computes nothing."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from reports.show.pictures import CannotPlot, picture
from reports.show.tables import Cell, Column, Table
from reports.text.figures import NONE, decibels, gain_short, milliseconds, p99_ms, per_second, top1
from reports.text.plain_text import plain
from reports.views.grid import Grid, GridCell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = (
    Column("step", "step", is_number=False),
    Column("tokens", "sequence_length"),
    Column("texts", "batch_size"),
    Column("queries/s", "queries_per_second"),
    Column("gain [95 %]", "gain"),
    Column("over", "gain_over", is_number=False, folds=True),
    Column("p50 ms", "latency_p50_s"),
    Column("p90 ms", "latency_p90_s"),
    Column("p99 ms", "latency_p99_s"),
    Column("SQNR dB", "sqnr_db"),
    Column("top-1 %", "top1_agreement"),
)
_DARK = 0.6


def grids_tables(grids: Iterable[Grid]) -> tuple[Table, ...]:
    """Return one table for each model, and why points have no figures."""
    return tuple(
        Table(
            title=grid.model,
            columns=_COLUMNS,
            rows=tuple(tuple(_cells(cell)) for cell in _measured(grid)),
            remarks=tuple(_reasons(grid)),
        )
        for grid in grids
    )


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


def _cells(cell: GridCell) -> Iterator[Cell]:
    yield Cell(cell.step)
    yield Cell(str(cell.sequence_length), cell.sequence_length)
    yield Cell(str(cell.batch_size), cell.batch_size)
    yield Cell(per_second(cell.queries_per_second), cell.queries_per_second)
    yield Cell(gain_short(cell.gain), cell.gain.ratio if cell.gain else None)
    yield Cell(cell.gain.over if cell.gain else NONE)
    yield Cell(milliseconds(cell.latency_p50_s), cell.latency_p50_s)
    yield Cell(milliseconds(cell.latency_p90_s), cell.latency_p90_s)
    yield Cell(p99_ms(cell), cell.latency_p99_s)
    yield Cell(decibels(cell.sqnr_db), cell.sqnr_db)
    yield Cell(top1(cell.top1_agreement), cell.top1_agreement)


def _reasons(grid: Grid) -> Iterator[str]:
    """Say each reason once, with the points that it is of."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell in grid.cells:
        if cell.queries_per_second is None:
            reasons.setdefault((cell.step, cell.reason), []).append(f"{cell.sequence_length}x{cell.batch_size}")
    for (step, reason), points in reasons.items():
        yield f"{step} at {', '.join(points)} {reason}"
