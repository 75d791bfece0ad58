"""The history of benchmarks as tables. Computes nothing."""

from collections.abc import Iterator

from reports.statistics import DISTURBED
from reports.statistics.changepoints import FEWEST_RUNS
from reports.text.figures import NONE, per_second, signed_percent
from reports.views.history import History, HistoryPoint, MachineShift, Series
from reports.views.tables import LONGEST_STEP, WARNING, Cell, Column, Line, Table

IN_FULL = 4
_RUNS = (
    Column("run", "run", is_number=False),
    Column("saved at (UTC)", "saved_at", is_number=False),
    Column("commit", "commit", is_number=False),
    Column("SPS", "samples_per_second"),
    Column("95 % interval", "interval"),
    Column("", "shift", is_number=False),
)
_OVERVIEW = (
    Column("model", "model", is_number=False, most_width=20),
    Column("step", "step", is_number=False, most_width=LONGEST_STEP),
    Column("runs", "runs"),
    Column("first\nSPS", "first_samples_per_second"),
    Column("last\nSPS", "last_samples_per_second"),
    Column("changes of level", "shifts", is_number=False, folds=True),
)


def history_tables(found: History) -> tuple[Table, ...]:
    """Return every run of up to four benchmarks, or a row for each benchmark of more."""
    title = f"{_runs(found.runs)} on {found.machine}"
    if len(found.series) > IN_FULL:
        rows = tuple(tuple(_overview(series)) for series in found.series)
        tables = [Table(columns=_OVERVIEW, rows=rows)]
    else:
        tables = [
            Table(title=f"{series.model} {series.step}", columns=_RUNS, rows=tuple(map(_row, series.points)), data=tuple(_data(series)))
            for series in found.series
        ]
    return Table(before=(Line("", lead=title),)), *tables, Table(remarks=tuple(_remarks(found)))


def machine_shift_text(shift: MachineShift) -> str:
    """Say what all steps of the runs did together."""
    return (
        f"the machine: all steps together {signed_percent(shift.ratio)} from run {shift.run} on ({shift.commit}): its load, clock or host, "
        "or what else all steps share; no step's own change"
    )


def disturbed_text(found: History) -> str:
    """Say how many of the figures stand for nothing; empty where none does."""
    if not found.disturbed:
        return ""
    count = sum(len(series.points) for series in found.series)
    were = "was" if found.disturbed == 1 else "were"
    return f"{found.disturbed} of {count} measurements {were} disturbed by others, without a say in any level"


def _row(point: HistoryPoint) -> tuple[Cell, ...]:
    interval, style = point.interval, "" if point.shift is None else "green" if point.shift > 1 else "red"
    shown = (
        *(point.run, f"{point.saved_at:%Y-%m-%d %H:%M}", point.commit, per_second(point.samples_per_second)),
        f"{per_second(interval.low)} to {per_second(interval.high)}" if interval else NONE,
        f"<- {signed_percent(point.shift)} from here on" if point.shift else DISTURBED if point.measured.disturbed else "",
    )
    return tuple(Cell(each, style=style) for each in shown)


def _data(series: Series) -> Iterator[dict[str, object]]:
    for point in series.points:
        low, high = point.interval or (None, None)
        yield {
            "model": series.model,
            "step": series.step,
            "run": point.run,
            "saved_at": point.saved_at.isoformat(),
            "commit": point.commit,
            "samples_per_second": point.samples_per_second,
            "samples_per_second_low": low,
            "samples_per_second_high": high,
            "shift": point.shift,
            "disturbed": point.measured.disturbed,
        }


def _overview(series: Series) -> Iterator[Cell]:
    first, last = series.points[0].samples_per_second, series.points[-1].samples_per_second
    shifts = [f"{signed_percent(point.shift)} at {point.run} ({point.commit})" for point in series.shifts]
    yield Cell(series.model)
    yield Cell(series.step)
    yield Cell(str(len(series.points)), len(series.points))
    yield Cell(per_second(first), first)
    yield Cell(per_second(last), last)
    yield Cell(", ".join(shifts) or NONE)


def _remarks(found: History) -> Iterator[Line | str]:
    for machine, runs in found.other_machines.items():
        yield Line(f"left out: {_runs(runs)} on another machine, {machine}", WARNING)
    if (others := found.other_conditions) > 0:
        count = f"{others} measurement{'' if others == 1 else 's'}"
        yield Line(f"left out: {count} with other inputs, threads or workers than the newest of the step", WARNING)
    if disturbed := disturbed_text(found):
        yield Line(disturbed, WARNING)
    for shift in found.machine_shifts:
        yield Line(machine_shift_text(shift), WARNING)
    if all(len(series.points) < FEWEST_RUNS for series in found.series):
        yield f"a change of level can be told from {FEWEST_RUNS} runs on"


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"
