"""Saved runs and gates for other services' trackers: Bencher Metric Format, and github-action-benchmark's own JSON. Pure but for reading.

Sources: https://bencher.dev/docs/reference/bencher-metric-format, https://github.com/benchmark-action/github-action-benchmark#examples
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from reports.saved.load import LARGEST_FILE_BYTES, UnreadableRun, read_run
from reports.saved.record import LARGEST_FIGURE, Count, Measurement, PositiveFigure
from reports.show.tables import json_text
from reports.statistics.latency import has_p99
from reports.text.plain_text import plain

LONGEST_BENCHMARK = 1024  # as Bencher takes it
SmallFigure = Annotated[float, msgspec.Meta(ge=-LARGEST_FIGURE, le=LARGEST_FIGURE)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """One figure of one benchmark, in `unit`; `measure` is Bencher's slug. `low` and `high` bound it, where something does."""

    benchmark: str
    measure: str
    unit: str
    value: float
    low: float | None = None
    high: float | None = None
    is_smaller_better: bool = True


class _Quantity(msgspec.Struct):
    name: str
    head: SmallFigure


class _Pair(msgspec.Struct):
    head_rounds_s: Annotated[list[PositiveFigure], msgspec.Meta(min_length=1)]
    head_samples: Count


class _Row(msgspec.Struct):
    id: str
    slowdown: SmallFigure | None = None
    low: SmallFigure | None = None
    high: SmallFigure | None = None
    quantities: list[_Quantity] = []
    pairs: list[_Pair] = []


class _Gate(msgspec.Struct):
    """What a gate's `--json` has, as far as it is exported."""

    verdict: str
    exit_code: int
    benchmarks: list[_Row]


# slug, unit, and whether smaller is better, of what a gate calls by its own names
_BESIDE: Mapping[str, tuple[str, str, bool]] = {
    "memory": ("peak-memory", "bytes", True),
    "cold start": ("cold-start", "seconds", True),
    "build time": ("build-time", "seconds", True),
    "artifact size": ("file-size", "bytes", True),
    "SQNR": ("sqnr", "dB", False),
    "accuracy": ("accuracy", "share", False),
}


def exported(file: Path) -> list[Exported]:
    """Return the figures of a saved run, or of what a gate's `--json` wrote: head's, and how much slower it is. Raises UnreadableRun."""
    gate = _read_gate(file)
    if gate is not None:
        found = [each for row in gate.benchmarks for each in _of_gate(row)]
        if not found:
            raise UnreadableRun(
                f"{file}: a gate that measured no pair ({plain(gate.verdict, 20)}): there is nothing to export; name another file"
            )
        return found
    return [each for measurement in read_run(file).measurements for each in _of_run(measurement)]


def bencher(found: Iterable[Exported]) -> dict[str, Any]:
    """Return Bencher Metric Format: `{benchmark: {measure: {value, lower_value, upper_value}}}`."""
    benchmarks: dict[str, Any] = {}
    for each in found:
        bounds = {"lower_value": each.low, "upper_value": each.high}
        metric = {"value": each.value} | {name: bound for name, bound in bounds.items() if bound is not None}
        benchmarks.setdefault(plain(each.benchmark, LONGEST_BENCHMARK), {})[each.measure] = metric
    return benchmarks


def github_action_benchmark(found: Iterable[Exported]) -> list[dict[str, Any]]:
    """Return the list of `tool: customSmallerIsBetter`: `[{name, unit, value, range}]`; what is better the larger it is stays out."""
    entries = []
    for each in found:
        if not each.is_smaller_better:
            continue
        entry: dict[str, Any] = {
            "name": f"{plain(each.benchmark, LONGEST_BENCHMARK)}: {each.measure}",
            "unit": each.unit,
            "value": each.value,
        }
        if each.low is not None and each.high is not None:
            entry["range"] = f"{each.low:.6g} to {each.high:.6g}"
        entries.append(entry)
    return entries


FORMATS: Mapping[str, Callable[[Iterable[Exported]], Any]] = {"bmf": bencher, "github-action-benchmark": github_action_benchmark}


def export_json(file: Path, format_: str) -> str:
    """Return the file's figures as JSON of one of `FORMATS`. Raises UnreadableRun."""
    return json_text(FORMATS[format_](exported(file)))


def _of_run(measurement: Measurement) -> Iterator[Exported]:
    """Yield what was measured; no time of a step that others disturbed, which a tracker would raise an alarm for."""
    m, name = measurement, f"{measurement.model}-{measurement.step}"
    if not m.disturbed:
        yield Exported(benchmark=name, measure="throughput", unit="samples/second", value=m.samples_per_second, is_smaller_better=False)
        yield Exported(benchmark=name, measure="time-per-sample", unit="ns", value=1e9 / m.samples_per_second)
        for measure, value_s in (("latency", m.latency_p50_s), ("latency-p99", m.latency_p99_s if has_p99(m) else None)):
            if value_s is not None:
                yield Exported(benchmark=name, measure=measure, unit="ns", value=1e9 * value_s)
    beside = (("memory", m.peak_rss_bytes), ("cold start", None if m.disturbed else m.cold_start_s), ("build time", m.build_s))
    yield from _beside(name, (*beside, ("artifact size", m.artifact_bytes), ("SQNR", m.sqnr_db)))


def _of_gate(row: _Row) -> Iterator[Exported]:
    if not row.pairs:
        return
    seconds = statistics.median(statistics.median(pair.head_rounds_s) / pair.head_samples for pair in row.pairs)
    yield Exported(benchmark=row.id, measure="throughput", unit="samples/second", value=1 / seconds, is_smaller_better=False)
    yield Exported(benchmark=row.id, measure="time-per-sample", unit="ns", value=1e9 * seconds)
    if row.slowdown is not None:
        low, high = (None if bound is None else 100 * bound for bound in (row.low, row.high))
        yield Exported(benchmark=row.id, measure="slowdown", unit="percent", value=100 * row.slowdown, low=low, high=high)
    yield from _beside(row.id, ((each.name, each.head) for each in row.quantities))


def _beside(benchmark: str, figures: Iterable[tuple[str, float | None]]) -> Iterator[Exported]:
    """Yield what stands beside the throughput, by the names that a gate has for it."""
    for name, value in figures:
        if value is not None and name in _BESIDE:
            measure, unit, is_smaller_better = _BESIDE[name]
            yield Exported(benchmark=benchmark, measure=measure, unit=unit, value=value, is_smaller_better=is_smaller_better)


def _read_gate(file: Path) -> _Gate | None:
    """Return the gate in a file, None where there is none in it. Raises UnreadableRun."""
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_FILE_BYTES:
            return None  # the reader of runs says so
        return msgspec.json.decode(file.read_bytes(), type=_Gate)
    except OSError as error:
        raise UnreadableRun(f"{file}: {error.strerror or error}; name another file") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
