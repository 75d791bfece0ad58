"""The ladder and a comparison as JSON. Computes nothing."""

from collections.abc import Iterable
from typing import Any

import msgspec

from reports.saved.record import Measurement, Run
from reports.show.compare_texts import advice, headline, recipes_text
from reports.views.compare import Comparison
from reports.views.ladder import Ladder


def ladders_json(ladders: Iterable[Ladder]) -> str:
    """Return `[{"model", "best", "rows": [...]}]`; rows have the fields of `LadderRow`, null where a figure does not apply."""
    return json_text(
        [
            {"model": ladder.model, "best": ladder.best.step if ladder.best else None, "rows": msgspec.to_builtins(ladder.rows)}
            for ladder in ladders
        ]
    )


def comparison_json(comparison: Comparison) -> str:
    """Return both runs, what changed, and every benchmark with its ratio, processes and changes."""
    return json_text(
        {
            "base": _run(comparison.base),
            "head": _run(comparison.head),
            "across_machines": comparison.across_machines,
            "machine": msgspec.to_builtins(comparison.machine),
            "software": msgspec.to_builtins(comparison.software),
            "spread_between_runs": msgspec.to_builtins(comparison.spread),
            "compared": [
                msgspec.to_builtins(row) | {"text": headline(row), "differs_as_runs_do": comparison.is_usual(row)}
                for row in comparison.compared
            ],
            "one_sided": msgspec.to_builtins(comparison.one_sided),
            "recipes": recipes_text(comparison),
            "advice": advice(comparison),
        }
    )


def _run(run: Run[Measurement]) -> dict[str, Any]:
    return {
        "path": str(run.path),
        "number": run.number,
        "saved_at": run.saved_at.isoformat(),
        "commit": run.commit.id,
        "dirty": run.commit.dirty,
        "fingerprint": run.fingerprint,
    }


def json_text(value: object) -> str:
    """Return any record as readable JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
