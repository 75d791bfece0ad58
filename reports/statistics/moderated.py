"""Every gain with an interval: how far a pair can be off is learnt from the pairs of all steps of a run. Pure.

Within a pair the effect is the median over rounds of log(own SPS / over SPS), its error the bootstrap's of that median. Between pairs the
variance is moderated: the variances of all steps tell a prior, each step's own pairs pull it towards themselves (Smyth, "Linear models and
empirical Bayes methods for assessing differential expression in microarray experiments", 2004; limma's `fitFDist` and `squeezeVar`).
docs/measuring.md states the model.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from reports.saved.record import LARGEST_FIGURE, Gain, SavedGain, Throughput
from reports.statistics import CONFIDENCE, DISTURBED, t_quantile, verdict

Values = npt.NDArray[np.float64]

PRIOR_SPREAD = 0.07  # standard deviation of processes of the same code that do not even take turns: pairs spread less
PRIOR_FREEDOM = 4.0
LEAST_STEPS = 5  # with several pairs each, to estimate how the spread differs between steps
LEAST_FREEDOM = 8
_MOST = math.log(LARGEST_FIGURE)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one pair shows: a logarithm of a ratio of throughputs, and the variance that its rounds give it; they have `freedom`."""

    log_ratio: float
    variance: float
    freedom: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How far pairs of a run spread: a pair of a step whose rounds show the variance v has `between + max(v, within)`, times `scale`.

    `freedom` says how alike the steps are in that (infinite: quite), `most_freedom` from how much it was estimated; `seen` is False where
    that is too little, and the prior stands in for it.
    """

    between: float
    within: float
    scale: float
    freedom: float
    most_freedom: float
    seen: bool


PRIOR = Spread(between=PRIOR_SPREAD**2, within=0.0, scale=1.0, freedom=PRIOR_FREEDOM, most_freedom=math.inf, seen=False)


def effect(own_rounds_s: Sequence[float], over_rounds_s: Sequence[float], *, own_samples: int, over_samples: int) -> Effect:
    """Return the effect of a pair from both sides' rounds, in seconds per iteration; item i of both is round i.

    Raises ValueError for no round, sequences of different length, or a round that is not a positive number.
    """
    if not own_rounds_s or len(own_rounds_s) != len(over_rounds_s):
        raise ValueError(f"expected as many rounds on both sides, at least one; found {len(own_rounds_s)} and {len(over_rounds_s)}")
    own, over = np.asarray(own_rounds_s, dtype=float), np.asarray(over_rounds_s, dtype=float)
    if not (np.isfinite(own).all() and np.isfinite(over).all() and (own > 0).all() and (over > 0).all()):
        raise ValueError("expected positive finite numbers of seconds")
    logs = np.log(over) - np.log(own) + math.log(own_samples / over_samples)
    variance = float(median_variance(logs)) if len(logs) > 1 else PRIOR_SPREAD**2
    return Effect(log_ratio=float(np.median(logs)), variance=variance, freedom=max(1, len(logs) - 1))


def median_variance(values: Values) -> Values:
    """Return the bootstrap's variance of the median, in closed form, over the last axis (Maritz and Jarrett, 1978)."""
    from scipy.special import betainc

    count = values.shape[-1]
    steps = betainc((count + 1) / 2, (count + 1) / 2, np.linspace(0, 1, count + 1))
    weights = np.diff(steps)
    ordered = np.sort(values, axis=-1)
    mean = ordered @ weights
    squares: Values = ((ordered - mean[..., None]) ** 2) @ weights
    return squares


def spread(steps: Sequence[Sequence[Effect]]) -> Spread:
    """Return how far the pairs of a run spread, each of its steps given as the effects of its pairs; the prior where too few tell it."""
    several = [pairs for pairs in steps if len(pairs) > 1]
    freedoms = np.array([len(pairs) - 1 for pairs in several], dtype=float)
    if not several:
        return PRIOR
    variances = np.array([statistics.variance([each.log_ratio for each in pairs]) for pairs in several])
    total = float(freedoms.sum())
    if len(several) < LEAST_STEPS or total < LEAST_FREEDOM:
        pooled = float(freedoms @ variances) / total
        return Spread(max(PRIOR.between, pooled), 0.0, 1.0, PRIOR_FREEDOM, math.inf, seen=False)
    errors = np.array([rounds_variance(pairs) for pairs in several])
    within = float(np.median([rounds_variance(pairs) for pairs in steps if pairs]))
    expected = np.maximum(errors, within)
    between = _between(variances, expected, freedoms)
    floor = max(between + within, 1e-12)
    scale, freedom = fit_f(variances / np.maximum(between + expected, floor), freedoms)
    # rounds tell a pair's variance roughly: a step whose rounds seem quiet is taken for a usual one, neither for a quieter one
    usual = float(np.mean([min(max(rounds_variance(pairs), within), 2 * within) for pairs in steps if pairs]))
    return Spread(between, max(usual, 1e-12), scale, freedom, total, seen=True)


def gain(pairs: Sequence[Effect], run: Spread, *, confidence: float = CONFIDENCE) -> Gain:
    """Return a step's gain from the effects of its pairs, in a run whose pairs spread like that: one pair has a prediction interval.

    Raises ValueError for no pair.
    """
    if not pairs:
        raise ValueError("expected at least one pair")
    count, own = len(pairs), len(pairs) - 1
    logs = [each.log_ratio for each in pairs]
    mean = math.fsum(logs) / count
    typical = run.between + run.within
    excess = max(0.0, rounds_variance(pairs) - run.within)
    expected = typical + excess
    squares = math.fsum((value - mean) ** 2 for value in logs)
    if math.isinf(run.freedom):
        variance = expected * run.scale
    else:
        variance = (run.freedom * expected * run.scale + squares) / (run.freedom + own)
    freedom = 1 / (1 / (run.freedom + own) + 1 / run.most_freedom)
    # rounds that spread more than usual are a variance of their own, known from them alone
    own_freedom = sum(each.freedom for each in pairs)
    share = excess / expected
    freedom = 1 / ((1 - share) ** 2 / freedom + share**2 / own_freedom)
    half = t_quantile(confidence, freedom) * math.sqrt(variance / count)
    ratio, low, high = (math.exp(max(-_MOST, min(value, _MOST))) for value in (mean, mean - half, mean + half))
    return Gain(ratio=ratio, low=low, high=high, verdict=verdict(low, high))


def gains_of_run(measurements: Sequence[Throughput], earlier: Sequence[Sequence[Effect]] = ()) -> dict[tuple[str, str], SavedGain]:
    """Return, by model and step, the gains of a run from the rounds of all its pairs together.

    `earlier` are the effects of steps in earlier runs of the same machine, which tell how far its pairs spread as the run's own do.
    Disturbed steps tell nothing of the others. Those of records that have no rounds, or not how many samples the other side's had, are as
    they were saved.
    """
    effects = {(m.model, m.step): effects_of(m) for m in measurements}
    disturbed = {(m.model, m.step) for m in measurements if m.disturbed}
    run = spread([*(found for key, found in effects.items() if found and key not in disturbed), *earlier])
    gains = {}
    for measurement in measurements:
        saved, own = measurement.gain, effects[measurement.model, measurement.step]
        if saved is not None and own:
            found = gain(own, run)
            told = DISTURBED if measurement.disturbed else found.verdict
            saved = msgspec.structs.replace(saved, ratio=found.ratio, low=found.low, high=found.high, verdict=told)
        if saved is not None:
            gains[measurement.model, measurement.step] = saved
    return gains


def effects_of_runs(runs: Iterable[Sequence[Throughput]], own: Iterable[Sequence[float]] = ()) -> list[list[Effect]]:
    """Return the effects of each step that several runs of one machine measured over the same step, those of all runs together.

    So single pairs tell how far pairs spread, too; from one run to the next they spread more than within one. Disturbed ones tell nothing.
    A step gains otherwise in another recipe, on other inputs and with other threads: that is no spread of its pairs. A pair counts once:
    an interrupted run is saved with it, and so is the run that goes on. One whose rounds are among `own` is of the run that asks.
    """
    found: dict[tuple[object, ...], list[Effect]] = {}
    counted = {tuple(rounds_s) for rounds_s in own}
    for measurements in runs:
        for each in measurements:
            if each.gain is not None and not each.disturbed:
                alike = (each.model, each.step, each.gain.over, each.samples_per_round, each.recipe, each.conditions)
                for pair, told in zip(each.pairs, effects_of(each), strict=False):  # of records without whole rounds there are none
                    if pair.own_rounds_s not in counted:
                        counted.add(pair.own_rounds_s)
                        found.setdefault(alike, []).append(told)
    return [effects for effects in found.values() if len(effects) > 1]


def effects_of(measurement: Throughput) -> tuple[Effect, ...]:
    """Return the effect of each pair of a step; none where it builds on nothing, or its rounds were not saved."""
    samples, first = measurement.over_samples_per_round, measurement.settling_rounds
    if samples is None or not all(len(p.own_rounds_s) == len(p.over_rounds_s) > first for p in measurement.pairs):
        return ()
    return tuple(
        effect(pair.own_rounds_s[first:], pair.over_rounds_s[first:], own_samples=measurement.samples_per_round, over_samples=samples)
        for pair in measurement.pairs
    )


def fit_f(variances: Values, freedoms: Values) -> tuple[float, float]:
    """Return the scale and the degrees of freedom of the prior of variances: moments of their logarithms, as limma's `fitFDist`.

    `variances` are distributed as scale * F(freedoms, prior's freedom); infinite where they differ no more than chance makes them.
    """
    from scipy.special import polygamma, psi

    least = 1e-5 * (float(np.median(variances)) or 1.0)
    logs = np.log(np.maximum(variances, least)) - psi(freedoms / 2) + np.log(freedoms / 2)
    left = float(np.var(logs, ddof=1)) - float(np.mean(polygamma(1, freedoms / 2)))
    if left <= 0:
        return float(np.mean(variances)), math.inf
    freedom = 2 * trigamma_inverse(left)
    return math.exp(float(np.mean(logs)) + float(psi(freedom / 2)) - math.log(freedom / 2)), freedom


def trigamma_inverse(value: float) -> float:
    """Return y with trigamma(y) = value, a positive number, by Newton's method on 1 / trigamma as Smyth (2004) gives it."""
    from scipy.special import polygamma

    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    found = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, found))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, found))
        found += step
        if -step / found < 1e-8:
            break
    return found


def rounds_variance(pairs: Sequence[Effect]) -> float:
    """Return the variance that the rounds of a step's pairs give one of them, on average."""
    return math.fsum(each.variance for each in pairs) / len(pairs)


def _between(variances: Values, errors: Values, freedoms: Values) -> float:
    """Return the variance between processes that is left beside the rounds' errors: that for which variances are as expected on average."""

    def surplus(between: float) -> float:
        return float(freedoms @ (variances / np.maximum(between + errors, 1e-12) - 1))

    if surplus(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(variances.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if surplus(middle) > 0 else (low, middle)
    return high
