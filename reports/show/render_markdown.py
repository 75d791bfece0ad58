"""The ladder and a comparison as GitHub Markdown. Computes nothing; every name is escaped."""

from collections.abc import Iterable, Iterator, Sequence

from reports.show.compare_texts import NO_RATIO, advice, chance, change_text, headline, one_sided_text, recipes_text, run_text
from reports.text.figures import (
    decibels,
    gain_short,
    gibibytes,
    in_pairs,
    milliseconds,
    p99_ms,
    per_second,
    seconds,
    share_short,
    times,
    top1,
    verdict_of,
)
from reports.text.markdown import escape
from reports.views.compare import Compared, Comparison
from reports.views.ladder import Ladder, LadderRow, accuracy_text, by_chance, int8_text, rivals_text, without_text

_LADDER_COLUMNS = (
    "step",
    "SPS",
    "speedup*",
    "gain [95 %]",
    "SPS in its pairs",
    "verdict",
    "p50 ms",
    "p99 ms",
    "cold start",
    "peak GiB",
    "SQNR dB",
    "top-1 %",
    "of reported kernel time",
)
_COMPARISON_COLUMNS = ("model", "step", "base SPS", "head SPS", "head / base [95 % within runs]", "verdict", "processes")


def ladders_markdown(ladders: Iterable[Ladder]) -> str:
    """Return one section with a table per model."""
    shown = list(ladders)
    chance = by_chance(shown)
    return "\n".join([line for ladder in shown for line in _ladder(ladder)] + ([f"{chance}\n"] if chance else []))


def comparison_markdown(comparison: Comparison) -> str:
    """Return the table of all benchmarks, then what changed."""
    return "\n".join(_comparison(comparison)) + "\n"


def _ladder(ladder: Ladder) -> Iterator[str]:
    yield f"### {escape(ladder.model)}\n"
    if ladder.measured:
        yield from table(_LADDER_COLUMNS, 2, [_ladder_cells(row) for row in ladder.measured])
        yield ""
    if told := int8_text(ladder):
        yield f"{escape(told, 1000)}\n"
    if ladder.best is not None:
        over = f", {times(ladder.best.speedup)} the baseline" if ladder.best.speedup is not None else ""
        called = "Best: " if ladder.pays or ladder.best.gain is None else "Fastest measured, by no more than chance: "
        rivals = f"; not told apart from {escape(rivals_text(ladder), 1000)}" if ladder.rivals else ""
        without = without_text(ladder, ladder.best)
        rivals += f"; its recipe leaves out {escape(without, 1000)}" if without else ""
        yield f"{called}**{escape(ladder.best.step)}**, {per_second(ladder.best.samples_per_second)} samples per second{over}{rivals}."
        yield "(* unpaired: measured at different times; gains are paired.)\n"
    if told := accuracy_text(ladder):
        yield f"{escape(told, 10_000)}\n"
    for row in ladder.not_measured:
        remedy = f" → {escape(row.remedy)}" if row.remedy else ""
        yield f"- {escape(row.step)} {row.outcome}: {escape(row.reason, 600)}{remedy}"
    if ladder.not_measured:
        yield ""


def _ladder_cells(row: LadderRow) -> tuple[str, ...]:
    return (
        escape(row.step),
        per_second(row.samples_per_second),
        times(row.speedup),
        gain_short(row.gain),
        in_pairs(row.in_pairs),
        escape(verdict_of(row)),
        milliseconds(row.latency_p50_s),
        p99_ms(row),
        seconds(row.cold_start_s),
        gibibytes(row.peak_rss_bytes),
        decibels(row.sqnr_db),
        top1(row.top1_agreement),
        escape(share_short(row.precision_share)),
    )


def _comparison(comparison: Comparison) -> Iterator[str]:
    yield f"- base: {escape(run_text(comparison.base), 600)}"
    yield f"- head: {escape(run_text(comparison.head), 600)}"
    for difference in (*comparison.machine, *comparison.software):
        yield f"- changed: {escape(change_text(difference))}"
    if comparison.compared:
        yield ""
        yield from table(_COMPARISON_COLUMNS, 3, [_comparison_cells(row) for row in comparison.compared])
    yield ""
    for row in comparison.notable:
        yield f"- {escape(headline(row), 2000)}"
    for one in comparison.one_sided:
        yield f"- {escape(one_sided_text(one), 600)}"
    if told := recipes_text(comparison):
        yield f"\n{escape(told, 2000)}"
    yield f"\n{escape(advice(comparison), 1000)}"
    if comparison.compared:
        yield escape(chance(comparison))


def _comparison_cells(row: Compared) -> tuple[str, ...]:
    return (
        escape(row.model),
        escape(row.step),
        per_second(row.base_sps),
        per_second(row.head_sps),
        gain_short(row.ratio),
        row.ratio.verdict if row.ratio else NO_RATIO,
        f"{row.processes[0]}+{row.processes[1]}",
    )


def table(columns: Sequence[str], names: int, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table whose first `names` columns are text."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---' if place < names - 1 else '---:' for place in range(len(columns)))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
