"""Where the time goes, in every text format. Computes nothing; all names are data of unknown origin."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from reports.saved.record import OperatorTime
from reports.show.render_csv import cell
from reports.show.render_json import json_text
from reports.show.render_markdown import table
from reports.show.render_terminal import LONGEST_STEP
from reports.text.figures import NONE, milliseconds, significant
from reports.text.markdown import escape
from reports.text.plain_text import plain
from reports.views.profile import Breakdown, StepProfile

WHOLE = "one inference"
LONGEST_OPERATOR = 80
WIDE, FOLDED_STEP = 100, 12
_CSV_COLUMNS = ("model", "step", "batch_size", "source", "inferences", "inference_s", "operator", "self_s", "share", "calls")


def print_profile(console: Console, found: Breakdown) -> None:
    """Print what was profiled and the table of operators, one group of columns for each step."""
    for renderable in _parts(found, wide=console.width >= WIDE):
        console.print(renderable)


def profile_markdown(found: Breakdown) -> str:
    """Return the same as GitHub Markdown."""
    heading = "operator", *(f"{escape(each.step)}: {name}" for each in found.steps for name in ("self ms", "%", "calls"))
    rows = [[escape(row.name, LONGEST_OPERATOR), *(text for side in row.sides for text in _cells(side))] for row in found.rows]
    whole = [f"**{WHOLE}**", *(text for each in found.steps for text in _whole(each))]
    said = [f"- {escape(sentence, 600)}" for each in found.steps for sentence in _sentences(each)]
    return "\n".join([f"### {escape(found.steps[0].model)}", "", *said, "", *table(heading, 2, [*rows, whole])]) + "\n"


def profile_csv(found: Breakdown) -> str:
    """Return one line for each operator of each step; times in seconds, shares from 0 to 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for each in found.steps:
        profile = each.profile
        for operator in profile.operators:
            of = (each.model, each.step, each.batch_size, profile.source, profile.inferences, profile.inference_s)
            writer.writerow([cell(value) for value in (*of, operator.name, operator.self_s, operator.share, operator.calls)])
    return text.getvalue()


def profile_json(found: Breakdown) -> str:
    """Return `[{"model", "step", "batch_size", "latency_p50_s", "profile": {...}}]`, the profiles as they were saved."""
    steps: list[dict[str, Any]] = msgspec.to_builtins(found.steps)
    return json_text(steps)


def _parts(found: Breakdown, *, wide: bool) -> Iterator[RenderableType]:
    yield Text(plain(found.steps[0].model), style="bold")
    for each in found.steps:
        for sentence in _sentences(each):
            yield Text(plain(sentence, 600), overflow="fold")
    yield _table(found, wide)


def _table(found: Breakdown, wide: bool) -> Table:
    shown = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    shown.add_column("operator", overflow="fold")
    for each in found.steps:
        heading = Text(f"{plain(each.step, LONGEST_STEP)}\nself ms")
        shown.add_column(heading, justify="right", overflow="fold", max_width=LONGEST_STEP if wide else FOLDED_STEP)
        for name in ("%", "calls"):
            shown.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    for row in found.rows:
        shown.add_row(Text(plain(row.name, LONGEST_OPERATOR)), *(Text(text) for side in row.sides for text in _cells(side)))
    shown.add_row(WHOLE, *(text for each in found.steps for text in _whole(each)), style="bold")
    return shown


def _sentences(profiled: StepProfile) -> Iterator[str]:
    profile = profiled.profile
    timed = f"; {milliseconds(profiled.latency_p50_s)} ms at the median when it was timed" if profiled.latency_p50_s is not None else ""
    inference = f"{milliseconds(profile.inference_s)} ms an inference of batch {profiled.batch_size}"
    yield f"{profiled.step}: {inference} under {profile.source}, mean of {profile.inferences}{timed}"
    for note in profile.notes:
        yield f"{profiled.step}: {note}"


def _cells(side: OperatorTime | None) -> tuple[str, str, str]:
    if side is None:
        return NONE, NONE, NONE
    return milliseconds(side.self_s), f"{100 * side.share:.1f}", _calls(side.calls)


def _whole(profiled: StepProfile) -> tuple[str, str, str]:
    return milliseconds(profiled.profile.inference_s), "100.0", _calls(profiled.calls)


def _calls(calls: float) -> str:
    return NONE if calls == 0 else f"{calls:.0f}" if calls == int(calls) else significant(calls)
