"""Loads as a table. Computes nothing."""

from collections.abc import Iterator, Sequence

from reports.text.figures import NONE, milliseconds, per_second
from reports.under_load.requests import LoadRun
from reports.under_load.search import keeps
from reports.views.tables import Cell, Column, Table

REQUESTS_FOR_P999 = 1000
_COLUMNS = (
    Column("scenario", "scenario", is_number=False),
    Column("workers\nx threads", "workers"),
    Column("batch", "batch_size"),
    Column("requests", "requests"),
    Column("rate\n/s", "rate"),
    Column("served\n/s", "achieved"),
    Column("samples\n/s", "samples_per_second"),
    Column("p50\nms", "latency_p50_s"),
    Column("p90\nms", "latency_p90_s"),
    Column("p99\nms", "latency_p99_s"),
    Column("p99.9\nms", "latency_p999_s"),
    Column("p99 shown\nat most ms", "latency_p99_high_s"),
    Column("limit", "limit", is_number=False, folds=True),
)


def load_line(load: LoadRun) -> str:
    """Return one run in one line, for progress."""
    at = f" at {per_second(load.rate)} requests/s" if load.rate is not None else ""
    verdict = "" if load.limit_s is None else f", limit {_verdict(load)}"
    behind = ", the queue grew to the end" if load.behind else ""
    workers = f"{load.workers} worker{'s' if load.workers > 1 else ''}"
    return f"{load.scenario}{at}, {workers}: p99 {milliseconds(load.p99_s)} ms, {per_second(load.achieved)} served/s{verdict}{behind}"


def loads_table(model: str, loads: Sequence[LoadRun]) -> Table:
    """Return a table of loads, and what is to be known of its figures."""
    return Table(
        title=f"{model} {loads[0].step}" if loads else "",
        columns=_COLUMNS,
        rows=tuple(tuple(_cells(load)) for load in loads),
        remarks=tuple(_remarks(loads)),
    )


def _remarks(loads: Sequence[LoadRun]) -> Iterator[str]:
    if loads and loads[0].scenario == "offline":
        yield "All requests arrive at once: their latencies are places in the queue."
    if any(load.limit_s is not None for load in loads):
        yield (
            "A p99 keeps its limit where so few requests are over it as MLPerf's early stopping allows at 99 %; "
            "at a rate of random arrivals by the median of three runs, which is the one shown."
        )
    if any(load.behind and load.limit_s is not None for load in loads):
        yield "Where the queue grew to the end no limit is kept: with more --duration all requests would wait longer."
    if any(load.requests < REQUESTS_FOR_P999 for load in loads):
        yield f"p99.9 of fewer than {REQUESTS_FOR_P999} requests is the slowest one: use a longer --duration."


def _cells(load: LoadRun) -> Iterator[Cell]:
    yield Cell(load.scenario)
    yield Cell(f"{load.workers} x {load.threads}")
    yield Cell(str(load.batch_size), load.batch_size)
    yield Cell(str(load.requests), load.requests)
    for rate in (load.rate, load.achieved, load.samples_per_second):
        yield Cell(per_second(rate), rate)
    for value_s in (*load.percentiles_s.values(), load.p99_high_s):
        yield Cell(milliseconds(value_s), value_s)
    yield Cell(NONE if load.limit_s is None else f"{_verdict(load)} ({milliseconds(load.limit_s)} ms)")


def _verdict(load: LoadRun) -> str:
    """Say whether the run shows that its p99 keeps the limit, breaks it, or neither; in a queue that grows none is kept for long."""
    if keeps(load):
        return "kept"
    return "not kept" if load.limit_s is not None and (load.behind or load.p99_s > load.limit_s) else "not shown to be kept"
