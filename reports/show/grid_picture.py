"""Language models over their grid as heat maps of queries per second, PNG or SVG. Needs matplotlib, and no display."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from reports.show.pictures import CannotPlot, picture, sheet
from reports.text.figures import per_second
from reports.text.plain_text import plain
from reports.views.grid import Grid, GridCell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DARK = 0.6


def grids_picture(grids: Iterable[Grid], suffix: str) -> bytes:
    """Draw a heat map for each model (rows) and step (columns): queries per second by sequence length and batch size.

    All maps of a model have one logarithmic scale of colour, and each cell its figure.
    """
    drawn = [grid for grid in grids if grid.steps]
    if not drawn:
        raise CannotPlot("no point of the grid was measured, so there is nothing to draw: name another RUN")
    columns = max(len(grid.steps) for grid in drawn)
    height = 1.4 + 0.35 * max(len(grid.lengths) for grid in drawn)
    figure = sheet(3.2 * columns, height * len(drawn))
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
