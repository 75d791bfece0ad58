"""What a search found, as text and picture. Computes nothing."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from reports.saved.record import Measurement
from reports.show.pareto_picture import pareto_picture
from reports.show.tables import print_tables
from reports.text.durations import duration
from reports.text.figures import decibels, gain_short, milliseconds, p99_ms, p99_text, per_second
from reports.text.plain_text import plain
from reports.tune.finals import Finalist
from reports.tune.run import Tuning
from reports.views.front import points
from reports.views.tables import REMARK, Cell, Column, Line, Table

_COLUMNS = (
    Column("recipe", "step", is_number=False),
    Column("SPS", "samples_per_second"),
    Column("p50\nms", "latency_p50_s"),
    Column("p99\nms", "latency_p99_s"),
    Column("batch", "batch_size"),
    Column("workers\nx threads", "workers"),
    Column("SQNR\ndB", "sqnr_db"),
    Column("limits", "limits", is_number=False, folds=True),
)


def print_tuning(console: Console, found: Tuning, out: Path) -> None:
    """Print the Pareto front, the winner and its rivals, and where all of it is saved."""
    console.print(Text(plain(found.model), style="bold"))
    if found.records:
        print_tables(console, [_front(found)])
    for step, reason in found.failed:
        console.print(Text(plain(step)).append(" failed", style="bold red").append(f": {plain(reason, 300)}"), soft_wrap=True)
    console.print(
        Text(f"{len(found.records)} recipes measured in {duration(found.took_s)}; the search ended: {found.ended}."), soft_wrap=True
    )
    winner = found.winner
    if winner is None:
        console.print(
            Text("No recipe measured is shown to be within the limits: widen them, or give the search more --budget."), soft_wrap=True
        )
    elif found.finals is None or winner != found.finals.record.step:
        console.print(Text("best: ").append(plain(winner), style="bold").append(" (not measured side by side)"), soft_wrap=True)
        if found.finals is not None:
            console.print(
                Text("Another recipe was, and fell behind or broke a limit; more --budget leaves time for this one."), soft_wrap=True
            )
    else:
        _print_finals(console, found)
    if found.records:
        step = f" --step {plain(winner)}" if winner is not None else ""
        console.print(
            f"Saved in {plain(out, 400)}; deploy it: python -m reports recommend {plain(out, 400)}{step} --emit DIR",
            markup=False,
            soft_wrap=True,
        )


def tuning_picture(found: Tuning, suffix: str) -> bytes:
    """Return throughput against p99 of all that was measured."""
    title = f"{found.model}: {len(found.records)} recipes, throughput against p99 of a call"
    shown = points(found.measurements, found.limits, measured_again=found.measured_again)
    return pareto_picture(shown, found.limits, title=title, winner=found.winner or "", suffix=suffix)


def _front(found: Tuning) -> Table:
    by_step = {m.step: m for m in found.measurements}
    winner = found.winner
    shown = [point for point in points(found.measurements, found.limits) if point.on_front or point.step == winner]
    rows = tuple(tuple(_cells(by_step[point.step], point.broken, "dim" if point.broken else "")) for point in shown)
    marked = frozenset(place for place, point in enumerate(shown) if point.step == winner)
    return Table(title="Pareto front: throughput against p99", columns=_COLUMNS, rows=rows, marked=marked, remarks=tuple(_remarks(found)))


def _cells(m: Measurement, broken: str, style: str) -> Iterator[Cell]:
    yield Cell(m.step, style=style)
    yield Cell(per_second(m.samples_per_second), m.samples_per_second, style)
    yield Cell(milliseconds(m.latency_p50_s), m.latency_p50_s, style)
    yield Cell(p99_ms(m), m.latency_p99_s, style)
    yield Cell(str(m.batch_size), m.batch_size, style)
    yield Cell(f"{m.workers} x {m.threads}", style=style)
    yield Cell(decibels(m.sqnr_db), m.sqnr_db, style)
    yield Cell(broken or "kept", style=style)


def _remarks(found: Tuning) -> Iterator[Line]:
    if found.measured_again:
        yield Line("The figures of the front are of a second measurement, in fresh processes.", REMARK)
    if once := [m.step for m in found.front if m.step not in found.measured_again]:
        yield Line(f"Measured once only, so that luck is among what put them on the front: {', '.join(once)}.")


def _print_finals(console: Console, found: Tuning) -> None:
    finals = found.finals
    assert finals is not None
    record = finals.record
    own = next((m for m in found.measurements if m.step == record.step), None)
    text = Text("winner: ").append(plain(record.step), style="bold")
    text.append(f", {per_second(record.samples_per_second)} samples per second")
    if own is not None:
        text.append(f", {p99_text(own)}")
    broken = found.limits.broken_by(own) if own is not None else ""
    console.print(text.append(f"; measured again it is not shown to keep the limits: {broken}" if broken else ""), soft_wrap=True)
    for rival in finals.rivals:
        console.print(Text(f"  {rival_line(rival)}"), soft_wrap=True)
    for note in finals.notes:
        console.print(Text(f"  note: {plain(note, 400)}", style="dim"), soft_wrap=True)


def rival_line(rival: Finalist) -> str:
    """Return the winner against one rival: `+3.1 % [+1.2, +5.0] over …`."""
    p99 = f", p99 {milliseconds(rival.latency_p99_s)} ms" if rival.latency_p99_s is not None else ""
    middle = sorted(rival.samples_per_second)[len(rival.samples_per_second) // 2]
    return f"{gain_short(rival.gain)} over {plain(rival.name)}: {per_second(middle)} samples per second{p99} ({plain(rival.gain.verdict)})"
