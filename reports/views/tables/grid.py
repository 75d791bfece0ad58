"""Language models over their grid as tables. Computes nothing."""

from collections.abc import Iterable, Iterator

from reports.saved.record import Measurement
from reports.text.figures import NONE, decibels, gain_short, milliseconds, p99_ms, per_second, top1
from reports.views.grid import Grid, GridCell
from reports.views.tables import Cell, Column, Table

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
    """Return one table for each model, and why points have no figures."""
    return tuple(
        Table(
            title=grid.model,
            columns=_COLUMNS,
            rows=tuple(tuple(_cells(cell, m)) for cell in grid.cells if (m := cell.measured) is not None),
            data=tuple(_data(grid.model, cell) for cell in grid.cells),
            remarks=tuple(_reasons(grid)),
        )
        for grid in grids
    )


def _cells(cell: GridCell, m: Measurement) -> Iterator[Cell]:
    yield Cell(cell.step)
    yield Cell(str(cell.sequence_length), cell.sequence_length)
    yield Cell(str(cell.batch_size), cell.batch_size)
    yield Cell(per_second(m.samples_per_second), m.samples_per_second)
    yield Cell(gain_short(m.gain), m.gain.ratio if m.gain else None)
    yield Cell(m.gain.over if m.gain else NONE)
    yield Cell(milliseconds(m.latency_p50_s), m.latency_p50_s)
    yield Cell(milliseconds(m.latency_p90_s), m.latency_p90_s)
    yield Cell(p99_ms(m), m.latency_p99_s)
    yield Cell(decibels(m.sqnr_db), m.sqnr_db)
    yield Cell(top1(m.top1_agreement), m.top1_agreement)


def _data(model: str, cell: GridCell) -> dict[str, object]:
    """Return a row of CSV and JSON, also of a point that was not measured: its reason."""
    m = cell.measured
    gain = m.gain if m is not None else None
    return {
        "model": model,
        "step": cell.step,
        "sequence_length": cell.sequence_length,
        "batch_size": cell.batch_size,
        "queries_per_second": cell.queries_per_second,
        "gain": gain.ratio if gain is not None else None,
        "gain_over": gain.over if gain is not None else None,
        **{name: getattr(m, name, None) for name in ("latency_p50_s", "latency_p90_s", "latency_p99_s", "sqnr_db", "top1_agreement")},
        "reason": cell.reason,
    }


def _reasons(grid: Grid) -> Iterator[str]:
    """Say each reason once, with the points that it is of."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell in grid.cells:
        if cell.measured is None:
            reasons.setdefault((cell.step, cell.reason), []).append(f"{cell.sequence_length}x{cell.batch_size}")
    for (step, reason), points in reasons.items():
        yield f"{step} at {', '.join(points)} {reason}"
