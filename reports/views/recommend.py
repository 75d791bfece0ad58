"""Which recipe of a run to deploy: the fastest one within the limits, and what ruled the others out. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reports.saved.record import PERPLEXITY, Measurement, SavedGeneration
from reports.statistics import ONE_PROCESS, Interval, process_interval, unpaired_ratio
from reports.statistics.latency import least_calls, tail_s
from reports.text.figures import accuracy, agreement, metric, milliseconds, p99_text, sqnr
from reports.text.metric_limit import MetricLimit
from reports.text.refusal import Refusal
from reports.views.generated import RecipeOfText, decoding, is_prompt, prompts, recipe_of
from reports.views.ladder import processes_sps, sps_interval
from reports.views.paired import USUAL_SPREAD

NO_PROMPT = "no time to the first token (measure with --generation prefill-128x1)"
DISTURBED_TEXT = "disturbed by other processes while it was measured, so it has no figure"
# Families that no folder serves yet, and how they measure a model.
_MEASURED_ELSE = {
    "hosts": "on several hosts together",
    "xla_training": "in training",
    "cpu_training": "in training",
    "variable_lengths": "on texts whose lengths vary",
}
NOT_SERVED = frozenset(_MEASURED_ELSE)
NO_REQUESTS = NOT_SERVED | {"generation"}  # whose calls are no requests of one sample: neither a search nor a load takes their steps

CALLS_MORE = "Let `python -m reports tune` with the same limits run such recipes back to back, for as many calls as that needs"
TOKENS_MORE = "Measure more of its tokens with `pytest benchmarks/test_generation.py --pairs 5`"
MEASURE = (
    "measure its ladder with `pytest benchmarks/ --benchmark-autosave`, of generated text with "
    "`pytest benchmarks/test_generation.py --benchmark-autosave`"
)
SMALLER = ", or search smaller batches with `python -m reports tune`"


class NothingToRecommend(Refusal):
    """No recipe of the run is within the limits; the message says which came nearest and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentLimits:
    """What a deployment must keep: the longest p99 of a call, in seconds, and how near its outputs and answers are to fp32 eager's.

    `accuracy_loss_points` is the most that the share of labelled pictures it gets right may lose, in points of top-1; `metrics` are limits
    of the user's own metric and of perplexity. `first_token_s` is the longest time until the first token of generated text, and `token_s`
    the longest time for each further one, both at the median.
    """

    p99_s: float | None = None
    sqnr_db: float | None = None
    cosine: float | None = None
    accuracy_loss_points: float | None = None
    metrics: tuple[MetricLimit, ...] = ()
    first_token_s: float | None = None
    token_s: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.p99_s is not None:
            parts.append(f"p99 {milliseconds(self.p99_s)} ms")
        if self.first_token_s is not None:
            parts.append(f"{milliseconds(self.first_token_s)} ms to the first token")
        if self.token_s is not None:
            parts.append(f"{milliseconds(self.token_s)} ms a token")
        if self.sqnr_db is not None:
            parts.append(f"SQNR {self.sqnr_db:g} dB")
        if self.cosine is not None:
            parts.append(f"cosine {self.cosine:g}")
        if self.accuracy_loss_points is not None:
            parts.append(f"{self.accuracy_loss_points:g} points of top-1 lost")
        parts += map(str, self.metrics)
        return " and ".join(parts)

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return self != DeploymentLimits()

    @property
    def of_outputs(self) -> "DeploymentLimits":
        """The limits that concern outputs alone."""
        return replace(self, p99_s=None, first_token_s=None, token_s=None)

    def broken_by(self, measurement: Measurement) -> str:
        """Say which limit the measurement is not shown to keep; empty where it keeps all. A figure that is missing keeps no limit.

        A p99 keeps its limit where so few of the calls are over it that this shows it at 95 % (docs/measuring.md).
        """
        broken = []
        if self.p99_s is not None and (p99 := self._p99(measurement, self.p99_s)):
            broken.append(p99)
        broken += self._tokens_late(measurement.generation)
        if self.sqnr_db is not None and not (measurement.sqnr_db is not None and measurement.sqnr_db >= self.sqnr_db):
            broken.append(f"{sqnr(measurement.sqnr_db)}, limit {self.sqnr_db:g} dB")
        if self.cosine is not None and not (measurement.cosine is not None and measurement.cosine >= self.cosine):
            broken.append(f"cosine {agreement(measurement.cosine)}, limit {self.cosine:g}")
        if self.accuracy_loss_points is not None and (lost := self._accuracy_lost(measurement, self.accuracy_loss_points)):
            broken.append(lost)
        broken += [lost for limit in self.metrics if (lost := _metric_lost(measurement, limit))]
        return "; ".join(broken)

    def refuted_by(self, measurement: Measurement) -> str:
        """Say which limit the measurement is shown not to keep; a p99 that its calls leave open is none."""
        return (replace(self, p99_s=None) if self.leaves_open(measurement) else self).broken_by(measurement)

    def outputs_refuted_by(self, measurement: Measurement) -> str:
        """Say which limit on outputs the measurement is shown not to keep; accuracy or a metric that it does not tell is none."""
        told = {each.name for each in measurement.metrics}
        asked = tuple(limit for limit in self.metrics if limit.name in told)
        points = self.accuracy_loss_points if measurement.accuracy is not None else None
        return replace(self.of_outputs, accuracy_loss_points=points, metrics=asked).broken_by(measurement)

    def leaves_open(self, measurement: Measurement) -> bool:
        """Whether the calls show neither that the p99 keeps its limit nor that it breaks it."""
        return (
            self.p99_s is not None
            and not (measurement.latency_p99_high_s is not None and measurement.latency_p99_high_s <= self.p99_s)
            and not _breaks(measurement, self.p99_s)
        )

    def _tokens_late(self, found: SavedGeneration | None) -> Iterator[str]:
        """Yield what is too late of generated text; what was not measured is."""
        first_s, token_s = (None, None) if found is None else (found.time_to_first_token_s, found.time_per_token_s)
        if self.first_token_s is not None and not (first_s is not None and first_s <= self.first_token_s):
            shown = NO_PROMPT if first_s is None else f"{milliseconds(first_s)} ms to the first token"
            yield f"{shown}, limit {milliseconds(self.first_token_s)} ms"
        if self.token_s is not None and not (token_s is not None and token_s <= self.token_s):
            shown = "no time per token" if token_s is None else f"{milliseconds(token_s)} ms a token"
            yield f"{shown}, limit {milliseconds(self.token_s)} ms"

    @staticmethod
    def _accuracy_lost(measurement: Measurement, most_points: float) -> str:
        found = measurement.accuracy
        if found is None:
            return f"no labelled accuracy (measure with --accuracy), limit {most_points:g} points lost"
        return f"{accuracy(found)}, limit {most_points:g} points lost" if found.lost_points > most_points else ""

    def _p99(self, measurement: Measurement, limit_s: float) -> str:
        limit = f"limit {milliseconds(limit_s)} ms"
        if _breaks(measurement, limit_s):
            return f"{p99_text(measurement)}, {limit}"
        if not self.leaves_open(measurement):
            return ""
        found = f"{p99_text(measurement)}, {limit}: not shown to be kept"
        if measurement.latency_samples is None:
            return f"{found}, as the run does not say of how many calls it is"
        if measurement.latency_p99_high_s is None:
            return f"{found}; {least_calls()} calls are needed"
        return f"{found}; its {measurement.latency_samples} calls show at most {milliseconds(measurement.latency_p99_high_s)} ms"


def _metric_lost(measurement: Measurement, limit: MetricLimit) -> str:
    found = next((each for each in measurement.metrics if each.name == limit.name), None)
    if found is None:
        return f"no {limit.name} (measure with {'--accuracy FILE.txt' if limit.name == PERPLEXITY else '--evaluate'}), limit {limit.bound}"
    return f"{found.name} {metric(found)}, limit {limit.bound}" if limit.breaks(found.difference, found.reference) else ""


def _breaks(measurement: Measurement, limit_s: float) -> bool:
    """Whether the p99 is shown to be over the limit; of calls that nobody counted, whether it was."""
    low_s = measurement.latency_p99_low_s
    if low_s is None:
        low_s = measurement.latency_p99_s
    return low_s is None or low_s > limit_s


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredRecipe:
    """One measured recipe. `interval` is that of its throughput, None below two processes of its own; `broken` names limits not kept.

    `processes` are their medians, turns as a predecessor included: they tell recipes apart, and where a fresh process lies. `unresolved`
    says that it is not shown to be slower than the winner. `prompt_tokens` are those of the prompt whose first generated token was timed,
    None where none was.
    """

    measurement: Measurement
    processes: tuple[float, ...]
    interval: Interval | None
    broken: str
    unresolved: bool = False
    prompt_tokens: int | None = None

    @property
    def step(self) -> str:
        return self.measurement.step

    @property
    def samples_per_second(self) -> float:
        return self.measurement.samples_per_second

    @property
    def fresh_process(self) -> Interval | None:
        """The throughput that 95 % of fresh processes have; None below two measured ones."""
        return process_interval(self.processes) if len(self.processes) > 1 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """The winner, the other recipes within the limits, and those ruled out; fastest first."""

    model: str
    limits: DeploymentLimits
    winner: MeasuredRecipe
    others: tuple[MeasuredRecipe, ...]
    ruled_out: tuple[MeasuredRecipe, ...]

    @property
    def lead(self) -> float | None:
        """The winner's throughput over that of the next recipe within the limits, unpaired."""
        return self.winner.samples_per_second / self.others[0].samples_per_second if self.others else None


def recommend(measurements: Sequence[Measurement], model: str, limits: DeploymentLimits) -> Recommendation:
    """Return the fastest recipe of `model` within `limits`; of a model that generates text the one that decodes fastest.

    Raises NothingToRecommend.
    """
    processes = processes_sps(measurements)
    timed = prompts(measurements)
    ours = [decoding(m, timed) for m in measurements if m.model == model and is_served(m)]
    if not ours:
        known = ", ".join(dict.fromkeys(m.model for m in measurements if is_served(m)))
        action = f"it has {known}: name one of them with --model" if known else MEASURE
        raise NothingToRecommend(f"{_what_there_is(measurements, model)}; {action}")
    candidates = [_candidate(m, processes[m.model, m.step], limits, timed) for m in ours]
    candidates.sort(key=lambda each: -each.samples_per_second)
    within = [each for each in candidates if not each.broken]
    quiet = [each for each in candidates if not each.measurement.disturbed]
    if not quiet:
        raise NothingToRecommend(f"all recipes of {model} were disturbed while they were measured: measure them again on an idle machine")
    if not within:
        may_keep = next((each for each in quiet if not limits.refuted_by(each.measurement)), None)
        if may_keep is not None:
            raise NothingToRecommend(
                f"no recipe of {model} is shown to keep the limits: the fastest that may is {may_keep.step!r}, {may_keep.broken}. "
                f"{TOKENS_MORE if may_keep.measurement.generation else CALLS_MORE}"
            )
        raise NothingToRecommend(
            f"no recipe of {model} is within the limits: the fastest, {quiet[0].step!r}, has {quiet[0].broken}; "
            f"{_nearest(quiet, limits)}. Widen the limits{'' if ours[0].generation else SMALLER}"
        )
    winner, *others = within
    return Recommendation(
        model=model,
        limits=limits,
        winner=winner,
        others=tuple(_against(winner, each) for each in others),
        ruled_out=tuple(each for each in candidates if each.broken),
    )


def is_served(measurement: Measurement) -> bool:
    """Whether a folder can serve the recipe of a record."""
    return measurement.family not in NOT_SERVED and not is_prompt(measurement)


def _what_there_is(measurements: Sequence[Measurement], model: str) -> str:
    """Say what the run has of a model of which it has nothing to serve."""
    found = [_MEASURED_ELSE.get(m.family, "on prompts, without the tokens that follow") for m in measurements if m.model == model]
    if not found:
        return f"the run has no measurement of model {model!r}"
    return f"model {model!r} was measured {' and '.join(dict.fromkeys(found))}, which no folder serves"


def _candidate(
    measurement: Measurement, processes: tuple[float, ...], limits: DeploymentLimits, timed: Mapping[RecipeOfText, Measurement]
) -> MeasuredRecipe:
    broken = DISTURBED_TEXT if measurement.disturbed else limits.broken_by(measurement)
    prompt = timed.get(recipe_of(measurement))
    return MeasuredRecipe(
        measurement=measurement,
        processes=processes,
        interval=sps_interval(measurement),
        broken=broken,
        prompt_tokens=prompt.generation.tokens if prompt is not None and prompt.generation else None,
    )


def _against(winner: MeasuredRecipe, other: MeasuredRecipe) -> MeasuredRecipe:
    ratio = unpaired_ratio((winner.processes,), (other.processes,))
    unresolved = ratio.ratio < USUAL_SPREAD if ratio.verdict == ONE_PROCESS else (ratio.low or 0.0) <= 1
    return replace(other, unresolved=unresolved)


def _nearest(candidates: Sequence[MeasuredRecipe], limits: DeploymentLimits) -> str:
    """Say what the best figure of each limit is."""
    measured = [(each.measurement, each.step) for each in candidates]
    texts = [(m.generation, step) for m, step in measured if m.generation is not None]
    losses = [(m.accuracy.lost_points, step) for m, step in measured if m.accuracy is not None]
    firsts, tokens = [(each.time_to_first_token_s, step) for each, step in texts], [(each.time_per_token_s, step) for each, step in texts]
    found = [
        *_best(limits.p99_s, "the lowest p99 is", [(tail_s(m), step) for m, step in measured], lambda s: f"{milliseconds(s)} ms"),
        *_best(limits.first_token_s, "the least time to the first token", firsts, lambda s: f"{milliseconds(s)} ms"),
        *_best(limits.token_s, "the least time per token", tokens, lambda s: f"{milliseconds(s)} ms"),
        *_best(limits.sqnr_db, "the highest", [(m.sqnr_db, step) for m, step in measured], sqnr, highest=True),
        *_best(limits.cosine, "the highest cosine", [(m.cosine, step) for m, step in measured], agreement, highest=True),
        *_best(limits.accuracy_loss_points, "the least loss of accuracy", losses, lambda lost: f"{lost:.1f} points"),
    ]
    for limit in limits.metrics:
        changes = [(m.difference, each.step) for each in candidates for m in each.measurement.metrics if m.name == limit.name]
        if changes:
            change, step = min(changes, key=lambda told: limit.lost(told[0]))
            found.append(f"the best change of {limit.name} {change:+.3g} ({step})")
    return ", ".join(found) or "nothing else was measured"


def _best(
    limit: float | None, named: str, figures: Iterable[tuple[float | None, str]], text: Callable[[float], str], *, highest: bool = False
) -> Iterator[str]:
    """Yield the best of the figures and its step, where a limit asks for one and any is known."""
    known = [(value, step) for value, step in figures if value is not None]
    if limit is not None and known:
        value, step = max(known) if highest else min(known)
        yield f"{named} {text(value)} ({step})"
