"""Loads as text. Computes nothing."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.text.figures import milliseconds, per_second
from reports.text.plain_text import plain
from reports.under_load.requests import LoadRun

REQUESTS_FOR_P999 = 1000
COLUMNS = (
    "scenario",
    "workers\nx threads",
    "batch",
    "requests",
    "rate\n/s",
    "served\n/s",
    "samples\n/s",
    "p50\nms",
    "p90\nms",
    "p99\nms",
    "p99.9\nms",
    "p99 shown\nat most ms",
)


def load_line(load: LoadRun) -> str:
    """Return one run in one line, for progress."""
    at = f" at {per_second(load.rate)} requests/s" if load.rate is not None else ""
    verdict = "" if load.limit_s is None else f", limit {_verdict(load)}"
    behind = ", the queue grew to the end" if load.behind else ""
    workers = f"{load.workers} worker{'s' if load.workers > 1 else ''}"
    return f"{load.scenario}{at}, {workers}: p99 {milliseconds(load.p99_s)} ms, {per_second(load.achieved)} served/s{verdict}{behind}"


def print_loads(console: Console, model: str, loads: Sequence[LoadRun]) -> None:
    """Print a table of loads, and what is to be known of its figures."""
    if not loads:
        return
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", title=f"{plain(model)} {plain(loads[0].step)}", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "scenario" else "right", no_wrap=True)
    table.add_column("limit")
    for load in loads:
        table.add_row(*map(Text, _cells(load)))
    console.print(table)
    if loads[0].scenario == "offline":
        console.print(Text("All requests arrive at once: their latencies are places in the queue.", style="dim"))
    if any(load.limit_s is not None for load in loads):
        console.print(
            Text(
                "A p99 keeps its limit where so few requests are over it as MLPerf's early stopping allows at 99 %; "
                "at a rate of random arrivals by the median of three runs, which is the one shown.",
                style="dim",
            )
        )
    if any(load.requests < REQUESTS_FOR_P999 for load in loads):
        console.print(Text(f"p99.9 of fewer than {REQUESTS_FOR_P999} requests is the slowest one: use a longer --duration.", style="dim"))


def _cells(load: LoadRun) -> tuple[str, ...]:
    limit = "-" if load.limit_s is None else f"{_verdict(load)} ({milliseconds(load.limit_s)} ms)"
    return (
        load.scenario,
        f"{load.workers} x {load.threads}",
        str(load.batch_size),
        str(load.requests),
        per_second(load.rate),
        per_second(load.achieved),
        per_second(load.samples_per_second),
        *(milliseconds(value) for value in load.percentiles_s.values()),
        milliseconds(load.p99_high_s),
        limit,
    )


def _verdict(load: LoadRun) -> str:
    """Say whether the run shows that its p99 keeps the limit, breaks it, or neither."""
    if load.keeps_limit:
        return "kept"
    return "not kept" if load.limit_s is not None and load.p99_s > load.limit_s else "not shown to be kept"
