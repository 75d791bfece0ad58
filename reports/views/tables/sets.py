"""Gains over sets of models as tables. Computes nothing."""

from collections.abc import Iterator, Sequence

from reports.saved.machines import machine_name
from reports.saved.record import Measurement, OverSide, Run
from reports.text.figures import gain_short, gibibytes, milliseconds, times
from reports.views.geomean import Member, SetGain
from reports.views.tables import Cell, Column, Line, Table

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
    """Return for each set a table of its models, what has no figure and why, and the mean beside the published one."""
    torch = run.fingerprint.get("versions", {}).get("torch", "unknown")
    measured_on = Line(f"run {run.name}, {run.saved_at:%Y-%m-%d}, {machine_name(run.fingerprint)}, torch {torch}")
    return tuple(
        Table(
            title=found.name,
            before=(measured_on,),
            columns=_COLUMNS,
            rows=tuple(tuple(_cells(each.name, m)) for each in found.members if (m := each.measured) is not None),
            data=tuple(_data(found.name, each) for each in found.members),
            remarks=(*_reasons(found), *_means(found)),
        )
        for found in sets
    )


def _cells(published_name: str, m: Measurement) -> Iterator[Cell]:
    eager = m.over_side or OverSide()
    yield Cell(published_name)
    yield Cell(m.model)
    yield Cell(milliseconds(eager.latency_p50_s), eager.latency_p50_s)
    yield Cell(milliseconds(m.latency_p50_s), m.latency_p50_s)
    yield Cell(gain_short(m.gain), m.gain.ratio if m.gain else None)
    yield Cell(gibibytes(eager.peak_rss_bytes), eager.peak_rss_bytes)
    yield Cell(gibibytes(m.peak_rss_bytes), m.peak_rss_bytes)


def _data(name: str, member: Member) -> dict[str, object]:
    """Return a row of CSV and JSON, also of a model without a figure: its reason."""
    m = member.measured
    eager = m.over_side if m is not None else None
    return {
        "set": name,
        "published_name": member.name,
        "model": member.model,
        "eager_p50_s": eager.latency_p50_s if eager is not None else None,
        "compiled_p50_s": m.latency_p50_s if m is not None else None,
        "gain": m.gain.ratio if m is not None and m.gain is not None else None,
        "eager_peak_rss_bytes": eager.peak_rss_bytes if eager is not None else None,
        "compiled_peak_rss_bytes": m.peak_rss_bytes if m is not None else None,
        "reason": member.reason,
    }


def _reasons(found: SetGain) -> Iterator[str]:
    for member in found.members:
        if member.measured is None:
            yield f"{member.name} ({member.model}) {member.reason}"
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
