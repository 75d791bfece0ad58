"""Gains with an interval from every pair: published and hand-computed values, the figures of one run, and coverage by simulation."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.special import polygamma

from reports.saved.load import measurements_from_records
from reports.saved.record import Measurement
from reports.statistics import FASTER
from reports.statistics.moderated import (
    PRIOR,
    Effect,
    Spread,
    effect,
    effects_of,
    effects_of_runs,
    fit_f,
    gain,
    gains_of_run,
    median_variance,
    spread,
    trigamma_inverse,
)
from tests.reports.saved_runs import benchmark


@pytest.mark.parametrize("value", [1e-8, 0.01, 0.5, math.pi**2 / 6, 40.0, 1e9])
def test_trigamma_is_inverted(value: float) -> None:
    """trigamma(1) is pi^2 / 6; beyond 1e7 and below 1e-6 the limits 1/y^2 and 1/y hold."""
    assert value == pytest.approx(float(polygamma(1, trigamma_inverse(value))), rel=1e-3)
    assert 1.0 == pytest.approx(trigamma_inverse(math.pi**2 / 6))


def test_prior_of_two_variances_by_hand() -> None:
    """Variances 1 and e^4 of 2 degrees of freedom: their logarithms' variance 8, less trigamma(1), is trigamma of half the prior's freedom.

    The scale's logarithm is 2 + Euler's constant (minus digamma(1)), plus digamma(d0 / 2) - log(d0 / 2).
    """
    scale, freedom = fit_f(np.array([1.0, math.exp(4)]), np.array([2.0, 2.0]))

    assert 8 - math.pi**2 / 6 == pytest.approx(float(polygamma(1, freedom / 2)))
    expected = 2 + 0.5772156649 + float(polygamma(0, freedom / 2)) - math.log(freedom / 2)
    assert expected == pytest.approx(math.log(scale))


def test_equal_variances_have_a_prior_without_bound() -> None:
    """Variances that differ no more than by chance are one variance, their mean."""
    assert (2.0, math.inf) == fit_f(np.array([1.9, 2.0, 2.1]), np.array([3.0, 3.0, 3.0]))


def test_prior_is_recovered() -> None:
    """Variances drawn as 0.04 F(2, 8) tell 0.04 and 8."""
    drawn = np.random.default_rng(1).f(2, 8, 20_000) * 0.04

    scale, freedom = fit_f(drawn, np.full(20_000, 2.0))

    assert 0.04 == pytest.approx(scale, rel=0.05)
    assert 8.0 == pytest.approx(freedom, rel=0.1)


def test_variance_of_a_median_is_that_of_all_its_bootstrap_samples() -> None:
    """The 27 samples of three values with replacement have medians with this very variance; two values have their mean's."""
    values = [0.0, 1.0, 5.0]
    medians = [sorted((a, b, c))[1] for a in values for b in values for c in values]

    assert float(np.var(medians)) == pytest.approx(float(median_variance(np.array(values))))
    assert 1.0 == pytest.approx(float(median_variance(np.array([3.0, 5.0]))))


def test_effect_is_the_median_of_the_rounds_ratios() -> None:
    """A round in which both sides were held up, at 8 samples against 4 each, moves nothing."""
    found = effect([1.0, 9.0, 1.0], [2.0, 18.0, 2.0], own_samples=8, over_samples=4)

    assert math.log(4) == pytest.approx(found.log_ratio)
    assert 0.0 == pytest.approx(found.variance)


def test_a_pair_alone_says_of_seven_times_that_it_is_faster_and_of_four_percent_nothing() -> None:
    quiet = [0.100, 0.101, 0.099, 0.100, 0.102, 0.100, 0.098, 0.100, 0.101]
    large = gain([effect([each / 7.18 for each in quiet], quiet[::-1], own_samples=1, over_samples=1)], PRIOR)
    small = gain([effect([each / 1.04 for each in quiet], quiet[::-1], own_samples=1, over_samples=1)], PRIOR)

    assert (FASTER, True) == (large.verdict, small.verdict.startswith("not resolved"))
    assert large.low is not None
    assert large.low > 5


@pytest.mark.parametrize("run", [PRIOR, Spread(0.012**2, 0.01**2, 1.0, math.inf, 40.0, seen=True)])
def test_two_disturbed_rounds_resolve_nothing(run: Spread) -> None:
    """One round of the other side took 1.16 s instead of 0.055: 6.89x is no finding, however quiet the rest of the run is."""
    found = gain([effect([0.0883, 0.0883], [0.055, 1.161], own_samples=1, over_samples=1)], run)

    assert found.verdict.startswith("not resolved")


def test_too_few_pairs_are_judged_by_the_prior() -> None:
    """Four steps of two pairs tell nothing of how the spread differs: 7 %, or what they show together where it is more."""
    near, far = [Effect(0.1, 1e-6, 8), Effect(0.101, 1e-6, 8)], [Effect(0.0, 1e-6, 8), Effect(0.6, 1e-6, 8)]

    assert PRIOR == spread([[Effect(0.1, 1e-6, 8)]] * 30)
    assert (PRIOR.between, False) == (spread([near] * 4).between, spread([near] * 4).seen)
    assert spread([far] * 4).between == pytest.approx(0.18)
    assert spread([near] * 5 + [near[:1]] * 3).seen is False
    assert spread([near] * 8).seen is True


def test_a_step_is_pulled_towards_the_run() -> None:
    """Two pairs that agree by chance are no proof: in a run whose pairs spread by 3 % their interval stays wide."""
    noise = np.random.default_rng(2)
    steps = [[Effect(float(noise.normal(0, 0.03)), 1e-5, 8) for _ in range(3)] for _ in range(20)]
    lucky = [Effect(0.02, 1e-5, 8), Effect(0.02, 1e-5, 8)]

    found = gain(lucky, spread([*steps, lucky]))

    assert found.low is not None
    assert found.low < 1


def test_gains_of_a_run_are_told_from_its_rounds_and_older_ones_stay() -> None:
    """A record of an earlier version, without rounds, keeps its saved gain."""
    rounds = {"own_rounds_s": [0.05, 0.051, 0.05], "over_rounds_s": [0.1, 0.1, 0.101]}
    pair: dict[str, Any] = {"own_median_s": 0.05, "over_median_s": 0.1} | rounds
    new = benchmark("channels_last", over="baseline", over_medians_s=(0.1,), medians_s=(0.05,), over_samples_per_round=8, pairs=[pair])
    old = benchmark("tcmalloc", over="channels_last", medians_s=(0.05,), over_medians_s=(0.06,))

    found = gains_of_run(measurements_from_records([each["extra_info"] for each in (new, old)]))

    assert (FASTER, "baseline") == (found["resnet50", "channels_last"].verdict, found["resnet50", "channels_last"].over)
    assert "not resolved (one pair)" == found["resnet50", "tcmalloc"].verdict


def test_rounds_that_were_not_warm_have_no_say_in_a_gain() -> None:
    """As long as others are left: a record that says otherwise keeps its saved gain."""
    rounds = {"own_rounds_s": [0.2, 0.05, 0.051, 0.05], "over_rounds_s": [0.1, 0.1, 0.1, 0.101]}
    pair: dict[str, Any] = {"own_median_s": 0.05, "over_median_s": 0.1} | rounds
    step = benchmark("channels_last", over="baseline", over_medians_s=(0.1,), medians_s=(0.05,), over_samples_per_round=8, pairs=[pair])
    [all_count], [first_does_not], [one_left] = (
        effects_of(measurement)
        for measurement in measurements_from_records([step["extra_info"] | {"settling_rounds": settling} for settling in (0, 1, 3)])
    )

    assert all_count.variance > first_does_not.variance
    assert 3 == all_count.freedom == first_does_not.freedom + 1
    assert 1 == one_left.freedom
    [beyond] = measurements_from_records([step["extra_info"] | {"settling_rounds": 4}])
    assert () == effects_of(beyond)


def _run_of_single_pairs(noise: np.random.Generator, steps: int = 20, ratio: float = 1.2, **changes: Any) -> list[Measurement]:
    """A run whose steps are 20 % faster than their predecessor; pairs are off by 1.2 %."""
    records = []
    for number in range(steps):
        own_s = 0.1 / ratio * math.exp(float(noise.normal(0, 0.012)))
        rounds = {"own_rounds_s": [own_s] * 3, "over_rounds_s": [0.1] * 3}
        pair: dict[str, Any] = {"own_median_s": own_s, "over_median_s": 0.1} | rounds
        named: dict[str, Any] = {
            "over": "baseline",
            "over_medians_s": (0.1,),
            "medians_s": (own_s,),
            "over_samples_per_round": 8,
            "pairs": [pair],
        }
        records.append(benchmark(f"step_{number}", **named)["extra_info"] | changes)
    return measurements_from_records(records)


def test_earlier_runs_tell_how_far_single_pairs_spread() -> None:
    """One pair a step resolves 20 % only to within a prior's 19 %; five earlier runs know that it is 5 % at most."""
    noise = np.random.default_rng(3)
    runs = [_run_of_single_pairs(noise) for _ in range(5)]
    new = _run_of_single_pairs(noise)
    alone, told = gains_of_run(new), gains_of_run(new, effects_of_runs(runs))

    width, before = (np.median([(each.high or 0) / (each.low or 1) - 1 for each in gains.values()]) for gains in (told, alone))
    assert before > 0.3
    assert 0.03 < width < 0.12
    assert {FASTER} == {each.verdict for each in told.values()}


def test_other_steps_and_disturbed_ones_of_earlier_runs_tell_nothing() -> None:
    noise = np.random.default_rng(4)
    disturbed = [_run_of_single_pairs(noise, disturbed=True) for _ in range(3)]

    assert [] == effects_of_runs(disturbed)
    assert [] == effects_of_runs([_run_of_single_pairs(noise)])
    assert 20 == len(effects_of_runs([_run_of_single_pairs(noise), _run_of_single_pairs(noise)]))


def test_a_pair_of_an_interrupted_run_counts_once() -> None:
    """It is saved then, and again by the run that goes on, whose own it is: taken twice, pairs of one step would not differ at all."""
    noise = np.random.default_rng(6)
    interrupted, other = _run_of_single_pairs(noise), _run_of_single_pairs(noise)
    own = [pair.own_rounds_s for measurement in interrupted for pair in measurement.pairs]

    assert [] == effects_of_runs([interrupted, interrupted])
    assert [2] * 20 == [len(effects) for effects in effects_of_runs([interrupted, other, interrupted])]
    assert [] == effects_of_runs([interrupted, other], own)


@pytest.mark.parametrize(
    "other",
    [{"input_shape": [8, 3, 64, 64]}, {"threads": 2}, {"workers": 2}, {"recipe": ["baseline", "channels_last", "step"]}],
    ids=["images", "threads", "workers", "recipe"],
)
def test_a_step_of_other_conditions_is_no_spread_of_its_pairs(other: dict[str, Any]) -> None:
    """On small images, with fewer threads or in another recipe a step gains otherwise: taken for chance, that would hide every gain."""
    noise = np.random.default_rng(5)
    *earlier, new = (_run_of_single_pairs(noise) for _ in range(4))
    others = [_run_of_single_pairs(noise, ratio=2.0, **other) for _ in range(3)]

    alone, told = (gains_of_run(new, effects_of_runs(runs)) for runs in (earlier, [*earlier, *others]))
    assert {FASTER} == {each.verdict for each in told.values()}
    for key, found in told.items():
        assert (found.high or 0) / (found.low or 1) < 1.5 * (alone[key].high or 0) / (alone[key].low or 1)


ROUNDS, STEPS, RUNS = 9, 22, 60


def noisy_rounds(kind: str, noise: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return the logarithms of rounds, which spread by 3 %, and their pairs by 1.2 % more.

    Normal, Student's t of 3 degrees of freedom, or eight times as far in one pair of ten; or each round is like the one before it.
    """
    between = 0.012 * (noise.standard_t(3, shape[:-1]) / math.sqrt(3) if kind == "t3" else noise.normal(size=shape[:-1]))
    if kind == "disturbed":
        between = np.where(noise.random(shape[:-1]) < 0.1, 8 * between, between)
    within = noise.normal(size=shape)
    if kind == "autocorrelated":
        for number in range(1, shape[-1]):
            within[..., number] = 0.6 * within[..., number - 1] + 0.8 * within[..., number]
    return np.asarray(between[..., None] + 0.03 * within)


def _coverage(kind: str, pairs: int, others: int) -> float:
    """Return how many of 95 % intervals hold the truth: steps of `pairs` pairs, in runs whose other steps have `others`."""
    rounds = noisy_rounds(kind, np.random.default_rng(pairs + 10 * others), (RUNS, STEPS, max(pairs, others), ROUNDS))
    medians, variances = np.median(rounds, axis=-1), median_variance(rounds)
    held = [_held(run_medians, run_variances, pairs, others) for run_medians, run_variances in zip(medians, variances, strict=True)]
    return float(np.mean(held))


def _held(medians: Any, variances: Any, pairs: int, others: int) -> float:
    steps = [[Effect(*each, ROUNDS - 1) for each in zip(*step, strict=True)] for step in zip(medians, variances, strict=True)]
    few: Sequence[int] = range(0, STEPS, 1 if pairs == others else 4)
    for number in few:
        steps[number] = steps[number][:pairs]
    run = spread(steps)
    gains = [gain(steps[number], run) for number in few]
    return sum((each.low or 0) <= 1 <= (each.high or math.inf) for each in gains) / len(gains)


@pytest.mark.parametrize("kind", ["normal", "t3", "disturbed", "autocorrelated"])
@pytest.mark.parametrize(("pairs", "others"), [(1, 3), (2, 2), (2, 3), (3, 3), (5, 5)])
def test_intervals_hold_the_truth(kind: str, pairs: int, others: int) -> None:
    """Of 95 % intervals 93 to 98 % do, in all of these; the limits leave room for three standard errors of this short simulation."""
    error = math.sqrt(0.05 * 0.95 / (RUNS * STEPS / (1 if pairs == others else 4)))

    assert 0.93 - 3 * error <= _coverage(kind, pairs, others) <= 0.98 + 3 * error


@pytest.mark.parametrize("kind", ["normal", "t3", "disturbed", "autocorrelated"])
def test_a_run_of_single_pairs_is_judged_too_carefully(kind: str) -> None:
    """Nothing tells how far they spread, so the prior's 7 % does: 97 % and more of the intervals hold the truth."""
    assert _coverage(kind, 1, 1) >= 0.97
