"""Where the time goes, as tables. Computes nothing."""

from collections.abc import Iterator
from typing import Any

import msgspec

from reports.saved.record import OperatorTime
from reports.text.figures import NONE, milliseconds, significant
from reports.views.profile import Breakdown, StepProfile
from reports.views.tables import Cell, Column, Line, Table

WHOLE = "one inference"
LONGEST_OPERATOR = 80
FOLDED_STEP = 12


def profile_table(found: Breakdown, whole: Breakdown | None = None) -> Table:
    """Return what was profiled and the table of operators, one group of columns for each step.

    CSV and JSON have every operator of `whole`, each in a row, its times in seconds and its share from 0 to 1.
    """
    groups = ((f"{each.step}\nself ms", each) for each in found.steps)
    columns = [Column("operator", "operator", is_number=False, folds=True, most_width=LONGEST_OPERATOR)]
    for heading, each in groups:
        columns += [
            Column(heading, f"{each.step}_self_s", folds=True, most_width=FOLDED_STEP),
            Column("\n%", f"{each.step}_share"),
            Column("\ncalls", f"{each.step}_calls"),
        ]
    rows = [(Cell(row.name), *(cell for side in row.sides for cell in _cells(side))) for row in found.rows]
    total = (Cell(WHOLE), *(cell for each in found.steps for cell in _total(each)))
    return Table(
        title=found.steps[0].model,
        before=tuple(Line(sentence) for each in found.steps for sentence in _sentences(each)),
        columns=tuple(columns),
        rows=(*rows, total),
        marked=frozenset([len(rows)]),
        data=tuple(record for each in (whole or found).steps for record in _data(each)),
    )


def profile_data(found: Breakdown) -> list[dict[str, Any]]:
    """Return `[{"model", "step", "batch_size", "latency_p50_s", "profile": {...}}]`, the profiles as they were saved."""
    return list(msgspec.to_builtins(found.steps))


def _data(each: StepProfile) -> Iterator[dict[str, object]]:
    for operator in each.profile.operators:
        yield {
            "model": each.model,
            "step": each.step,
            "batch_size": each.batch_size,
            "source": each.profile.source,
            "inferences": each.profile.inferences,
            "inference_s": each.profile.inference_s,
            "operator": operator.name,
            "self_s": operator.self_s,
            "share": operator.share,
            "calls": operator.calls,
        }


def _sentences(profiled: StepProfile) -> Iterator[str]:
    profile = profiled.profile
    timed = f"; {milliseconds(profiled.latency_p50_s)} ms at the median when it was timed" if profiled.latency_p50_s is not None else ""
    inference = f"{milliseconds(profile.inference_s)} ms an inference of batch {profiled.batch_size}"
    yield f"{profiled.step}: {inference} under {profile.source}, mean of {profile.inferences}{timed}"
    for note in profile.notes:
        yield f"{profiled.step}: {note}"


def _cells(side: OperatorTime | None) -> tuple[Cell, ...]:
    if side is None:
        return (Cell(NONE),) * 3
    return Cell(milliseconds(side.self_s)), Cell(f"{100 * side.share:.1f}"), Cell(_calls(side.calls))


def _total(profiled: StepProfile) -> tuple[Cell, ...]:
    return Cell(milliseconds(profiled.profile.inference_s)), Cell("100.0"), Cell(_calls(profiled.calls))


def _calls(calls: float) -> str:
    return NONE if calls == 0 else f"{calls:.0f}" if calls == int(calls) else significant(calls)
