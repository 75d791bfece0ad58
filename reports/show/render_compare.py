"""A comparison of two runs for the terminal. Computes nothing."""

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from reports.show.compare_texts import NO_RATIO, advice, chance, change_text, headline, one_sided_text, recipes_text, run_text
from reports.show.render_terminal import LONGEST_STEP, STYLES
from reports.text.figures import gain_short, per_second
from reports.text.plain_text import plain
from reports.views.compare import Compared, Comparison


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print what differs between the runs, the table of all benchmarks, and how far the figures can be trusted."""
    for renderable in _parts(comparison):
        console.print(renderable)


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield Text(f"base {plain(run_text(comparison.base), 500)}")
    yield Text(f"head {plain(run_text(comparison.head), 500)}")
    for difference in (*comparison.machine, *comparison.software):
        yield Text(f"changed: {plain(change_text(difference), 400)}", style="yellow")
    if comparison.compared:
        yield _table(comparison)
    for row in comparison.notable:
        yield Text(plain(headline(row), 2000), style=STYLES.get(row.ratio.verdict, "") if row.ratio else "")
    for one in comparison.one_sided:
        yield Text(plain(one_sided_text(one), 600), style="yellow")
    if told := recipes_text(comparison):
        yield Text(plain(told, 2000), style="yellow")
    yield Text(advice(comparison), style="dim")
    if comparison.compared:
        yield Text(chance(comparison), style="dim")


def _table(comparison: Comparison) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("model", no_wrap=True)
    table.add_column("step", no_wrap=True)
    for name in ("base\nSPS", "head\nSPS"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("head's speedup / base's\n[95 %]" if comparison.across_machines else "head / base\n[95 % within runs]", no_wrap=True)
    table.add_column("verdict\n(indicative)", overflow="fold")
    table.add_column("pro-\ncesses", justify="right", no_wrap=True)
    for row in comparison.compared:
        table.add_row(*_cells(row))
    return table


def _cells(row: Compared) -> Iterator[Text]:
    yield Text(plain(row.model, 20))
    yield Text(plain(row.step, LONGEST_STEP))
    yield Text(per_second(row.base_sps))
    yield Text(per_second(row.head_sps))
    yield Text(gain_short(row.ratio))
    yield (Text(row.ratio.verdict, style=STYLES.get(row.ratio.verdict, "dim")) if row.ratio else Text(NO_RATIO, style="dim"))
    yield Text(f"{row.processes[0]}+{row.processes[1]}")
