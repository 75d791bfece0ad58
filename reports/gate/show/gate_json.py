"""A gate's result as JSON. Computes nothing."""

from dataclasses import replace
from math import isfinite
from typing import Any

import msgspec

from reports.gate.pair import Pair
from reports.gate.quantities import Quantity
from reports.gate.result import Result, Row
from reports.gate.show.gate_texts import headline, why
from reports.show.tables import json_text

VERSION = 1


def gate_json(result: Result) -> str:
    """Return an object with these fields; slowdowns are ratios of times minus 1 (0.03: head takes 3 % more), durations seconds.

    - `version`: of this schema, 1. `verdict`: PASS, REGRESSION, ERROR or INCONCLUSIVE; `exit_code`: 0, 1, 2, 3; `headline`: in words.
    - `error`: why nothing was compared, else null.
    - `base`, `head`: `{revision, commit, subject, python, fixtures, versions, code, notes}`; commit is empty for a working folder,
      `code` are the files that the models' code came from, relative to the worktree's top; null where the gate ended before.
      `software`: `[{field, base, head}]` that differ. `machine`: the fingerprint. `notes`: texts.
    - `rules`: `{alpha, looks, early_pairs, early_share, screen_pairs, control_pairs, confirm_pairs, screen_builds,
      confirm_builds, further_builds, tolerated, least_effect, alike}`. `limits`, `budget_s`, `took_s`.
    - `benchmarks`: `[{model, step, id, verdict, why, slowdown, low, high, median_slowdown, spread, is_faster, p_value, p_holm,
      p_sign_flip, lag_1, p_lag_1, look, significance, build_spread, changes, quantities, limits, pairs, control}]`. `verdict` is
      by time and all else, and may also be `acknowledged`, `new` or `skipped`. `low` and `high` are one-sided bounds of 1 - alpha each;
      `spread` is the standard deviation of the pairs' log ratios, `lag_1` the correlation of neighbouring pairs; `look` says how often the
      confirming pairs were looked at (0: not at all), `significance` the level of the last look, `build_spread` the standard deviation
      between builds of equal code (null: one build). Figures are of the confirming pairs where there are all of them, else of the
      screen's; null where they do not apply. `changes`: `[{field, base, head}]` that the proofs saw differently.
      `limits`: `{time_percent, memory_percent, cold_start_percent, build_time_percent, artifact_size_percent, sqnr_db,
      accuracy_points, metrics}` of this benchmark, null for what is not judged; at the top the gate's. `metrics`:
      `[{name, amount, rises, is_percent}]`.
    - `quantities`: `[{name, unit, base, head, change, low, high, limit, verdict, known, rises}]`, of memory, cold start, build time,
      artifact size, SQNR, accuracy and metrics what is known: the medians of both sides in `unit` (accuracy: shares; `metric`: its own),
      and the median change of the pairs: head / base - 1, or the dB, points or metric gained; null where base has none. `verdict` is null
      where there is no limit; `known` says how it is acknowledged. More of a metric with a limit is worse where it `rises`.
    - `pairs`: `[{phase, base_rounds_s, head_rounds_s, base_samples, head_samples, slowdown, restless, took_s, stolen, others,
      head_started_first, base, head, base_build, head_build, base_artifact, head_artifact}]` in the order measured, raw times included;
      `slowdown` is the median log ratio of neighbouring turns, by sample, by which is judged. `base` and `head`: `{peak_rss_bytes,
      cold_start_s, build_s, artifact_bytes, sqnr_db, sqnr_samples, right, metrics}`; `base_build`, `head_build`: which build served, 0 the
      first; `base_artifact`, `head_artifact`: digests of their files, empty where there are none. `control`: likewise, of base and a second
      build of base.
    """
    first: dict[str, Any] = {"version": VERSION, "verdict": result.verdict, "exit_code": result.exit_code, "headline": headline(result)}
    fields: dict[str, Any] = msgspec.to_builtins(replace(result, rows=()))
    del fields["rows"]
    return json_text(first | fields | {"benchmarks": [_row(row) for row in result.rows]})


def _quantity(quantity: Quantity) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(quantity)
    return fields | {"change": quantity.change if isfinite(quantity.change) else None}


def _pair(pair: Pair) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(pair)
    del fields["model"], fields["step"], fields["named"]
    return fields | {"slowdown": pair.slowdown}


def _row(row: Row) -> dict[str, Any]:
    judged: dict[str, Any] = msgspec.to_builtins(row.judged)
    pairs, control = ([_pair(pair) for pair in each] for each in (row.pairs, row.control))
    return (
        {"model": row.model, "step": row.step, "id": row.id}
        | judged
        | {"why": why(row), "changes": msgspec.to_builtins(row.changes)}
        | {"quantities": [_quantity(each) for each in row.quantities], "limits": msgspec.to_builtins(row.limits), "pairs": pairs}
        | {"control": control}
    )
