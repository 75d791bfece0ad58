"""The ladder as terminal tables. Computes nothing.

From a live session, `records` being the `extra_info` of each benchmark and `outcomes` the list that is saved beside them:

    from rich.console import Console
    from reports.views.ladder import ladders
    from reports.saved.load import measurements_from_records, outcomes_from_records
    from reports.show.render_terminal import print_ladders

    print_ladders(Console(), ladders(measurements_from_records(records), outcomes_from_records(outcomes)))

From a saved file: `run = read_run(path)`, then `ladders(run.measurements, run.outcomes)`.
"""

from collections.abc import Iterable, Iterator

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from reports.statistics import DISTURBED
from reports.text.figures import (
    NONE,
    decibels,
    gain_short,
    gibibytes,
    in_pairs,
    milliseconds,
    p99_ms,
    per_second,
    share_percent,
    significant,
    times,
    top1,
    verdict_of,
)
from reports.text.plain_text import plain
from reports.views.ladder import Ladder, LadderRow, accuracy_text, by_chance, int8_text, rivals_text, without_text

WITH_AGREEMENT = 101
WITH_COSTS = 123
WITH_PAIRS = 138
LONGEST_STEP = 32
LONGEST_ACCURACY = 4000
STYLES = {"faster": "green", "slower": "red", "skipped": "yellow", "failed": "bold red", DISTURBED: "yellow"}


def print_ladders(console: Console, ladders: Iterable[Ladder]) -> None:
    """Print one table per model, fitted to the console's width, and how many verdicts chance makes."""
    shown = list(ladders)
    for ladder in shown:
        for renderable in ladder_table(ladder, width=console.width):
            console.print(renderable)
        console.print()
    if told := by_chance(shown):
        console.print(Text(told, style="dim"), soft_wrap=False)


def ladder_table(ladder: Ladder, *, width: int) -> Iterator[RenderableType]:
    """Yield the table of one model, what was not measured and why, findings, and the best recipe; a narrow table has fewer columns."""
    yield Text(plain(ladder.model), style="bold")
    if ladder.measured:
        yield _table(ladder, width)
    else:
        yield Text("nothing was measured")
    for row in ladder.not_measured:
        yield _not_measured(row)
    for row in ladder.measured:
        for finding in row.findings:
            yield Text(plain(row.step), overflow="fold").append(" note", style="yellow").append(f": {plain(finding, 600)}", style="dim")
    if told := int8_text(ladder):
        yield Text(told)
    if ladder.best is not None:
        yield best_text(ladder, ladder.best)
    elif ladder.measured:
        yield Text("no best: others disturbed whatever was measured; measure again on an idle machine", style=STYLES[DISTURBED])
    if told := accuracy_text(ladder):
        yield Text(plain(told, LONGEST_ACCURACY), overflow="fold")
    if ladder.measured and width < WITH_PAIRS:
        yield Text(f"columns left out: {_left_out(width)}; they need a terminal of {WITH_PAIRS} columns", style="dim")


def _table(ladder: Ladder, width: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("step", no_wrap=True)
    for name in ("SPS", "speed-\nup*", "gain\n[95 % interval]"):
        table.add_column(name, justify="left" if "gain" in name else "right", no_wrap=True)
    if width >= WITH_PAIRS:
        table.add_column("SPS in\nits pairs", no_wrap=True)
    table.add_column("verdict over\npredecessor", overflow="fold")
    if width >= WITH_AGREEMENT:
        for name in ("p50\nms", "p99\nms", "SQNR\ndB", "top-1\n%"):
            table.add_column(name, justify="right", no_wrap=True)
    if width >= WITH_COSTS:
        for name in ("cold\nstart s", "peak\nGiB"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("reported\nkernel\ntime %", overflow="fold")
    for row in ladder.measured:
        table.add_row(*_cells(row, width), style="bold" if row is ladder.best else "")
    return table


def _cells(row: LadderRow, width: int) -> Iterator[Text]:
    yield Text(plain(row.step, LONGEST_STEP))
    yield Text(per_second(row.samples_per_second), style=STYLES[DISTURBED] if row.disturbed else "")
    yield Text(times(row.speedup))
    yield Text(gain_short(row.gain))
    if width >= WITH_PAIRS:
        yield Text(in_pairs(row.in_pairs))
    yield Text(plain(verdict_of(row)), style=STYLES.get(DISTURBED if row.disturbed else row.gain.verdict if row.gain else "", "dim"))
    if width >= WITH_AGREEMENT:
        yield Text(milliseconds(row.latency_p50_s))
        yield Text(p99_ms(row).replace(" (", "\n("))
        yield Text(decibels(row.sqnr_db))
        yield Text(top1(row.top1_agreement))
    if width >= WITH_COSTS:
        yield Text(NONE if row.cold_start_s is None else significant(row.cold_start_s))
        yield Text(gibibytes(row.peak_rss_bytes))
        yield Text(plain(share_percent(row.precision_share)))


def _left_out(width: int) -> str:
    left_out = "" if width >= WITH_AGREEMENT else "p50, p99, SQNR, top-1, "
    if width < WITH_COSTS:
        left_out += "cold start, peak RSS, reported kernel time by precision, "
    return f"{left_out}SPS in its pairs"


def _not_measured(row: LadderRow) -> Text:
    text = Text(overflow="fold").append(plain(row.step)).append(f" {row.outcome}", style=STYLES[row.outcome])
    text.append(f": {plain(row.reason, 600)}")
    if row.remedy:
        text.append(f" -> {plain(row.remedy, 300)}")
    return text


def best_text(ladder: Ladder, best: LadderRow) -> Text:
    """Return the best recipe, its rivals, and what it leaves out; where it is not shown to pay it is not called the best."""
    called = "best: " if ladder.pays or best.gain is None else "fastest measured, by no more than chance: "
    text = Text(called).append(plain(best.step), style="bold").append(f", {per_second(best.samples_per_second)} samples per second")
    if best.speedup is not None:
        text.append(f", {times(best.speedup)} the baseline")
        text.append(" (* unpaired: measured at different times; gains are paired)", style="dim")
    if ladder.rivals:
        text.append(f"; not told apart from {rivals_text(ladder)}")
    if without := without_text(ladder, best):
        text.append(f"; its recipe leaves out {without}")
    return text
