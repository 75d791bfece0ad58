"""Views as tables: a module for each command, pure, and here the table that all of them return.

Cells and lines are plain text. `reports/show/tables.py` makes every format of a table, and makes its text safe.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reports.saved.record import Throughput
from reports.statistics import DISTURBED
from reports.text.figures import NONE
from reports.views.weights import weights_line

LONGEST_STEP = 32
LONGEST_CELL = 120
STYLES = {"faster": "green", "slower": "red", "skipped": "yellow", "failed": "bold red", DISTURBED: "yellow"}
WARNING, REMARK = "yellow", "dim"


@dataclass(frozen=True, slots=True)
class Cell:
    """What a reader sees, and the plain value for CSV and JSON; both are the same where one is given.

    `below` follows on a line of its own where that saves width.
    """

    shown: str
    value: object = None
    style: str = ""
    below: str = ""

    @property
    def whole(self) -> str:
        return f"{self.shown} {self.below}" if self.below else self.shown

    @property
    def plain_value(self) -> object:
        return self.shown if self.value is None and self.shown != NONE else self.value


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, the name of the field in CSV and JSON, and whether its cells are numbers.

    Cells of text are folded where the terminal is narrow; one narrower than `least_width` has no such column.
    """

    heading: str
    field: str
    is_number: bool = True
    folds: bool = False
    least_width: int = 0
    most_width: int | None = None
    longest: int = LONGEST_CELL


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence beside a table, after words that stand out; one that is copied from a terminal is never broken there."""

    text: str
    style: str = ""
    lead: str = ""
    lead_style: str = "bold"
    is_copied: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows under a title, sentences above and remarks below; a row whose place is in `marked` stands out.

    `data` are the rows of CSV and JSON where they have other fields than the columns.
    """

    title: str = ""
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    before: tuple[Line, ...] = ()
    remarks: tuple[Line | str, ...] = ()
    marked: frozenset[int] = frozenset()
    data: tuple[Mapping[str, object], ...] | None = None

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(Line(each, REMARK) if isinstance(each, str) else each for each in self.remarks)

    @property
    def records(self) -> tuple[Mapping[str, object], ...]:
        """The rows of CSV and JSON, by field."""
        if self.data is not None:
            return self.data
        return tuple(record(self.columns, row) for row in self.rows)


def record(columns: Iterable[Column], cells: Iterable[Cell]) -> dict[str, object]:
    """Return a row of CSV and JSON."""
    return {column.field: cell.plain_value for column, cell in zip(columns, cells, strict=True)}


def weights_table(records: Iterable[Throughput]) -> tuple[Table, ...]:
    """Return which weights were measured, to stand below any table of a run; nothing where the run does not tell."""
    told = weights_line(records)
    return (Table(remarks=(told,)),) if told else ()
