"""Language models over a grid of sequence lengths and batch sizes: every step's figures at each point. Pure."""

from dataclasses import dataclass

from fixtures.steps.grid import EAGER, eager_at
from reports.saved.record import Measurement, Run
from reports.views.history import NothingToFollow


class NoGrid(NothingToFollow):
    """A run holds no point of a grid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GridCell:
    """One step at one point; a query is one text. Where it was not `measured`, `reason` says why."""

    step: str
    sequence_length: int
    batch_size: int
    measured: Measurement | None = None
    reason: str = ""

    @property
    def queries_per_second(self) -> float | None:
        return self.measured.samples_per_second if self.measured is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """All points of one model: step by step, eager first, sequence lengths and batch sizes rising."""

    model: str
    cells: tuple[GridCell, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that were measured at some point."""
        return tuple(dict.fromkeys(cell.step for cell in self.cells if cell.measured is not None))

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(sorted({cell.sequence_length for cell in self.cells}))

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return tuple(sorted({cell.batch_size for cell in self.cells}))

    def at(self, step: str, sequence_length: int, batch_size: int) -> GridCell | None:
        """Return a step's cell, None where the grid has none there."""
        wanted = (step, sequence_length, batch_size)
        return next((cell for cell in self.cells if (cell.step, cell.sequence_length, cell.batch_size) == wanted), None)


def grids(run: Run[Measurement]) -> tuple[Grid, ...]:
    """Return one grid per model, models and steps in the order of the run. Raises NoGrid."""
    cells: dict[str, list[GridCell]] = {}
    for measured in run.measurements:
        if point := _point(measured.model):
            cells.setdefault(point[0], []).append(_cell(measured.step, *point[1:], measured=measured))
    for outcome in run.outcomes:
        if outcome.outcome != "measured" and (point := _point(outcome.model)):
            reason = f"{outcome.outcome}: {outcome.reason or 'no reason saved'}"
            cells.setdefault(point[0], []).append(_cell(outcome.step, *point[1:], reason=reason))
    if not cells:
        raise NoGrid(
            f"{run.path}: no language model was measured over a grid; measure one with "
            "`pytest benchmarks/test_language_models.py --benchmark-autosave`"
        )
    return tuple(Grid(model=model, cells=_in_order(found)) for model, found in cells.items())


def _point(model: str) -> tuple[str, int, int] | None:
    """Return name, tokens and texts of `transformers.bert-128x8`; None for another id."""
    name, dash, point = model.rpartition("-")
    length, cross, batch_size = point.partition("x")
    if not (dash and cross and _is_count(length) and _is_count(batch_size)):
        return None
    return name, int(length), int(batch_size)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 6


def _in_order(cells: list[GridCell]) -> tuple[GridCell, ...]:
    steps = list(dict.fromkeys([EAGER, *(cell.step for cell in cells)]))
    return tuple(sorted(cells, key=lambda cell: (steps.index(cell.step), cell.sequence_length, cell.batch_size)))


def _cell(step: str, sequence_length: int, batch_size: int, *, measured: Measurement | None = None, reason: str = "") -> GridCell:
    name = EAGER if step == eager_at(batch_size) else step
    return GridCell(step=name, sequence_length=sequence_length, batch_size=batch_size, measured=measured, reason=reason)
