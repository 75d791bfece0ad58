"""Steps by release, for the terminal and as Markdown. Computes nothing."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.saved.record import Gain
from reports.show.render_terminal import LONGEST_STEP, STYLES
from reports.text.figures import NONE, gain_short, per_second
from reports.text.markdown import escape
from reports.text.plain_text import plain
from reports.versions import Broken, VersionCell, VersionRow, Versions

T = TypeVar("T")


def print_versions(console: Console, table: Versions) -> None:
    """Print the table, what broke, and what else differs."""
    shown = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in _header(table):
        shown.add_column(plain(name, 60), justify="left" if name in {"model", "step"} else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(plain(cell, LONGEST_STEP)) for cell in (row.model, row.step)), *_figures(table, row, _styled))
    console.print(shown)
    for broken in table.broken:
        console.print(Text(_broken_text(broken, plain), style=STYLES.get(broken.how, "")), soft_wrap=True)
    for note in table.notes:
        console.print(Text(f"note: {plain(note, 400)}", style="yellow"), soft_wrap=True)


def versions_markdown(table: Versions) -> str:
    """Return the same as GitHub Markdown; every name is escaped."""
    return "\n".join(_lines(table)) + "\n"


def _lines(table: Versions) -> Iterator[str]:
    header = _header(table)
    yield f"| {' | '.join(escape(name) for name in header)} |"
    yield f"|{'|'.join('---' if name in {'model', 'step'} else '---:' for name in header)}|"
    for row in table.rows:
        yield f"| {' | '.join((escape(row.model), escape(row.step), *_figures(table, row, lambda text, _: escape(text))))} |"
    if table.broken:
        yield "\nWhat works in one release and not in another:\n"
    for broken in table.broken:
        yield f"- {_broken_text(broken, escape)}"
    if table.notes:
        yield ""
    for note in table.notes:
        yield f"- {escape(note)}"


def _header(table: Versions) -> list[str]:
    header = ["model", "step", *(f"{table.package} {version}" for version in table.versions)]
    if len(table.versions) > 1:
        header.append("last over first [95 %], unpaired")
    if table.compared is not None:
        header.append(f"{table.compared[1]} over {table.compared[0]} [95 %], paired")
    return header


def _figures(table: Versions, row: VersionRow, shown: Callable[[str, str], T]) -> Iterator[T]:
    for cell in row.cells:
        yield shown(_cell(cell), cell.outcome if cell else "")
    if len(table.versions) > 1:
        yield shown(gain_short(row.unpaired), "")
    if table.compared is not None:
        yield shown(_verdict(row.paired), row.paired.verdict if row.paired else "")


def _cell(cell: VersionCell | None) -> str:
    if cell is None:
        return NONE
    if cell.outcome != "measured":
        return cell.outcome
    return "works" if cell.samples_per_second is None else per_second(cell.samples_per_second)


def _verdict(gain: Gain | None) -> str:
    return NONE if gain is None else f"{gain_short(gain)} {gain.verdict.partition(' (±')[0]}"


def _styled(text: str, kind: str) -> Text:
    return Text(text, style=STYLES.get(kind, ""))


def _broken_text(broken: Broken, safe: Callable[[object, int], str]) -> str:
    step, works, fails = safe(f"{broken.model} {broken.step}", 120), safe(broken.works_in, 120), safe(broken.fails_in, 120)
    return f"{step}: works in {works}, {broken.how} in {fails}: {safe(broken.reason, 600)}"
