"""Steps by release as a table. Computes nothing."""

from collections.abc import Iterator

from reports.saved.record import Gain
from reports.text.figures import NONE, gain_short, per_second
from reports.versions import Broken, VersionCell, VersionRow, Versions
from reports.views.tables import LONGEST_STEP, STYLES, WARNING, Cell, Column, Line, Table


def versions_table(found: Versions) -> Table:
    """Return the table, the steps that broke, and the other differences."""
    return Table(
        columns=tuple(_columns(found)),
        rows=tuple(tuple(_cells(found, row)) for row in found.rows),
        remarks=(*map(_broken, found.broken), *(Line(f"note: {note}", WARNING) for note in found.notes)),
    )


def _columns(found: Versions) -> Iterator[Column]:
    yield Column("model", "model", is_number=False, folds=True, longest=LONGEST_STEP)
    yield Column("step", "step", is_number=False, folds=True, longest=LONGEST_STEP)
    for version in found.versions:
        yield Column(f"{found.package} {version}", f"{found.package} {version}", folds=True)
    if len(found.versions) > 1:
        yield Column("last over first [95 %], unpaired", "unpaired", folds=True)
    if found.compared is not None:
        yield Column(f"{found.compared[1]} over {found.compared[0]} [95 %], paired", "paired", folds=True)


def _cells(found: Versions, row: VersionRow) -> Iterator[Cell]:
    yield Cell(row.model)
    yield Cell(row.step)
    for cell in row.cells:
        yield _figure(cell)
    if len(found.versions) > 1:
        yield Cell(gain_short(row.unpaired), row.unpaired.ratio if row.unpaired else None)
    if found.compared is not None:
        yield _paired(row.paired)


def _figure(cell: VersionCell | None) -> Cell:
    if cell is None:
        return Cell(NONE)
    if cell.outcome != "measured":
        return Cell(cell.outcome, style=STYLES.get(cell.outcome, ""))
    if cell.samples_per_second is None:
        return Cell("works")
    return Cell(per_second(cell.samples_per_second), cell.samples_per_second)


def _paired(gain: Gain | None) -> Cell:
    if gain is None:
        return Cell(NONE)
    return Cell(f"{gain_short(gain)} {gain.verdict.partition(' (±')[0]}", gain.ratio, STYLES.get(gain.verdict, ""))


def _broken(broken: Broken) -> Line:
    told = f"{broken.model} {broken.step}: works in {broken.works_in}, {broken.how} in {broken.fails_in}: {broken.reason}"
    return Line(told, STYLES.get(broken.how, ""))
