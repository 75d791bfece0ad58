"""Gains over sets of models, as terminal tables and as Markdown. Computes nothing; every name is made safe."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.saved.machines import machine_name
from reports.saved.record import Measurement, Run
from reports.text.figures import gain_short, gibibytes, milliseconds, times
from reports.text.markdown import escape
from reports.text.plain_text import plain
from reports.views.geomean import Member, SetGain

_COLUMNS = ("published name", "model", "eager p50 ms", "compiled p50 ms", "gain [95 %]", "eager peak GiB", "compiled peak GiB")
_NAMES = 2


def print_sets(console: Console, run: Run[Measurement], sets: Sequence[SetGain]) -> None:
    """Print for each set a table of its models, what has no figure and why, and the mean beside the published one."""
    console.print(Text(plain(_measured_on(run), 400)))
    for found in sets:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
        for place, column in enumerate(_COLUMNS):
            table.add_column(column, justify="left" if place < _NAMES else "right", overflow="fold")
        for member in found.measured:
            table.add_row(*(Text(cell) for cell in _cells(member)))
        console.print(Text(f"\n{found.name}", style="bold"))
        console.print(table)
        for line in _reasons(found):
            console.print(Text(plain(line, 700), overflow="fold", style="dim"))
        for line in _means(found):
            console.print(Text(line, overflow="fold"))


def sets_markdown(run: Run[Measurement], sets: Iterable[SetGain]) -> str:
    """Return a section for each set."""
    lines = [f"{escape(_measured_on(run))}\n"]
    for found in sets:
        lines += [f"### {escape(found.name)}\n", f"| {' | '.join(_COLUMNS)} |"]
        lines.append(f"|{'|'.join('---' if place < _NAMES else '---:' for place in range(len(_COLUMNS)))}|")
        lines += [f"| {' | '.join(escape(cell) for cell in _cells(member))} |" for member in found.measured]
        lines += ["", *(f"- {escape(line, 700)}" for line in _reasons(found)), "", *(f"**{escape(line)}**" for line in _means(found)), ""]
    return "\n".join(lines)


def _measured_on(run: Run[Measurement]) -> str:
    torch = run.fingerprint.get("versions", {}).get("torch", "unknown")
    return f"run {run.name}, {run.saved_at:%Y-%m-%d}, {machine_name(run.fingerprint)}, torch {torch}"


def _cells(member: Member) -> Iterator[str]:
    eager = member.eager
    yield plain(member.name)
    yield plain(member.model)
    yield milliseconds(eager.latency_p50_s if eager else None)
    yield milliseconds(member.latency_p50_s)
    yield gain_short(member.gain)
    yield gibibytes(eager.peak_rss_bytes if eager else None)
    yield gibibytes(member.peak_rss_bytes)


def _reasons(found: SetGain) -> Iterator[str]:
    for member in found.members:
        if member.gain is None:
            yield f"{member.name} ({member.model}) {member.reason}"
    for name, reason in found.missing.items():
        yield f"{name} is not provided: {reason}"


def _means(found: SetGain) -> Iterator[str]:
    mean = found.mean
    interval = (
        f" [{times(mean.low)[:-1]}, {times(mean.high)[:-1]}]"
        if mean.low is not None and mean.high is not None
        else ", no interval: one pair each"
    )
    yield f"geometric mean of {len(found.measured)} models here: {times(mean.ratio)}{interval}"
    published = found.published
    yield f"published, on another machine: {times(published.ratio)}, {published.models} models, {published.machine} ({published.source})"
