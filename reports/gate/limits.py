"""How much worse head may be than base: of time, memory, cold start, build time, artifact size, outputs and answers, by benchmark. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Rules
from reports.text.metric_limit import MetricLimit

OFF = "off"
LARGEST = 1e6
LEAST_OF_TOLERATED = 2 / 3  # a slowdown from this share of what is tolerated on is a regression, where it is significant


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """From which change on head is a regression: in percent of base, in dB that the outputs lose, in points of top-1; None judges nothing.

    `time_percent` is what a pass has to stay below. `metrics` are the limits of metrics by name; those without one are not judged.
    """

    time_percent: float = 3.0
    memory_percent: float | None = 5.0
    cold_start_percent: float | None = 20.0
    build_time_percent: float | None = None
    artifact_size_percent: float | None = 5.0
    sqnr_db: float | None = 3.0
    accuracy_points: float | None = None
    metrics: tuple[MetricLimit, ...] = ()

    def rules(self, rules: Rules) -> Rules:
        """Return the rules of time by these limits."""
        if self.time_percent == Limits().time_percent:
            return rules
        tolerated = self.time_percent / 100
        return replace(rules, tolerated=tolerated, least_effect=LEAST_OF_TOLERATED * tolerated)


USUAL = Limits()
UNJUDGED = Limits(memory_percent=None, cold_start_percent=None, build_time_percent=None, artifact_size_percent=None, sqnr_db=None)
USUAL_ACCURACY_POINTS = 1.0  # where there are labelled pictures
NEEDED = "time_percent"
LIMIT_NAMES = tuple(each.name for each in fields(Limits) if each.name != "metrics")
Overrides = Mapping[str, float | None]  # by name of the limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """The limits of a gate, and what is other for a family, a model, a benchmark: the closest that names a limit decides."""

    common: Limits = USUAL
    families: Mapping[str, Overrides] = field(default_factory=dict)
    models: Mapping[str, Overrides] = field(default_factory=dict)
    benchmarks: Mapping[str, Overrides] = field(default_factory=dict)

    def of(self, benchmark: Benchmark, family: str) -> Limits:
        """Return the limits of a benchmark."""
        found: dict[str, float | None] = {}
        for others, name in ((self.families, family), (self.models, benchmark.model), (self.benchmarks, benchmark.id)):
            found |= others.get(name, {})
        return replace(self.common, **found)  # type: ignore[arg-type]  # names and values are checked where they are read


USUAL_THRESHOLDS = Thresholds()


def limit_of(name: str, value: object) -> float | None:
    """Return a limit as options and files have it: a number of at least 0, or `off`. Raises ValueError."""
    if value == OFF and name != NEEDED:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and 0 <= float(value) <= LARGEST and (value or name != NEEDED):  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    expected = "a number above 0" if name == NEEDED else f"a number of at least 0, or {OFF}"
    raise ValueError(f"expected {expected}, found {str(value)[:100]!r}")
