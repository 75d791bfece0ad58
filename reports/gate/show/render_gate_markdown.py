"""A gate's result as GitHub Markdown, for a comment or a step summary. Computes nothing; every name is escaped."""

from collections.abc import Iterator

from reports.gate.decision import Verdict
from reports.gate.result import Result, Row
from reports.gate.show.gate_texts import BESIDE_COLUMNS, COLUMNS, about, beside, headline, pairs_text, rules_text, slowdown_text, why
from reports.text.markdown import escape

MARKS = {
    Verdict.PASS: "✅",
    Verdict.REGRESSION: "❌",
    Verdict.ERROR: "💥",
    Verdict.INCONCLUSIVE: "❔",
    Verdict.ACKNOWLEDGED: "☑️",
    Verdict.NEW: "🆕",
    Verdict.SKIPPED: "⏭️",
}


def gate_markdown(result: Result) -> str:
    """Return the verdict, the table of all benchmarks, and what they were measured with."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    yield f"### {MARKS[result.verdict]} Performance gate: {escape(headline(result))}\n"
    if result.error is not None:
        yield f"{escape(result.error, 4000)}\n"
    if result.rows:
        yield f"| {' | '.join(escape(name) for name in COLUMNS)} |"
        yield f"|{'|'.join('---:' if name == 'pairs' else '---' for name in COLUMNS)}|"
        for row in result.rows:
            yield f"| {' | '.join(_cells(row))} |"
        yield ""
    if rows := beside(result):
        yield from ("Base → head beside time:", "", f"| {' | '.join(BESIDE_COLUMNS)} |", f"|{'---|' * len(BESIDE_COLUMNS)}")
        yield from (f"| {' | '.join(map(escape, cells))} |" for cells in rows)
        yield ""
    for line in about(result):
        yield f"- {escape(line, 800)}"
    if result.rows:
        yield f"\n{escape(rules_text(result), 1000)}"


def _cells(row: Row) -> Iterator[str]:
    yield escape(row.model)
    yield escape(row.step)
    yield f"{MARKS[row.judged.verdict]} {row.judged.verdict}"
    yield escape(slowdown_text(row.judged))
    yield escape(pairs_text(row))
    yield escape(why(row), 2000)
