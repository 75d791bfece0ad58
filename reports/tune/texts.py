"""What a search found, as text and picture. Computes nothing."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.show.render_pareto import pareto_picture
from reports.text.durations import duration
from reports.text.figures import decibels, gain_short, milliseconds, p99_ms, p99_text, per_second
from reports.text.plain_text import plain
from reports.tune.finals import Finalist
from reports.tune.run import Tuning
from reports.views.front import points


def print_tuning(console: Console, found: Tuning, out: Path) -> None:
    """Print the Pareto front, the winner and its rivals, and where all of it is saved."""
    console.print(Text(plain(found.model), style="bold"))
    if found.records:
        console.print(_front(found))
        if found.measured_again:
            console.print(Text("The figures of the front are of a second measurement, in fresh processes.", style="dim"), soft_wrap=True)
        if once := [m.step for m in found.front if m.step not in found.measured_again]:
            console.print(
                Text(f"Measured once only, so that luck is among what put them on the front: {', '.join(map(plain, once))}."),
                soft_wrap=True,
            )
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
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", title="Pareto front: throughput against p99", title_justify="left")
    for name in ("recipe", "SPS", "p50\nms", "p99\nms", "batch", "workers\nx threads", "SQNR\ndB", "limits"):
        table.add_column(name, justify="left" if name in {"recipe", "limits"} else "right", no_wrap=name != "limits")
    by_step = {m.step: m for m in found.measurements}
    winner = found.winner
    for point in points(found.measurements, found.limits):
        if not point.on_front and point.step != winner:
            continue
        m = by_step[point.step]
        cells = (
            plain(m.step),
            per_second(m.samples_per_second),
            milliseconds(m.latency_p50_s),
            p99_ms(m),
            str(m.batch_size),
            f"{m.workers} x {m.threads}",
            decibels(m.sqnr_db),
            point.broken or "kept",
        )
        table.add_row(*map(Text, cells), style="bold" if m.step == winner else "dim" if point.broken else "")
    return table


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
