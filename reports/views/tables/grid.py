"""Language models over their grid as tables. Computes nothing."""

from collections.abc import Iterable, Iterator

from reports.text.figures import NONE, decibels, gain_short, milliseconds, p99_ms, per_second, top1
from reports.views.grid import Grid, GridCell
from reports.views.tables import Cell, Column, Table, record

DISTURBED_POINT = "was disturbed by other processes, so it has no figure"
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


def grids_tables(grids: Iterable[Grid]) -> tuple[Table, ...]:
    """Return one table for each model, and why points have no figures, which CSV and JSON have as rows of their own."""
    return tuple(map(_table, grids))


def _table(grid: Grid) -> Table:
    rows = [(cell, _row(cell)) for cell in grid.cells]
    return Table(
        title=grid.model,
        columns=_COLUMNS,
        rows=tuple(row for cell, row in rows if cell.measured is not None),
        data=tuple(
            {"model": grid.model, **record(_COLUMNS, row), "latency_p99_s": _p99_s(cell), "reason": _reason(cell)} for cell, row in rows
        ),
        remarks=tuple(_reasons(grid)),
    )


def _p99_s(cell: GridCell) -> float | None:
    """Return the p99, which too few calls have none of: the table then shows their longest."""
    return cell.measured.latency_p99_s if cell.measured is not None else None


def _row(cell: GridCell) -> tuple[Cell, ...]:
    m = cell.measured
    point = (Cell(cell.step), Cell(str(cell.sequence_length), cell.sequence_length), Cell(str(cell.batch_size), cell.batch_size))
    if m is None:
        return (*point, *(Cell(NONE),) * (len(_COLUMNS) - len(point)))
    return (
        *point,
        Cell(per_second(m.samples_per_second), m.samples_per_second),
        Cell(gain_short(m.gain), m.gain.ratio if m.gain else None),
        Cell(m.gain.over if m.gain else NONE),
        Cell(milliseconds(m.latency_p50_s), m.latency_p50_s),
        Cell(milliseconds(m.latency_p90_s), m.latency_p90_s),
        Cell(p99_ms(m), m.latency_p99_s),
        Cell(decibels(m.sqnr_db), m.sqnr_db),
        Cell(top1(m.top1_agreement), m.top1_agreement),
    )


def _reason(cell: GridCell) -> str:
    """Return why a point has no figure, or one that stands for nothing; empty for any other."""
    return DISTURBED_POINT if cell.measured is not None and cell.measured.disturbed else cell.reason


def _reasons(grid: Grid) -> Iterator[str]:
    """Say each reason once, with the points that it is of."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell in grid.cells:
        if cell.measured is None or cell.measured.disturbed:
            reasons.setdefault((cell.step, _reason(cell)), []).append(f"{cell.sequence_length}x{cell.batch_size}")
    for (step, reason), points in reasons.items():
        yield f"{step} at {', '.join(points)} {reason}"
