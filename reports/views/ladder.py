"""The ladder of a run: for every model its steps in order, with throughput, gains, costs and agreement. Pure."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from msgspec.structs import replace

from reports.saved.record import Gain, Measurement, Outcome, SavedGain, SavedGeneration, Throughput
from reports.statistics import CONFIDENCE, FASTER, SLOWER, Interval, mean_interval
from reports.statistics.moderated import Effect
from reports.text.figures import accuracy, gain_short, lengths_short, metric, slower_than, verdict_short
from reports.text.plain_text import some_of
from reports.views.floating_point import OverFloat, over_floating_point
from reports.views.paired import USUAL_SPREAD, chain, is_ahead, paired, product

BASELINE = "baseline"
RIVALS_NAMED = 3
_LIMITS = {
    "decode": "memory: its limit is the measured bandwidth",
    "prefill": "arithmetic: its limit is the measured peak of the step's precisions",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LadderRow:
    """One step that was measured on one model.

    `samples_per_second_interval` is that of the own processes' means, None below two; `speedup` is over the step `baseline`, unpaired.
    `in_pairs` are the throughputs that the gain compares: the step's own and its predecessor's, at the median rounds of the same pairs.
    `over_float` is what INT8 gives over the best floating point of its runtime.
    """

    measurement: Measurement
    samples_per_second_interval: Interval | None
    baseline: str
    speedup: float | None
    in_pairs: tuple[float, float] | None
    over_float: OverFloat | None

    @property
    def step(self) -> str:
        return self.measurement.step

    @property
    def is_proved(self) -> bool:
        """Whether all claims of the record hold."""
        return all(claim.holds for claim in self.measurement.evidence)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stair:
    """One step of a recipe: the throughput over the first one's before and after it, as products of paired gains."""

    step: str
    start: float
    end: float
    gain: SavedGain


@dataclass(frozen=True, kw_only=True, slots=True)
class Rival:
    """A step that is not told apart from the best: the best's throughput over its own by paired gains, None where none lead to it."""

    step: str
    ratio: Gain | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """All steps of one model, those that were not measured with the reason. `best` is the row of highest throughput that nobody disturbed.

    `rivals` are not told apart from it, the fastest first. `pays` says whether its recipe is shown to be faster than the one at its bottom.
    """

    model: str
    rows: tuple[LadderRow | Outcome, ...]
    best: LadderRow | None
    rivals: tuple[Rival, ...] = ()
    pays: bool = False

    @property
    def measured(self) -> tuple[LadderRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, LadderRow))

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        return tuple(row.measurement for row in self.measured)

    @property
    def not_measured(self) -> tuple[Outcome, ...]:
        return tuple(row for row in self.rows if isinstance(row, Outcome))


def ladders(measurements: Sequence[Measurement], outcomes: Iterable[Outcome] = ()) -> tuple[Ladder, ...]:
    """Return one ladder per model, models and steps in the order of `outcomes`, then of `measurements`.

    A measurement that no outcome names is kept; an outcome "measured" without its measurement is shown as failed.
    """
    measured = {(m.model, m.step): m for m in measurements}
    told = {(o.model, o.step): o for o in outcomes}
    keys = list(told) + [key for key in measured if key not in told]
    models = list(dict.fromkeys(model for model, _ in keys))
    processes = processes_sps(measurements)
    return tuple(_ladder(model, [step for of, step in keys if of == model], measured, told, processes) for model in models)


def disturbances(measurements: Sequence[Throughput]) -> str:
    """Say what share of a run's turns was disturbed and taken again, and which steps stayed disturbed; empty where none was."""
    pairs = [pair for each in measurements for pair in each.pairs]
    again = sum(pair.turns_again for pair in pairs)
    kept = sum(len(pair.own_rounds_s) + len(pair.over_rounds_s) for pair in pairs)
    disturbed = [f"{each.step} on {each.model}" for each in measurements if each.disturbed]
    told = []
    if again:
        told.append(f"{again} of {kept + again} turns ({again / (kept + again):.0%}) were disturbed by others and taken again.")
    if disturbed:
        told.append(f"Disturbed all the same, so without verdict: {', '.join(disturbed)}; measure them again on an idle machine.")
    return " ".join(told)


def stairs(ladder: Ladder) -> tuple[Stair, ...]:
    """Return the steps that the best recipe builds on, lowest first, each with its paired gain; empty where there is none.

    They begin above a step that was disturbed, whose gain is no figure.
    """
    steps = {m.step: m for m in ladder.measurements}
    gains = chain(steps, ladder.best.step) if ladder.best is not None else {}
    found, height = [], 1.0
    for step in reversed(list(itertools.takewhile(lambda step: not steps[step].disturbed, gains))):
        start, height = height, height * gains[step].ratio
        found.append(Stair(step=step, start=start, end=height, gain=gains[step]))
    return tuple(found)


def baseline_of(*records: Throughput) -> str:
    """Return the step that the speedup of a step is over: the lowest of its recipe, as training and generated text have their own.

    The first of the step's records that has a recipe tells it; runs of earlier versions of the suite have none.
    """
    return next((record.recipe[0] for record in records if record.recipe), BASELINE)


def sps_interval(measurement: Throughput) -> Interval | None:
    """Return the 95 % interval of a throughput over the step's own processes; None below two."""
    if len(measurement.pairs) < 2:
        return None
    return mean_interval([measurement.samples_per_round / (pair.own_mean_s or pair.own_median_s) for pair in measurement.pairs])


def processes_sps(measurements: Sequence[Throughput]) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return, by model and step, the throughput of every fresh process: those of the step's own pairs, and its turns as a predecessor.

    A process that served in several pairs counts once, by the geometric mean of them. Runs saved before processes had names tell them not.
    Turns with a step that others disturbed tell nothing of its predecessor.
    """
    found = {(m.model, m.step): [(p.own_process, m.samples_per_round / p.own_median_s) for p in m.pairs] for m in measurements}
    for measurement in measurements:
        predecessor = (measurement.model, measurement.gain.over) if measurement.gain is not None else None
        if predecessor in found and not measurement.disturbed:
            found[predecessor] += _predecessor_sps(measurement)
    return {(m.model, m.step): _once_each(found[m.model, m.step]) or (m.samples_per_second,) for m in measurements}


def _once_each(turns: Sequence[tuple[str, float]]) -> tuple[float, ...]:
    """Return one throughput for each process, given with its name in every pair that it served in; one without a name is one by itself."""
    by_process: dict[str, list[float]] = {}
    for number, (process, sps) in enumerate(turns):
        by_process.setdefault(process or f"unnamed {number}", []).append(sps)
    return tuple(values[0] if len(values) == 1 else geometric_mean(values) for values in by_process.values())


def _predecessor_sps(measurement: Throughput) -> list[tuple[str, float]]:
    """Return name and throughput of the predecessor's processes; none of a run that did not save its samples per round."""
    samples = measurement.over_samples_per_round
    if samples is None:
        return []
    return [(pair.over_process, samples / pair.over_median_s) for pair in measurement.pairs if pair.over_median_s is not None]


def _ladder(
    model: str,
    steps: Sequence[str],
    measured: Mapping[tuple[str, str], Measurement],
    told: Mapping[tuple[str, str], Outcome],
    processes: Mapping[tuple[str, str], Sequence[float]],
) -> Ladder:
    ended = {step: told[model, step] for step in steps if (model, step) in told}
    ours = {
        step: measured[model, step]
        for step in steps
        if (model, step) in measured and (step not in ended or ended[step].outcome == "measured")
    }
    found = {step: _row(m, measured.get((model, baseline_of(m))), ours, processes) for step, m in ours.items()}
    rows = tuple(found.get(step) or _not_measured(ended[step]) for step in steps)
    candidates = [row for row in found.values() if not row.measurement.disturbed]
    best = max(candidates, key=_throughput, default=None)
    if best is None:
        return Ladder(model=model, rows=rows, best=None)
    others = [row.measurement for row in sorted(candidates, key=_throughput, reverse=True) if row is not best]
    ratios = [(other, paired(ours, best.step, other.step)) for other in others]
    rivals = tuple(Rival(step=other.step, ratio=ratio) for other, ratio in ratios if not is_ahead(best.measurement, other, ratio))
    return Ladder(model=model, rows=rows, best=best, rivals=rivals, pays=_pays(best, ours, steps))


def _pays(best: LadderRow, ours: Mapping[str, Measurement], steps: Sequence[str]) -> bool:
    """Whether the best's recipe is shown to be faster than the one at its bottom, in all or by any of its own steps.

    Where no pairs lead down to that, as its gains stand on a step that was not measured by itself, more than processes differ shows it.
    """
    gains = list(chain(ours, best.step).values())
    whole = product((1, gain) for gain in gains)
    if any(gain.verdict == FASTER for gain in gains) or (whole is not None and (whole.low or 0) > 1):
        return True
    return bool(gains) and gains[-1].over not in steps and (best.speedup or 0) > USUAL_SPREAD


def rival_text(rival: Rival) -> str:
    """Return a rival with the best's throughput over its own: `compile (1.02x [0.97, 1.07])`."""
    found = rival.ratio
    if found is None or found.low is None or found.high is None:
        return f"{rival.step} (unpaired)"
    return f"{rival.step} ({found.ratio:.2f}x [{found.low:.2f}, {found.high:.2f}])"


def earlier_text(earlier: Sequence[Sequence[Effect]]) -> str:
    """Say that earlier runs of the machine tell how far its pairs spread; empty where there are none."""
    pairs = sum(map(len, earlier))
    return f"How far pairs of this machine spread is told by {pairs} pairs of earlier runs, too." if pairs else ""


def rivals_text(ladder: Ladder) -> str:
    """Name the fastest of what is not told apart from the best, and count the others; empty where there is none."""
    return some_of([*map(rival_text, ladder.rivals)], RIVALS_NAMED)


def accuracy_text(ladder: Ladder) -> str:
    """Say how many labelled pictures each step gets right, fp32 eager first; empty where none were given."""
    found = [(m.step, m.accuracy) for m in ladder.measurements if m.accuracy is not None]
    if not found:
        return ""
    _, first = found[0]
    steps = "; ".join(f"{step} {accuracy(each)}" for step, each in found)
    return f"right of {first.pictures} labelled pictures, fp32 eager {100 * first.reference_top1:.1f} % top-1: {steps}"


def lengths_text(ladder: Ladder) -> str:
    """Say which texts were taken, and how much of what each step computed is padding; empty where lengths do not vary."""
    found = [(m.step, m.lengths) for m in ladder.measurements if m.lengths is not None]
    if not found:
        return ""
    _, first = found[0]
    steps = ", ".join(f"{step} {100 * each.padding_share:.0f} %" for step, each in found)
    told = f"{first.texts} texts of {lengths_short(first.shares)}; padding of all computed tokens: {steps}"
    return f"{told}; kernel time is that of the longest batch"


def generation_text(ladder: Ladder) -> str:
    """Say what bounds the tokens of a table, and which step comes nearest to it; empty where no text is generated."""
    found = [(m.step, m.generation) for m in ladder.measurements if m.generation is not None]
    if not found:
        return ""
    _, first = found[0]
    told = f"{first.phase} is bound by {_LIMITS[first.phase]}"
    shares = {step: share for step, each in found if each.phase == first.phase and (share := share_of_limit(each)) is not None}
    if not shares:
        return f"{told}, which this run has not"
    quiet = [m.step for m in ladder.measurements if m.step in shares and not m.disturbed]
    if not quiet:
        return told
    step, share = max(((step, shares[step]) for step in quiet), key=lambda each: each[1])
    return f"{told}; {step} comes nearest, with {100 * share:.0f} %"


def share_of_limit(found: SavedGeneration) -> float | None:
    """Return the share of the machine's bandwidth that decode reaches, or of its arithmetic that prefill does."""
    return found.share_of_bandwidth if found.phase == "decode" else found.share_of_peak


def metric_texts(ladder: Ladder) -> tuple[str, ...]:
    """Say of each metric what every step has of it: `perplexity of 64 samples: baseline 21.4, …`."""
    found: dict[tuple[str, int], list[str]] = {}
    for m in ladder.measurements:
        for each in m.metrics:
            note = f" ({each.note})" if each.note else ""
            found.setdefault((each.name, each.samples), []).append(f"{m.step} {metric(each)}{note}")
    return tuple(f"{name} of {samples} samples: {'; '.join(steps)}" for (name, samples), steps in found.items())


def without_text(ladder: Ladder, row: LadderRow) -> str:
    """Say what the recipe of a row leaves out because it was slower here: `bf16_autocast (44 % slower than channels_last)`."""
    decided = {m.step: m.decision for m in ladder.measurements if m.decision is not None and not m.decision.kept}
    return ", ".join(f"{step} ({slower_than(decided[step].gain)})" for step in dict.fromkeys(row.measurement.left_out) if step in decided)


def int8_text(ladder: Ladder) -> str:
    """Say what INT8 gives over the best floating point of each runtime; empty where none was measured."""
    told = [f"{row.step} {over_float_text(row.over_float)}" for row in ladder.measured if row.over_float is not None]
    return f"INT8 over the best floating point of its own runtime: {'; '.join(told)}" if told else ""


def over_float_text(found: OverFloat) -> str:
    """Return `+61.8 % [+58.0, +65.7] over openvino, faster`, and that it is unpaired where it is."""
    unpaired = "" if found.paired else " (unpaired: other processes, other minutes)"
    return f"{gain_short(found.ratio)} over {found.over}, {verdict_short(found.ratio)}{unpaired}"


def by_chance(ladders: Iterable[Ladder]) -> str:
    """Say how many verdicts are to be expected by chance; empty without any."""
    quiet = [m for ladder in ladders for m in ladder.measurements if not m.disturbed]
    gains = [m.gain for m in quiet if m.gain is not None and m.gain.low is not None]
    if not gains:
        return ""
    called = sum(gain.verdict in {FASTER, SLOWER} for gain in gains)
    expected = (1 - CONFIDENCE) * len(gains)
    return f"{called} of {len(gains)} gains are called faster or slower; where no step has an effect, chance calls about {expected:.1f}."


def _throughput(row: LadderRow) -> float:
    return row.measurement.samples_per_second


def _speedup(measurement: Measurement, baseline: Measurement | None) -> float | None:
    """Return throughput / the baseline's; None without a baseline, and where either was disturbed."""
    if baseline is None or measurement.disturbed or baseline.disturbed:
        return None
    return measurement.samples_per_second / baseline.samples_per_second


def _row(
    measurement: Measurement,
    baseline: Measurement | None,
    ours: Mapping[str, Measurement],
    processes: Mapping[tuple[str, str], Sequence[float]],
) -> LadderRow:
    return LadderRow(
        measurement=measurement,
        samples_per_second_interval=sps_interval(measurement),
        baseline=baseline_of(measurement),
        speedup=_speedup(measurement, baseline),
        in_pairs=_in_pairs(measurement),
        over_float=over_floating_point(measurement, ours, processes),
    )


def _in_pairs(measurement: Measurement) -> tuple[float, float] | None:
    """Return the throughputs of both sides at the median rounds of their pairs; None where the other side's samples were not saved."""
    over_s = [pair.over_median_s for pair in measurement.pairs if pair.over_median_s is not None]
    samples = measurement.over_samples_per_round
    if measurement.gain is None or samples is None or not over_s:
        return None
    own_s = [pair.own_median_s for pair in measurement.pairs]
    return measurement.samples_per_round / geometric_mean(own_s), samples / geometric_mean(over_s)


def _not_measured(outcome: Outcome) -> Outcome:
    """Return why there is no row, in words."""
    if outcome.outcome == "measured":
        return replace(outcome, outcome="failed", reason="measured, but its record is missing", remedy="")
    return replace(outcome, reason=outcome.reason or "no reason saved", remedy=outcome.remedy or "")
