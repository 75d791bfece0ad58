"""The history of benchmarks for the terminal. Computes nothing."""

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from reports.show.render_terminal import LONGEST_STEP
from reports.statistics.changepoints import FEWEST_RUNS
from reports.text.figures import per_second, signed_percent
from reports.text.plain_text import columns, plain
from reports.views.history import History, HistoryPoint, MachineShift, Series

IN_FULL = 4


def print_history(console: Console, found: History) -> None:
    """Print every run of up to four benchmarks, or a line per benchmark of more."""
    console.print(Text(f"{_runs(found.runs)} on {plain(found.machine)}", style="bold"))
    if len(found.series) <= IN_FULL:
        for series in found.series:
            for line in _every_run(series):
                console.print(line, soft_wrap=True)
    else:
        console.print(_overview(found))
    for line in _remarks(found):
        console.print(line)


def machine_shift_text(shift: MachineShift) -> str:
    """Say what all steps of the runs did together."""
    return (
        f"the machine: all steps together {signed_percent(shift.ratio)} from run {shift.run} on ({shift.commit}): its load, clock or host, "
        "or what else all steps share; no step's own change"
    )


def _every_run(series: Series) -> Iterator[Text]:
    yield Text(f"{plain(series.model)} {plain(series.step)}", style="bold")
    heading, *lines = columns([("run", "saved at (UTC)", "commit", "SPS", "95 % interval", ""), *map(_row, series.points)], right={3, 4})
    yield Text(heading, style="dim")
    for line, point in zip(lines, series.points, strict=True):
        yield Text(line, style=_style(point))


def _row(point: HistoryPoint) -> tuple[str, ...]:
    interval = point.interval
    return (
        plain(point.run, 40),
        f"{point.saved_at:%Y-%m-%d %H:%M}",
        plain(point.commit, 12),
        per_second(point.samples_per_second),
        f"{per_second(interval[0])} to {per_second(interval[1])}" if interval else "-",
        f"<- {signed_percent(point.shift)} from here on" if point.shift else "",
    )


def _overview(found: History) -> RenderableType:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("model", no_wrap=True)
    table.add_column("step", no_wrap=True)
    for name in ("runs", "first\nSPS", "last\nSPS"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("changes of level", overflow="fold")
    for series in found.series:
        shifts = [f"{signed_percent(point.shift)} at {plain(point.run, 40)} ({plain(point.commit, 12)})" for point in series.shifts]
        table.add_row(
            Text(plain(series.model, 20)),
            Text(plain(series.step, LONGEST_STEP)),
            Text(str(len(series.points))),
            Text(per_second(series.points[0].samples_per_second)),
            Text(per_second(series.points[-1].samples_per_second)),
            Text(", ".join(shifts) or "-"),
        )
    return table


def _remarks(found: History) -> Iterator[Text]:
    for machine, runs in found.other_machines.items():
        yield Text(f"left out: {_runs(runs)} on another machine, {plain(machine)}", style="yellow")
    for shift in found.machine_shifts:
        yield Text(plain(machine_shift_text(shift), 300), style="yellow")
    if all(len(series.points) < FEWEST_RUNS for series in found.series):
        yield Text(f"a change of level can be told from {FEWEST_RUNS} runs on", style="dim")


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _style(point: HistoryPoint) -> str:
    if point.shift is None:
        return ""
    return "green" if point.shift > 1 else "red"
