"""The ladder as tables. Computes nothing.

from rich.console import Console
from reports.saved.load import read_run
from reports.views.tables.ladder import ladder_tables
from reports.show.tables import print_tables
from reports.views.ladder import ladders

run = read_run(path)
print_tables(Console(), ladder_tables(ladders(run.measurements, run.outcomes)))
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from reports.saved.record import Measurement, Outcome, SavedGeneration
from reports.statistics import DISTURBED
from reports.text.figures import (
    NONE,
    counted_in,
    decibels,
    gain_short,
    gibibytes,
    in_pairs,
    max_of,
    mebibytes,
    milliseconds,
    per_second,
    share_percent,
    significant,
    tail_ms,
    times,
    top1,
    verdict_of,
)
from reports.views.ladder import (
    Ladder,
    LadderRow,
    accuracy_text,
    by_chance,
    generation_text,
    int8_text,
    lengths_text,
    metric_texts,
    rivals_text,
    share_of_limit,
    without_text,
)
from reports.views.tables import LONGEST_STEP, REMARK, STYLES, WARNING, Cell, Column, Line, Table
from reports.views.weights import weights_line

WITH_AGREEMENT = 101
WITH_COSTS = 123
WITH_PAIRS = 138
_COLUMNS = (
    Column("step", "step", is_number=False, most_width=LONGEST_STEP),
    Column("SPS", "samples_per_second"),
    Column("speed-\nup*", "speedup_unpaired"),
    Column("gain\n[95 % interval]", "gain", is_number=False),
    Column("SPS in\nits pairs", "in_pairs", is_number=False, least_width=WITH_PAIRS),
    Column("verdict over\npredecessor", "gain_verdict", is_number=False, folds=True),
    Column("p50\nms", "latency_p50_s", least_width=WITH_AGREEMENT),
    Column("p99\nms", "latency_p99_s", least_width=WITH_AGREEMENT),
    Column("SQNR\ndB", "sqnr_db", least_width=WITH_AGREEMENT),
    Column("top-1\n%", "top1_agreement", least_width=WITH_AGREEMENT),
    Column("cold\nstart s", "cold_start_s", least_width=WITH_COSTS),
    Column("peak\nGiB", "peak_rss_bytes", least_width=WITH_COSTS),
    Column("reported\nkernel\ntime %", "precision_share", is_number=False, folds=True, least_width=WITH_COSTS),
)
_TOKENS = Column("real\ntokens/s", "tokens_per_second")
# Where lengths of texts vary there are tokens beside texts, and no top-1 agreement, which tells nothing beside 60 dB.
_OF_TEXTS = (*_COLUMNS[:2], _TOKENS, *(each for each in _COLUMNS[2:] if each.field != "top1_agreement"))
# Where text is generated a sample is a token, and how many of them are fp32's stands in place of the top-1 agreement.
_READ = Column("MiB read\na token:\nweights\n+cache", "bytes_per_token", least_width=WITH_AGREEMENT)
_LIMIT = Column("% of its\nlimit", "share_of_limit")
_AGREEING = Column("tokens\nof fp32", "tokens_agreeing", least_width=WITH_AGREEMENT)
_INSTEAD = {"samples_per_second": Column("tokens/s", "samples_per_second"), "in_pairs": _READ, "top1_agreement": _AGREEING}
_OF_TOKENS = (_COLUMNS[0], _INSTEAD["samples_per_second"], _LIMIT, *(_INSTEAD.get(each.field, each) for each in _COLUMNS[2:]))
_OF_PROMPTS = tuple(each for each in _OF_TOKENS if each is not _READ)
_JSON = (
    *("model", "step", "outcome", "reason", "remedy", "samples_per_second", "samples_per_second_interval", "baseline", "speedup"),
    *("disturbed", "gain", "in_pairs", "batch_size", "workers", "latency_p50_s", "latency_p99_s", "latency_max_s", "latency_samples"),
    *("cold_start_s", "build_s", "peak_rss_bytes", "sqnr_db", "top1_agreement", "cosine", "accuracy", "metrics", "lengths", "generation"),
    *("precision_share", "left_out", "left_out_reasons", "decision", "over_float", "findings", "weights", "weights_found"),
)
_NO_RECORD: dict[str, object] = {
    **{"baseline": "", "disturbed": False, "weights": "", "weights_found": ""},
    **{"metrics": (), "precision_share": {}, "left_out": (), "left_out_reasons": {}, "findings": ()},
}


def ladder_tables(ladders: Iterable[Ladder]) -> tuple[Table, ...]:
    """Return one table for each model, and how many verdicts chance makes."""
    shown = list(ladders)
    chance = by_chance(shown)
    return (*map(_table, shown), *([Table(remarks=(chance,))] if chance else []))


def ladders_data(ladders: Iterable[Ladder]) -> list[dict[str, Any]]:
    """Return `[{"model", "best", "rows": [...]}]`; rows have the fields of `_JSON`, null where a figure does not apply."""
    return [
        {"model": each.model, "best": each.best.step if each.best else None, "rows": [msgspec.to_builtins(_json(row)) for row in each.rows]}
        for each in ladders
    ]


def _json(row: LadderRow | Outcome) -> dict[str, object]:
    if isinstance(row, Outcome):
        return dict.fromkeys(_JSON) | _NO_RECORD | msgspec.structs.asdict(row)
    ended = {"outcome": "measured", "reason": "", "remedy": ""}
    record = {name: getattr(row.measurement, name) for name in _JSON if name in Measurement.__struct_fields__}
    own = {name: getattr(row, name) for name in ("samples_per_second_interval", "baseline", "speedup", "in_pairs", "over_float")}
    return dict.fromkeys(_JSON) | ended | record | own


def _columns(measurements: Sequence[Measurement]) -> tuple[Column, ...]:
    """Return the columns of a table: tokens have others than pictures."""
    generated = next((m.generation for m in measurements if m.generation is not None), None)
    if generated is not None:
        return _OF_TOKENS if generated.phase == "decode" else _OF_PROMPTS
    return _OF_TEXTS if any(m.lengths is not None for m in measurements) else _COLUMNS


def _table(ladder: Ladder) -> Table:
    rows = ladder.measured
    columns = _columns(ladder.measurements)
    return Table(
        title=ladder.model,
        columns=columns,
        rows=tuple(tuple(_cells(row, columns)) for row in rows),
        remarks=tuple(_remarks(ladder)),
        marked=frozenset(place for place, row in enumerate(rows) if row is ladder.best),
        data=tuple(map(_data, ladder.rows)),
    )


def _cells(row: LadderRow, columns: Sequence[Column]) -> Iterator[Cell]:
    m = row.measurement
    yield Cell(m.step)
    yield Cell(per_second(m.samples_per_second), style=STYLES[DISTURBED] if m.disturbed else "")
    if _LIMIT in columns:
        share = share_of_limit(m.generation) if m.generation else None
        yield Cell(NONE if share is None else significant(100 * share))
    if _TOKENS in columns:
        yield Cell(per_second(m.lengths.tokens_per_second if m.lengths else None))
    yield Cell(times(row.speedup))
    yield Cell(gain_short(m.gain))
    if _READ in columns:
        yield Cell(_read(m.generation))
    elif _LIMIT not in columns:
        yield Cell(in_pairs(row.in_pairs))
    yield Cell(verdict_of(m), style=STYLES.get(DISTURBED if m.disturbed else m.gain.verdict if m.gain else "", "dim"))
    yield Cell(milliseconds(m.latency_p50_s))
    yield Cell(tail_ms(m), below=f"({few})" if (few := max_of(m)) else "")
    yield Cell(decibels(m.sqnr_db))
    if _AGREEING in columns:
        yield Cell(_agreeing(m.generation))
    elif _TOKENS not in columns:
        yield Cell(top1(m.top1_agreement))
    yield Cell(NONE if m.cold_start_s is None else significant(m.cold_start_s))
    yield Cell(gibibytes(m.peak_rss_bytes))
    yield Cell(share_percent(m.precision_share))


def _read(found: SavedGeneration | None) -> str:
    """Return what a token of decode reads, `512+11.3`; nothing of prefill."""
    if found is None or found.weight_bytes_per_token is None:
        return NONE
    return f"{mebibytes(found.weight_bytes_per_token)}+{mebibytes(found.cache_bytes_per_token)}"


def _agreeing(found: SavedGeneration | None) -> str:
    return NONE if found is None or found.tokens_agreeing is None else f"{found.tokens_agreeing}/{found.new_tokens}"


def _remarks(ladder: Ladder) -> Iterator[Line]:
    """Yield the steps that were not measured and why, findings, the gain of INT8, the best recipe and the labelled accuracy."""
    if not ladder.measured:
        yield Line("nothing was measured")
    for row in ladder.not_measured:
        remedy = f" -> {row.remedy}" if row.remedy else ""
        yield Line(f": {row.reason}{remedy}", lead=f"{row.step} {row.outcome}", lead_style=STYLES.get(row.outcome, ""))
    for m in ladder.measurements:
        for finding in m.findings:
            yield Line(f": {finding}", REMARK, lead=f"{m.step} note", lead_style=WARNING)
    if told := int8_text(ladder):
        yield Line(told)
    if ladder.measured:
        yield best_line(ladder)
    texts = (accuracy_text(ladder), *metric_texts(ladder), lengths_text(ladder), generation_text(ladder))
    yield from (Line(each) for each in texts if each)
    if told := weights_line(ladder.measurements):
        yield Line(told, REMARK)


def best_line(ladder: Ladder) -> Line:
    """Return the best recipe, its rivals, and what it leaves out; where it is not shown to pay it is not called the best."""
    best = ladder.best
    if best is None:
        return Line("no best: others disturbed whatever was measured; measure again on an idle machine", STYLES[DISTURBED])
    m = best.measurement
    called = "best" if ladder.pays or m.gain is None else "fastest measured, by no more than chance"
    text = f", {per_second(m.samples_per_second)} {counted_in(m)} per second"
    if best.speedup is not None:
        text += f", {times(best.speedup)} the baseline (* unpaired: measured at different times; gains are paired)"
    if ladder.rivals:
        text += f"; not told apart from {rivals_text(ladder)}"
    if without := without_text(ladder, best):
        text += f"; its recipe leaves out {without}"
    return Line(text, lead=f"{called}: {best.step}")


def _data(row: LadderRow | Outcome) -> dict[str, object]:
    """Return a row of CSV: plain numbers, units in the names; figures that do not apply are empty."""
    own = row if isinstance(row, LadderRow) else None
    ended = row if isinstance(row, Outcome) else None
    m = own.measurement if own else None
    low, high = (own.samples_per_second_interval if own else None) or (None, None)
    float_ = own.over_float if own else None
    gain, found, ratio = m.gain if m else None, m.accuracy if m else None, float_.ratio if float_ else None
    return {
        **_fields(m or ended, "model", "step"),
        "outcome": ended.outcome if ended else "measured",
        **_fields(m, "samples_per_second"),
        "samples_per_second_low": low,
        "samples_per_second_high": high,
        "speedup_unpaired": own.speedup if own else None,
        "gain": gain.ratio if gain else None,
        **_fields(gain, "low", "high", "verdict", "over", prefix="gain_"),
        "int8_over_float": ratio.ratio if ratio else None,
        **_fields(ratio, "low", "high", "verdict", prefix="int8_over_float_"),
        "int8_over_float_of": float_.over if float_ else None,
        "int8_over_float_paired": float_.paired if float_ else None,
        **_fields(m, "batch_size", "workers", "latency_p50_s", "latency_p99_s", "latency_samples", "cold_start_s", "build_s"),
        **_fields(m, "peak_rss_bytes", "sqnr_db", "top1_agreement", "cosine"),
        **_fields(found, "pictures", "top1", prefix="labelled_"),
        "labelled_top1_fp32": found.reference_top1 if found else None,
        **_fields(found, "low", "high", prefix="labelled_difference_"),
        "metrics": " ".join(f"{each.name}={each.value:.6g}" for each in m.metrics) if m else "",
        "metrics_fp32": " ".join(f"{each.name}={each.reference:.6g}" for each in m.metrics) if m else "",
        **_fields(m and m.lengths, "tokens_per_second", "padding_share"),
        **_fields(m and m.generation, "weight_bytes_per_token", "cache_bytes_per_token"),
        **_fields(m and m.generation, "share_of_bandwidth", "share_of_peak", "tokens_agreeing"),
        "precision_share": " ".join(f"{name}={share:.4f}" for name, share in m.precision_share.items()) if m else "",
        **_fields(m, "weights"),
        "left_out": " ".join(m.left_out) if m else "",
        "left_out_reasons": "; ".join(f"{step}: {why}" for step, why in m.left_out_reasons.items()) if m else "",
        "kept_above": m.decision.kept if m and m.decision else None,
        **_fields(ended, "reason", "remedy"),
    }


def _fields(record: object, *names: str, prefix: str = "") -> dict[str, object]:
    """Return what a record has by these names, None for each where there is no record."""
    return {f"{prefix}{name}": None if record is None else getattr(record, name) for name in names}
