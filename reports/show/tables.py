"""One way to draw: tables and sentences for the terminal, as Markdown, CSV, JSON and HTML, from one description.

Computes nothing. Text of unknown origin is made safe here, and nowhere before.
"""

import argparse
import csv
import html
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator

import msgspec
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from reports.text.markdown import escape, escape_cell
from reports.text.plain_text import plain
from reports.views.tables import LONGEST_STEP, REMARK, Cell, Column, Line, Table

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets of East Asia take the wide ones alike
FORMATS = ("table", "markdown", "csv", "json", "html")
LONGEST_LINE = 4000
LONGEST_MARKDOWN = 400
_NOT_SHOWN = re.compile(r"[^\n -~]")


def add_format(command: argparse.ArgumentParser) -> None:
    """Add `--format` to a command that prints tables."""
    command.add_argument("--format", choices=FORMATS, default="table", help="form of the output (default: %(default)s)")


def show(console: Console, tables: Iterable[Table], form: str, data: object = None) -> None:
    """Print tables in one of `FORMATS`; JSON is `data` where that is given."""
    if form == "table":
        print_tables(console, tables)
    elif form == "json":
        sys.stdout.write(tables_json(tables) if data is None else json_text(data))
    else:
        sys.stdout.write({"markdown": tables_markdown, "csv": tables_csv, "html": tables_html}[form](tables))


def print_tables(console: Console, tables: Iterable[Table]) -> None:
    """Print each table, fitted to the console's width."""
    for number, table in enumerate(tables):
        if number:
            console.print()
        if table.title:
            console.print(Text(plain(table.title, 500), style="bold"))
        for line in table.before:
            console.print(_rich_line(line), soft_wrap=line.is_copied)
        if table.rows:
            console.print(_rich(table, console.width))
        for line in (*table.lines, *_left_out(table, console.width)):
            console.print(_rich_line(line), soft_wrap=line.is_copied)


def tables_markdown(tables: Iterable[Table]) -> str:
    """Return one section for each table."""
    return "\n".join(line for table in tables for line in _markdown(table)) + "\n"


def tables_csv(tables: Iterable[Table]) -> str:
    """Return the rows of all tables, under one heading as long as they have the same fields."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heading: list[str] = []
    for table in tables:
        for record in table.records:
            if heading != (heading := list(record)):
                writer.writerow(heading)
            writer.writerow([_csv(value) for value in record.values()])
    return text.getvalue()


def tables_json(tables: Iterable[Table]) -> str:
    """Return each table as `{"title", "rows": [{...}], "remarks": [...]}`."""
    return json_text(
        [{"title": table.title, "rows": table.records, "remarks": [line.lead + line.text for line in table.lines]} for table in tables]
    )


def tables_html(tables: Iterable[Table]) -> str:
    """Return one section for each table, to paste into a page."""
    return "\n".join(line for table in tables for line in _html(table)) + "\n"


def json_text(value: object) -> str:
    """Return any record as readable JSON; characters that a terminal would obey or hide are escaped in it."""
    written = msgspec.json.format(msgspec.json.encode(value, enc_hook=_as_text), indent=2).decode() + "\n"
    return _NOT_SHOWN.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], written)


def _as_text(value: object) -> str:
    """Return a path, for example; a name that is not UTF-8 with a mark in place of what it cannot say."""
    return os.fsencode(str(value)).decode(errors="replace")


def _rich(table: Table, width: int) -> RichTable:
    drawn = RichTable(box=None, padding=(0, 1, 0, 0), header_style="dim")
    fitting = [number for number, column in enumerate(table.columns) if column.least_width <= width]
    for column in (table.columns[number] for number in fitting):
        drawn.add_column(
            Text("\n".join(plain(part, LONGEST_STEP * 2) for part in column.heading.split("\n"))),
            justify="right" if column.is_number else "left",
            overflow="fold",
            no_wrap=not column.folds,
            max_width=column.most_width,
        )
    for place, row in enumerate(table.rows):
        cells = (_rich_cell(row[number], table.columns[number]) for number in fitting)
        drawn.add_row(*cells, style="bold" if place in table.marked else "")
    return drawn


def _rich_cell(cell: Cell, column: Column) -> Text:
    text = Text(plain(cell.shown, column.longest), style=cell.style)
    return text.append(f"\n{plain(cell.below, column.longest)}") if cell.below else text


def _rich_line(line: Line) -> Text:
    return Text(plain(line.lead, 300), style=line.lead_style, overflow="fold").append(plain(line.text, LONGEST_LINE), style=line.style)


def _left_out(table: Table, width: int) -> Iterator[Line]:
    hidden = [_heading(column) for column in table.columns if column.least_width > width] if table.rows else []
    if hidden:
        needed = max(column.least_width for column in table.columns)
        yield Line(f"columns left out: {', '.join(hidden)}; they need a terminal of {needed} columns", REMARK)


def _markdown(table: Table) -> Iterator[str]:
    if table.title:
        yield f"### {escape(table.title, 500)}\n"
    for line in table.before:
        yield f"- {_markdown_line(line)}"
    if table.before:
        yield ""
    if table.rows:
        yield f"| {' | '.join(escape(_heading(column)) for column in table.columns)} |"
        yield f"|{'|'.join('---:' if column.is_number else '---' for column in table.columns)}|"
        for place, row in enumerate(table.rows):
            bold = "**" if place in table.marked else ""
            cells = (
                escape_cell(cell.whole, max(LONGEST_MARKDOWN, column.longest)) for cell, column in zip(row, table.columns, strict=True)
            )
            yield f"| {' | '.join(f'{bold}{cell}{bold}' for cell in cells)} |"
        yield ""
    for line in table.lines:
        yield f"- {_markdown_line(line)}"
    if table.remarks:
        yield ""


def _markdown_line(line: Line) -> str:
    lead = f"**{escape(line.lead)}**" if line.lead else ""
    return lead + escape(line.text, LONGEST_LINE)


def _html(table: Table) -> Iterator[str]:
    yield "<section>"
    if table.title:
        yield f"<h3>{_safe(table.title)}</h3>"
    yield from (f"<p>{_safe(line.lead)}{_safe(line.text)}</p>" for line in table.before)
    if table.rows:
        yield '<div style="overflow-x: auto">'
        yield "<table>"
        headings = (f'<th scope="col">{_safe(_heading(column))}</th>' for column in table.columns)
        yield f"<thead><tr>{''.join(headings)}</tr></thead>"
        yield "<tbody>"
        yield from (f"<tr>{''.join(f'<td>{_safe(each.whole)}</td>' for each in row)}</tr>" for row in table.rows)
        yield "</tbody>"
        yield "</table>"
        yield "</div>"
    if table.remarks:
        yield f"<ul>{''.join(f'<li>{_safe(line.lead)}{_safe(line.text)}</li>' for line in table.lines)}</ul>"
    yield "</section>"


def _heading(column: Column) -> str:
    return column.heading.replace("-\n", "").replace("\n", " ")


def _safe(text: str) -> str:
    return html.escape(plain(text, LONGEST_LINE))


def _csv(value: object) -> object:
    """Make text that a spreadsheet would run as a formula plain text."""
    if not isinstance(value, str):
        return value
    text = plain(value, 1000)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text
