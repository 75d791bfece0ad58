"""A gate's result as a terminal table. Computes nothing."""

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from reports.gate.decision import Verdict
from reports.gate.result import Result, Row
from reports.gate.show.gate_texts import BESIDE_COLUMNS, COLUMNS, about, beside, headline, pairs_text, rules_text, slowdown_text, why
from reports.text.plain_text import plain
from reports.views.tables import LONGEST_STEP

STYLES = {
    Verdict.PASS: "green",
    Verdict.REGRESSION: "bold red",
    Verdict.ERROR: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.ACKNOWLEDGED: "yellow",
    Verdict.NEW: "cyan",
    Verdict.SKIPPED: "dim",
}


def print_gate(console: Console, result: Result) -> None:
    """Print the sides, the table, and the verdict last."""
    for renderable in _parts(result):
        console.print(renderable)


def _parts(result: Result) -> Iterator[RenderableType]:
    for line in about(result):
        yield Text(plain(line, 800), style="yellow" if line.startswith("changed") else "")
    if result.rows:
        yield _table(result)
        if rows := beside(result):
            yield _beside(rows)
        yield Text(rules_text(result), style="dim")
    if result.error is not None:
        yield Text(plain(result.error, 4000), style=STYLES[Verdict.ERROR])
    yield Text(headline(result), style=STYLES[result.verdict])


def _table(result: Result) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in COLUMNS[:-1]:
        table.add_column(name, no_wrap=True, justify="right" if name == "pairs" else "left")
    table.add_column(COLUMNS[-1], overflow="fold")
    for row in result.rows:
        table.add_row(*_cells(row))
    return table


def _beside(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in BESIDE_COLUMNS:
        table.add_column(name, overflow="fold")
    for model, step, *cells in rows:
        table.add_row(Text(plain(model, 20)), Text(plain(step, LONGEST_STEP)), *map(Text, cells))
    return table


def _cells(row: Row) -> Iterator[Text]:
    yield Text(plain(row.model, 20))
    yield Text(plain(row.step, LONGEST_STEP))
    yield Text(row.judged.verdict, style=STYLES[row.judged.verdict])
    yield Text(slowdown_text(row.judged))
    yield Text(pairs_text(row))
    yield Text(plain(why(row), 2000))
