"""A gate's result as annotations of a GitHub workflow. Computes nothing; nothing in a name can begin another command.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from reports.gate.decision import Verdict
from reports.gate.result import Result
from reports.gate.show.gate_texts import headline, slowdown_text, why
from reports.text.plain_text import plain

LEVELS = {
    Verdict.REGRESSION: "error",
    Verdict.ERROR: "error",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.ACKNOWLEDGED: "warning",
    Verdict.NEW: "notice",
}


@contextmanager
def without_commands() -> Iterator[None]:
    """Let nothing that is printed in this block be a command of the workflow."""
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        yield
    finally:
        print(f"::{token}::", flush=True)


def gate_annotations(result: Result) -> str:
    """Return a line for the gate, first because GitHub shows ten of each level, and one for every benchmark that is not simply a pass."""
    return "".join(f"{line}\n" for line in _lines(result))


def _lines(result: Result) -> Iterator[str]:
    yield _command(LEVELS.get(result.verdict, "notice"), "Performance gate", headline(result))
    if result.error is not None:
        yield _command("error", "Performance gate", result.error)
    for row in result.rows:
        level = "notice" if row.judged.is_faster else LEVELS.get(row.judged.verdict)
        if level is not None:
            figures = f"{slowdown_text(row.judged)}: " if row.pairs else ""
            yield _command(level, f"{row.judged.verdict}: {row.id}", f"{figures}{why(row)}")


def _command(level: str, title: str, message: str) -> str:
    named = _data(plain(title, 200)).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={named}::{_data(plain(message, 2000))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
