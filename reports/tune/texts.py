"""What a search found, as text and picture. Computes nothing."""

from collections.abc import Iterator
from pathlib import Path

from reports.saved.record import Measurement
from reports.show.pareto_picture import pareto_picture
from reports.text.durations import duration
from reports.text.figures import decibels, gain_short, milliseconds, p99_ms, p99_text, per_second
from reports.tune.finals import Finalist, Finals
from reports.tune.run import Tuning
from reports.views.front import points
from reports.views.tables import REMARK, STYLES, Cell, Column, Line, Table, weights_table

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


def tuning_tables(found: Tuning, out: Path) -> tuple[Table, ...]:
    """Return the Pareto front, the winner and its rivals, and where all of it is saved."""
    front = [_front(found)] if found.records else []
    return (*front, Table(remarks=tuple(_ended(found, out))), *weights_table(found.records))


def tuning_picture(found: Tuning, suffix: str) -> bytes:
    """Return throughput against p99 of all that was measured."""
    title = f"{found.model}: {len(found.records)} recipes, throughput against p99 of a call"
    shown = points(found.records, found.limits, measured_again=found.measured_again)
    return pareto_picture(shown, found.limits, title=title, winner=found.winner or "", suffix=suffix)


def _front(found: Tuning) -> Table:
    winner = found.winner
    shown = [point for point in points(found.records, found.limits) if point.on_front or point.step == winner]
    return Table(
        title=f"{found.model}, Pareto front: throughput against p99",
        columns=_COLUMNS,
        rows=tuple(tuple(_cells(point.measurement, point.broken)) for point in shown),
        marked=frozenset(place for place, point in enumerate(shown) if point.step == winner),
        remarks=tuple(_remarks(found)),
    )


def _cells(m: Measurement, broken: str) -> Iterator[Cell]:
    style = "dim" if broken else ""
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


def _ended(found: Tuning, out: Path) -> Iterator[Line]:
    for step, reason in found.failed:
        yield Line(f": {reason}", lead=f"{step} failed", lead_style=STYLES["failed"])
    yield Line(f"{len(found.records)} recipes measured in {duration(found.took_s)}; the search ended: {found.ended}.")
    if found.winner is None:
        yield Line("No recipe measured is shown to be within the limits: widen them, or give the search more --budget.")
    elif found.finals is None or found.winner != found.finals.record.step:
        yield Line(" (not measured side by side)", lead=f"best: {found.winner}")
        if found.finals is not None:
            yield Line("Another recipe was, and fell behind or broke a limit; more --budget leaves time for this one.")
    else:
        yield from _finals(found, found.finals)
    if found.records:
        step = f" --step {found.winner}" if found.winner is not None else ""
        yield Line(f"Saved in {out}; deploy it: python -m reports recommend {out}{step} --emit DIR", is_copied=True)


def _finals(found: Tuning, finals: Finals) -> Iterator[Line]:
    record = finals.record
    own = next((m for m in found.records if m.step == record.step), None)
    text = f", {per_second(record.samples_per_second)} samples per second"
    if own is not None:
        text += f", {p99_text(own)}"
        if broken := found.limits.broken_by(own):
            text += f"; measured again it is not shown to keep the limits: {broken}"
    yield Line(text, lead=f"winner: {record.step}")
    for rival in finals.rivals:
        yield Line(f"  {rival_line(rival)}")
    for note in finals.notes:
        yield Line(f"  note: {note}", REMARK)


def rival_line(rival: Finalist) -> str:
    """Return the winner against one rival: `+3.1 % [+1.2, +5.0] over …`."""
    p99 = f", p99 {milliseconds(rival.latency_p99_s)} ms" if rival.latency_p99_s is not None else ""
    middle = sorted(rival.samples_per_second)[len(rival.samples_per_second) // 2]
    return f"{gain_short(rival.gain)} over {rival.name}: {per_second(middle)} samples per second{p99} ({rival.gain.verdict})"
