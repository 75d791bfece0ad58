"""What stands beside time: memory, cold start, build time, artifact size, outputs and answers of both sides, and their verdicts. Pure."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reports.gate.decision import Judged, Verdict, overall
from reports.gate.limits import Limits
from reports.gate.pair import Figures, MetricFigure, Pair
from reports.gate.statistics import as_ratio, interval
from reports.statistics import Interval, unpaired_ratio
from reports.statistics.proportions import paired_difference
from reports.text.metric_limit import MetricLimit

METRIC = "metric"  # the unit of metrics, and the first word of their names
UNITS_LOST = frozenset({"dB", "points"})  # of measures that are lost, in units of their own; all others grow, in percent
LEAST_SURE = 4  # pairs: memory is often one of two figures by chance, and so alike in two or three pairs that a t test takes it for sure
ROUNDING_DB = 60.0  # what is asked of fp32: a loss above it is one of rounding


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One quantity: its name, the field of `Figures` and of `Limits`; `is_sampled` where every pair has a value of its own, or every build
    that is `of_builds`, which may serve several pairs.

    Answers are told by picture, so that they have no `figure`. One that `is_usual` is told of where nobody asked.
    """

    name: str
    figure: Callable[[Figures], float | None]
    limit: Callable[[Limits], float | None]
    unit: str
    is_sampled: bool = True
    of_builds: bool = False
    is_usual: bool = True


MEASURES = (
    Measure(name="memory", figure=lambda f: f.peak_rss_bytes, limit=lambda x: x.memory_percent, unit="bytes"),
    Measure(name="cold start", figure=lambda f: f.cold_start_s, limit=lambda x: x.cold_start_percent, unit="seconds"),
    Measure(name="build time", figure=lambda f: f.build_s, limit=lambda x: x.build_time_percent, unit="seconds", of_builds=True),
    Measure(
        name="artifact size", figure=lambda f: f.artifact_bytes, limit=lambda x: x.artifact_size_percent, unit="bytes", is_sampled=False
    ),
    Measure(name="SQNR", figure=lambda f: f.sqnr_db, limit=lambda x: x.sqnr_db, unit="dB", is_sampled=False),
    Measure(name="accuracy", figure=lambda _: None, limit=lambda x: x.accuracy_points, unit="points", is_usual=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """One measure on both sides: medians over the pairs, in `unit`.

    `change` is head's by base's minus 1, the median over pairs; for SQNR head's less base's in dB, for accuracy in points. `low` and `high`
    bound it, for quantities that every pair has anew and for accuracy. `limit` is as in `Limits`; `verdict` is None where nothing was to be
    judged. `known` says who acknowledged it. A metric's `change` is head's less base's in its own unit, and more of it is worse
    where it `rises`.
    """

    name: str
    unit: str
    base: float
    head: float
    change: float
    limit: float | None
    low: float | None = None
    high: float | None = None
    verdict: Verdict | None = None
    known: str = ""
    rises: bool = False

    @property
    def worse(self) -> float:
        """How much worse head is, as the limit counts: in percent, dB, points, or the metric's own unit."""
        if self.unit == METRIC:
            return self.change if self.rises else -self.change
        return -self.change if self.unit in UNITS_LOST else 100 * self.change


def quantities(pairs: Sequence[Pair], limits: Limits, *, tests: int, alpha: float) -> tuple[Quantity, ...]:
    """Return what the pairs tell of each measure, of SQNR where both sides compared the same samples.

    `tests` is how many such tests the whole gate makes, which share `alpha`.
    """
    found = []
    alpha /= max(tests, 1)
    for measure in MEASURES:
        if measure.unit == "points":
            found += _answers(measure, pairs, measure.limit(limits), alpha)
            continue
        alike = [pair for pair in pairs if measure.unit != "dB" or pair.base.sqnr_samples == pair.head.sqnr_samples]
        values = [(measure.figure(pair.base), measure.figure(pair.head)) for pair in alike]
        told = [(base, head) for base, head in values if base is not None and head is not None]
        if any(base or head for base, head in told):
            found.append(_quantity(measure, told, measure.limit(limits), alpha))
    return (*found, *_metrics(pairs, limits, alpha))


def sampled_tests(limits: Sequence[Limits]) -> int:
    """Return how many tests benchmarks with these limits make: of each measure with a limit that every pair has anew, accuracy, metrics."""
    return sum(len(each.metrics) + sum(m.is_sampled and m.limit(each) is not None for m in MEASURES) for each in limits)


def with_quantities(judged: Judged, found: Sequence[Quantity]) -> Judged:
    """Return a benchmark's verdict by time and by all else: the worst counts, and is told first."""
    bad = [each for each in found if each.verdict not in {None, Verdict.PASS}]
    if not bad or judged.verdict not in {Verdict.PASS, Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.ACKNOWLEDGED}:
        return judged
    verdicts = [judged.verdict, *(each.verdict for each in bad if each.verdict is not None)]
    verdict = overall(verdicts)
    if verdict is Verdict.PASS:
        verdict = Verdict.ACKNOWLEDGED
    why = "; ".join([*(f"{each.name} {reason(each)}" for each in bad), f"time: {judged.why}"])
    return replace(judged, verdict=verdict, why=why, is_faster=judged.is_faster and verdict is Verdict.PASS)


def reason(quantity: Quantity) -> str:
    """Say by how much a quantity changed, against how much it may."""
    if quantity.unit == "dB":
        return (
            f"lost {-quantity.change:.1f} dB, {quantity.base:.1f} to {quantity.head:.1f} dB (limit {quantity.limit:g} dB{quantity.known})"
        )
    if quantity.unit == "points":
        told = f"limit {quantity.limit:g} points{quantity.known}"
        if quantity.verdict is Verdict.INCONCLUSIVE:
            told += ", and the pictures are too few to tell"
        return f"lost {-quantity.change:.1f} points, {100 * quantity.base:.1f} to {100 * quantity.head:.1f} % ({told})"
    if quantity.unit == METRIC:
        return _metric_reason(quantity)
    bounds = f" [{_percent(quantity.low)}, {_percent(quantity.high)}]" if quantity.low is not None and quantity.high is not None else ""
    limit = f"limit +{quantity.limit:g} %{quantity.known}"
    told = limit if quantity.verdict is not Verdict.INCONCLUSIVE else f"{limit}, and the pairs differ too much, or are too few, to tell"
    return f"{_percent(quantity.change)} %{bounds} ({told})"


def _quantity(measure: Measure, values: Sequence[tuple[float, float]], limit: float | None, alpha: float) -> Quantity:
    base, head = (statistics.median(side) for side in zip(*values, strict=True))
    found = Quantity(name=measure.name, unit=measure.unit, base=base, head=head, change=0.0, limit=limit)
    if measure.unit == "dB":
        loss = statistics.median(base - head for base, head in values)
        verdict = None if limit is None else Verdict.REGRESSION if 0 < loss >= limit and head < ROUNDING_DB else Verdict.PASS
        return replace(found, change=-loss, verdict=verdict)
    logs = [math.log(head / base) for base, head in values if base > 0 and head > 0]
    if len(logs) < len(values):  # base has none at all, or head: another recipe, of which the report tells
        return replace(found, change=math.inf if head > base else -1.0 if head < base else 0.0)
    change = as_ratio(statistics.median(logs))
    found = replace(found, change=change)
    is_too_much = limit is not None and 0 < change >= limit / 100
    verdict = None if limit is None else Verdict.REGRESSION if is_too_much else Verdict.PASS
    if not measure.is_sampled:
        return replace(found, verdict=verdict)
    bounds = _of_builds(values, alpha) if measure.of_builds else interval(logs, 1 - alpha)
    is_sure = bounds.low > 0 and (measure.of_builds or len(logs) >= LEAST_SURE)
    if is_too_much and not is_sure:
        verdict = Verdict.INCONCLUSIVE
    if math.isinf(bounds.low):
        return replace(found, verdict=verdict)
    return replace(found, verdict=verdict, low=as_ratio(bounds.low), high=as_ratio(bounds.high))


def _of_builds(values: Sequence[tuple[float, float]], alpha: float) -> Interval:
    """Return one-sided bounds of the logarithm of head's by base's, each at 1 - `alpha`, by the builds that served the pairs.

    A build that served six pairs took as long in all of them, which is one observation. One build alone bounds nothing.
    """
    bases, heads = (tuple(dict.fromkeys(side)) for side in zip(*values, strict=True))
    found = unpaired_ratio((heads,), (bases,), confidence=1 - 2 * alpha)
    if found.low is None or found.high is None:
        return Interval(-math.inf, math.inf)
    return Interval(math.log(found.low) if found.low > 0 else -math.inf, math.log(found.high))


def _answers(measure: Measure, pairs: Sequence[Pair], limit: float | None, alpha: float) -> list[Quantity]:
    """Return the top-1 of both sides on the same labelled pictures, of the pair in the middle; nothing where a side tells none."""
    told = [(base, head) for pair in pairs if (base := pair.base.right) and (head := pair.head.right) and len(base) == len(head)]
    if not told:
        return []
    base, head = sorted(told, key=lambda each: each[1].count("1") - each[0].count("1"))[len(told) // 2]
    gained, lost = (sum(one == "1" and other == "0" for one, other in zip(*each, strict=True)) for each in ((head, base), (base, head)))
    change, low, high = (100 * points for points in paired_difference(gained, lost, len(base), statistics.NormalDist().inv_cdf(1 - alpha)))
    verdict = None
    if limit is not None:
        is_too_much = lost > gained and round(-change, 6) >= limit
        verdict = Verdict.PASS if not is_too_much else Verdict.REGRESSION if high < 0 else Verdict.INCONCLUSIVE
    base_share, head_share = (side.count("1") / len(side) for side in (base, head))
    shown = Quantity(name=measure.name, unit=measure.unit, base=base_share, head=head_share, change=change, limit=limit)
    return [replace(shown, low=low, high=high, verdict=verdict)]


def _metrics(pairs: Sequence[Pair], limits: Limits, alpha: float) -> list[Quantity]:
    """Return each metric that both sides have, of the pair in the middle; its interval is that of a paired bootstrap's standard error."""
    told: dict[str, list[tuple[MetricFigure, MetricFigure]]] = {}
    for pair in pairs:
        heads = {each.name: each for each in pair.head.metrics}
        for base in pair.base.metrics:
            if base.name in heads:
                told.setdefault(base.name, []).append((base, heads[base.name]))
    limited = {limit.name: limit for limit in limits.metrics}
    return [_metric(each, limited.get(name), alpha) for name, each in told.items()]


def _metric(told: Sequence[tuple[MetricFigure, MetricFigure]], limit: MetricLimit | None, alpha: float) -> Quantity:
    base, head = sorted(told, key=lambda each: each[1].value - each[0].value)[len(told) // 2]
    change, low, high = head.value - base.value, None, None
    paired = [after - before for before, after in zip(base.resampled, head.resampled, strict=False)] if base.drawn == head.drawn else []
    if len(paired) > 1:
        error = statistics.NormalDist().inv_cdf(1 - alpha) * statistics.stdev(paired)
        low, high = change - error, change + error
    found = Quantity(
        name=f"{METRIC} {base.name}", unit=METRIC, base=base.value, head=head.value, change=change, limit=None, low=low, high=high
    )
    if limit is None:
        return found
    is_surely_worse = low is not None and high is not None and (low > 0 if limit.rises else high < 0)
    verdict = Verdict.PASS
    if limit.reaches(change, base.value):
        verdict = Verdict.REGRESSION if is_surely_worse else Verdict.INCONCLUSIVE
    return replace(found, limit=limit.allowed(base.value), rises=limit.rises, verdict=verdict)


def _metric_reason(quantity: Quantity) -> str:
    bounds = f" [{quantity.low:+.3g}, {quantity.high:+.3g}]" if quantity.low is not None and quantity.high is not None else ""
    told = f"limit {'+' if quantity.rises else '-'}{quantity.limit:.4g}{quantity.known}"
    if quantity.verdict is Verdict.INCONCLUSIVE:
        told += ", and the samples are too few to tell" if bounds else ", and there is no interval to tell by"
    return f"went from {quantity.base:.4g} to {quantity.head:.4g}, {quantity.change:+.3g}{bounds} ({told})"


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{100 * ratio:+.1f}"
