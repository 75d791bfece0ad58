"""The ladder as CSV: one line per step, plain numbers, units in the column names. Computes nothing."""

import csv
import io
from collections.abc import Iterable

from reports.text.plain_text import plain
from reports.views.ladder import Ladder, LadderRow

COLUMNS = (
    "model",
    "step",
    "outcome",
    "samples_per_second",
    "samples_per_second_low",
    "samples_per_second_high",
    "speedup_unpaired",
    "gain",
    "gain_low",
    "gain_high",
    "gain_verdict",
    "gain_over",
    "int8_over_float",
    "int8_over_float_low",
    "int8_over_float_high",
    "int8_over_float_verdict",
    "int8_over_float_of",
    "int8_over_float_paired",
    "batch_size",
    "workers",
    "latency_p50_s",
    "latency_p99_s",
    "latency_samples",
    "cold_start_s",
    "build_s",
    "peak_rss_bytes",
    "sqnr_db",
    "top1_agreement",
    "cosine",
    "labelled_pictures",
    "labelled_top1",
    "labelled_top1_fp32",
    "labelled_difference_low",
    "labelled_difference_high",
    "precision_share",
    "left_out",
    "left_out_reasons",
    "kept_above",
    "reason",
    "remedy",
)


def ladders_csv(ladders: Iterable[Ladder]) -> str:
    """Return all ladders in one table; figures that do not apply are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for ladder in ladders:
        for row in ladder.rows:
            writer.writerow([cell(value) for value in _values(row)])
    return text.getvalue()


def _values(row: LadderRow) -> tuple[object, ...]:
    low, high = row.samples_per_second_interval or (None, None)
    gain, float_ = row.gain, row.over_float
    return (
        row.model,
        row.step,
        row.outcome,
        row.samples_per_second,
        low,
        high,
        row.speedup,
        *((gain.ratio, gain.low, gain.high, gain.verdict, gain.over) if gain else (None,) * 5),
        *(
            (float_.ratio.ratio, float_.ratio.low, float_.ratio.high, float_.ratio.verdict, float_.over, float_.paired)
            if float_
            else (None,) * 6
        ),
        row.batch_size,
        row.workers,
        row.latency_p50_s,
        row.latency_p99_s,
        row.latency_samples,
        row.cold_start_s,
        row.build_s,
        row.peak_rss_bytes,
        row.sqnr_db,
        row.top1_agreement,
        row.cosine,
        *((found.pictures, found.top1, found.reference_top1, found.low, found.high) if (found := row.accuracy) else (None,) * 5),
        " ".join(f"{name}={share:.4f}" for name, share in row.precision_share.items()),
        " ".join(row.left_out),
        "; ".join(f"{step}: {why}" for step, why in row.left_out_reasons.items()),
        None if row.decision is None else row.decision.kept,
        row.reason,
        row.remedy,
    )


def cell(value: object) -> object:
    """Make text that a spreadsheet would run as a formula plain text."""
    if not isinstance(value, str):
        return value
    text = plain(value, 1000)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
