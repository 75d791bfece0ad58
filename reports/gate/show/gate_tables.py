"""A gate's result as tables, which the one renderer draws in every format. Computes nothing."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from reports.gate.decision import Verdict
from reports.gate.quantities import MEASURES, METRIC
from reports.gate.result import Result, Row
from reports.gate.show.gate_texts import about, headline, pairs_text, quantity_text, rules_text, slowdown_text, why
from reports.show.tables import print_tables, tables_csv, tables_html, tables_markdown
from reports.text.figures import NONE
from reports.views.tables import LONGEST_STEP, REMARK, WARNING, Cell, Column, Line, Table

LOOKS = {  # the mark and the style of each verdict
    Verdict.PASS: ("✅", "green"),
    Verdict.REGRESSION: ("❌", "bold red"),
    Verdict.ERROR: ("💥", "bold red"),
    Verdict.INCONCLUSIVE: ("❔", "yellow"),
    Verdict.ACKNOWLEDGED: ("☑️", "yellow"),
    Verdict.NEW: ("🆕", "cyan"),
    Verdict.SKIPPED: ("⏭️", "dim"),
}
_COLUMNS = (
    Column("model", "model", is_number=False, longest=20),
    Column("step", "step", is_number=False, longest=LONGEST_STEP),
    Column("verdict", "verdict", is_number=False),
    Column("head's time [99 %]", "slowdown", is_number=False),
    Column("pairs", "pairs"),
    Column("why", "why", is_number=False, folds=True, longest=2000),
)
UNITS = {"bytes": "bytes", "seconds": "s", "dB": "db", "points": "share"}


def print_gate(console: Console, result: Result) -> None:
    """Print the sides, the tables, and the verdict last."""
    ended = [Line(headline(result), LOOKS[result.verdict][1])]
    error = [Line(result.error, LOOKS[Verdict.ERROR][1])] if result.error is not None else []
    sides = Table(before=tuple(_sides(result)))
    print_tables(console, [sides, *_tables(result), Table(remarks=(*_rules(result), *error, *ended))])


def gate_markdown(result: Result) -> str:
    """Return the verdict, the tables, and what they were measured with: for a comment or a step summary."""
    return tables_markdown(_verdict_first(result))


def gate_html(result: Result) -> str:
    """Return the same, to paste into a page."""
    return tables_html(_verdict_first(result))


def gate_csv(result: Result) -> str:
    """Return a row for each benchmark; slowdowns are ratios of times minus 1, other measures medians in bytes, seconds, dB and shares."""
    return tables_csv([Table(data=tuple(map(_data, result.rows)))])


def _verdict_first(result: Result) -> Iterator[Table]:
    error = (Line(result.error),) if result.error is not None else ()
    yield Table(title=f"{LOOKS[result.verdict][0]} Performance gate: {headline(result)}", before=error)
    yield from _tables(result, is_marked=True)
    yield Table(remarks=(*_sides(result), *_rules(result)))


def _tables(result: Result, *, is_marked: bool = False) -> Iterator[Table]:
    """Yield the table of all benchmarks, and that of what is known of them beside their time."""
    if result.rows:
        yield Table(columns=_COLUMNS, rows=tuple(tuple(_cells(row, is_marked=is_marked)) for row in result.rows))
    told = [row for row in result.rows if row.quantities]
    if told:
        known = {each.name for row in told for each in row.quantities}
        names = [measure.name for measure in MEASURES if measure.is_usual or measure.name in known]
        names += dict.fromkeys(each.name for row in told for each in row.quantities if each.unit == METRIC)
        columns = (*_COLUMNS[:2], *(Column(name, name, is_number=False, folds=True) for name in names))
        yield Table(title="base → head beside time", columns=columns, rows=tuple(tuple(_beside(row, names)) for row in told))


def _sides(result: Result) -> Iterator[Line]:
    for line in about(result):
        yield Line(line, WARNING if line.startswith("changed") else "")


def _rules(result: Result) -> Iterator[Line]:
    if result.rows:
        yield Line(rules_text(result), REMARK)


def _cells(row: Row, *, is_marked: bool) -> Iterator[Cell]:
    verdict = row.judged.verdict
    mark, style = LOOKS[verdict]
    yield Cell(row.model)
    yield Cell(row.step)
    yield Cell(f"{mark} {verdict}" if is_marked else verdict, style=style)
    yield Cell(slowdown_text(row.judged))
    yield Cell(pairs_text(row))
    yield Cell(why(row))


def _beside(row: Row, names: Sequence[str]) -> Iterator[Cell]:
    told = {each.name: quantity_text(each) for each in row.quantities}
    yield Cell(row.model)
    yield Cell(row.step)
    yield from (Cell(told.get(name, NONE)) for name in names)


def _data(row: Row) -> dict[str, object]:
    judged, told = row.judged, {each.name: each for each in row.quantities}
    sides = {
        f"{measure.name.lower().replace(' ', '_')}_{side}_{UNITS[measure.unit]}": getattr(told.get(measure.name), side, None)
        for measure in MEASURES
        for side in ("base", "head")
    }
    metrics = [each for each in row.quantities if each.unit == METRIC]
    return {
        "model": row.model,
        "step": row.step,
        "verdict": str(judged.verdict),
        "slowdown": judged.slowdown,
        "low": judged.low,
        "high": judged.high,
        "pairs": len(row.pairs),
        "why": why(row),
        **sides,
        **{
            f"metrics_{side}": " ".join(f"{each.name.removeprefix(f'{METRIC} ')}={getattr(each, side):.6g}" for each in metrics)
            for side in ("base", "head")
        },
    }
