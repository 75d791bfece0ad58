"""Tables for the terminal, as GitHub Markdown and as CSV, from one description. Computes nothing; names of unknown origin stay text."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from reports.show.render_csv import cell
from reports.text.markdown import escape
from reports.text.plain_text import plain

LONGEST_CELL = 120


@dataclass(frozen=True, slots=True)
class Cell:
    """What a reader sees, and the plain value for CSV; both are the same where one is given."""

    shown: str
    value: object = None


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, the name of the field in CSV, and whether its cells are numbers."""

    heading: str
    field: str
    is_number: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows under a title, and remarks below; a row whose place is in `marked` stands out."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    remarks: tuple[str, ...] = ()
    marked: frozenset[int] = frozenset()


def print_tables(console: Console, tables: Iterable[Table]) -> None:
    """Print each table, fitted to the console's width."""
    for table in tables:
        console.print(Text(plain(table.title, 300), style="bold"))
        if table.rows:
            console.print(_rich(table))
        for remark in table.remarks:
            console.print(Text(plain(remark, 1000), style="dim"))
        console.print()


def tables_markdown(tables: Iterable[Table]) -> str:
    """Return one section for each table."""
    return "\n".join(line for table in tables for line in _markdown(table))


def tables_csv(tables: Iterable[Table]) -> str:
    """Return the rows of all tables, which have the same columns, under one heading."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for place, table in enumerate(tables):
        if not place:
            writer.writerow([column.field for column in table.columns])
        for row in table.rows:
            writer.writerow([cell(each.shown if each.value is None and each.shown != "-" else each.value) for each in row])
    return text.getvalue()


PRINTED: dict[str, Callable[[Iterable[Table]], str]] = {"markdown": tables_markdown, "csv": tables_csv}


def _rich(table: Table) -> RichTable:
    drawn = RichTable(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column in table.columns:
        drawn.add_column(Text(column.heading), justify="right" if column.is_number else "left", overflow="fold", no_wrap=column.is_number)
    for place, row in enumerate(table.rows):
        drawn.add_row(*(Text(plain(each.shown, LONGEST_CELL)) for each in row), style="bold" if place in table.marked else "")
    return drawn


def _markdown(table: Table) -> Iterator[str]:
    yield f"### {escape(table.title)}\n"
    if table.rows:
        yield f"| {' | '.join(escape(column.heading.replace(chr(10), ' ')) for column in table.columns)} |"
        yield f"|{'|'.join('---:' if column.is_number else '---' for column in table.columns)}|"
        for place, row in enumerate(table.rows):
            bold = "**" if place in table.marked else ""
            yield f"| {' | '.join(f'{bold}{_escaped(each.shown)}{bold}' for each in row)} |"
        yield ""
    for remark in table.remarks:
        yield f"- {escape(remark, 1000)}"
    if table.remarks:
        yield ""


def _escaped(shown: str) -> str:
    """Return a cell's text for Markdown; figures have no markup and stay readable as they are."""
    return shown if re.fullmatch(r"[\d.]+(e[+-]\d+)?( %| to [\d.]+)?", shown) else escape(shown, LONGEST_CELL)
