"""Gains over sets of models as tables. Computes nothing."""

from collections.abc import Iterator, Sequence

from reports.saved.machines import flat
from reports.saved.record import Measurement, OverSide, Run
from reports.text.figures import NONE, gain_short, gibibytes, milliseconds, times
from reports.views.geomean import Member, SetGain
from reports.views.tables import Cell, Column, Line, Table, record

_COLUMNS = (
    Column("published name", "published_name", is_number=False, folds=True),
    Column("model", "model", is_number=False, folds=True),
    Column("eager p50 ms", "eager_p50_s", folds=True),
    Column("compiled p50 ms", "compiled_p50_s", folds=True),
    Column("gain [95 %]", "gain", folds=True),
    Column("eager peak GiB", "eager_peak_rss_bytes", folds=True),
    Column("compiled peak GiB", "compiled_peak_rss_bytes", folds=True),
)


def sets_tables(run: Run[Measurement], sets: Sequence[SetGain]) -> tuple[Table, ...]:
    """Return for each set a table of its models, what has no figure and why (CSV and JSON: rows), and the mean beside the published one."""
    torch = flat(run.fingerprint).get("versions.torch", "unknown")
    measured_on = Line(f"run {run.name}, {run.saved_at:%Y-%m-%d}, {run.machine}, torch {torch}")
    return tuple(_table(found, measured_on) for found in sets)


def _table(found: SetGain, measured_on: Line) -> Table:
    rows = [(each, _row(each)) for each in found.members]
    return Table(
        title=found.name,
        before=(measured_on,),
        columns=_COLUMNS,
        rows=tuple(row for each, row in rows if each.measured is not None),
        data=tuple({"set": found.name, **record(_COLUMNS, row), "reason": each.reason} for each, row in rows),
        remarks=(*_reasons(found), *_means(found)),
    )


def _row(member: Member) -> tuple[Cell, ...]:
    m, named = member.measured, (Cell(member.name), Cell(member.model))
    if m is None:
        return (*named, *(Cell(NONE),) * (len(_COLUMNS) - len(named)))
    eager = m.over_side or OverSide()
    return (
        *named,
        Cell(milliseconds(eager.latency_p50_s), eager.latency_p50_s),
        Cell(milliseconds(m.latency_p50_s), m.latency_p50_s),
        Cell(gain_short(m.gain), m.gain.ratio if m.gain else None),
        Cell(gibibytes(eager.peak_rss_bytes), eager.peak_rss_bytes),
        Cell(gibibytes(m.peak_rss_bytes), m.peak_rss_bytes),
    )


def _reasons(found: SetGain) -> Iterator[str]:
    for member in found.members:
        if member.measured is None:
            yield f"{member.name} ({member.model}) {member.reason}"
            continue
        for step, why in member.measured.left_out_reasons.items():
            if why.startswith("failed: "):  # what is skipped changes nothing of the model, or is not there for any
                yield f"{member.name} ({member.model}) is measured without {step}, which {why}"
    for name, reason in found.missing.items():
        yield f"{name} is not provided: {reason}"


def _means(found: SetGain) -> Iterator[Line]:
    mean, published = found.mean, found.published
    interval = (
        f" [{times(mean.low)[:-1]}, {times(mean.high)[:-1]}]"
        if mean.low is not None and mean.high is not None
        else ", no interval: one pair each"
    )
    yield Line(f"geometric mean of {len(found.measured)} models here: {times(mean.ratio)}{interval}")
    where = f"{published.models} models, {published.machine} ({published.source})"
    yield Line(f"published, on another machine: {times(published.ratio)}, {where}")
