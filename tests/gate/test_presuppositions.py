"""What the gate's error rates rest on: 5,000 gates each, without a change, where the pairs are as presupposed and where they are not."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from reports.gate.decision import Rules, Sample, Verdict, judge
from tests.gate.vectorized import INCONCLUSIVE, PASS, REGRESSION, RULES, Builds, Draw, verdicts

BENCHMARKS = 12
GATES = 5000
USUAL_SD = 0.012  # as seen on a cloud VM
PAIRS = RULES.screen_pairs + RULES.confirm_pairs
NAMES = {Verdict.PASS: PASS, Verdict.INCONCLUSIVE: INCONCLUSIVE, Verdict.REGRESSION: REGRESSION}


def independent(deviation: float) -> Draw:
    return lambda generator, shape: generator.normal(0.0, deviation, shape)


def heavy_tailed(deviation: float) -> Draw:
    return lambda generator, shape: generator.standard_t(3, shape) * deviation / np.sqrt(3)


def autocorrelated(deviation: float, correlation: float) -> Draw:
    """A host that is slow for longer than a pair."""

    def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
        found = generator.normal(0.0, deviation, shape)
        for place in range(1, shape[-1]):
            found[..., place] = correlation * found[..., place - 1] + np.sqrt(1 - correlation**2) * found[..., place]
        return found

    return draw


def fixed_effect(deviation: float, of_builds: float) -> Draw:
    """Each side's one build, the same in all pairs of a benchmark."""

    def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
        return np.asarray(generator.normal(0.0, of_builds, (*shape[:2], 1)) + generator.normal(0.0, deviation, shape))

    return draw


def constant(deviation: float, bias: float) -> Draw:
    """The side that starts second is slower, and it is always head."""
    return lambda generator, shape: generator.normal(bias, deviation, shape)


def drawn_order(deviation: float, bias: float) -> Draw:
    """The side that starts second is slower, and which one that is, is drawn."""
    return lambda generator, shape: generator.choice((-bias, bias), shape) + generator.normal(0.0, deviation, shape)


def neighbour(deviation: float) -> Draw:
    """Every sixth pair or so meets a neighbour that makes one of its sides up to 30 % slower."""

    def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
        hit = generator.random(shape) < 0.15
        return np.asarray(generator.normal(0.0, deviation, shape) + hit * generator.uniform(-0.3, 0.3, shape))

    return draw


def first_slower(share: float) -> np.ndarray:
    """Return by how much each benchmark is slower: the first by this share, the others not."""
    effects = np.zeros((1, BENCHMARKS, 1))
    effects[0, 0] = np.log1p(share)
    return effects


def alarms(draw: Draw, looks: int = 1, rules: Rules = RULES) -> float:
    """Return the share of gates that call a regression, started again until so many looks were taken."""
    shape = (GATES, BENCHMARKS, RULES.screen_pairs + looks * RULES.confirm_pairs)
    found = verdicts(draw(np.random.default_rng(11), shape), looks, rules)
    return float((found == REGRESSION).any(1).mean())


@pytest.mark.parametrize(
    "draw",
    [*map(independent, (0.01, 0.02, 0.05)), *map(heavy_tailed, (0.02, 0.05)), drawn_order(0.01, 0.02), neighbour(0.012)],
)
def test_independent_pairs_keep_the_promise(draw: Draw) -> None:
    """At most 1 % of gates; 1.4 % is what 5,000 gates at exactly 1 % exceed once in a thousand times."""
    assert alarms(draw) <= 0.014


@pytest.mark.parametrize(
    ("draw", "at_least", "at_most"),
    [
        pytest.param(autocorrelated(0.02, 0.5), 0.01, 0.07, id="autocorrelation 0.5, spread 2 %"),
        pytest.param(autocorrelated(0.05, 0.5), 0.1, 0.24, id="autocorrelation 0.5, spread 5 %"),
        pytest.param(fixed_effect(0.01, 0.01), 0.15, 0.30, id="one build a side (older suites), which differ by 1 %"),
        pytest.param(constant(0.01, 0.02), 0.9, 1.0, id="head always starts second, and that costs 2 %"),
    ],
)
def test_documented_limits(draw: Draw, at_least: float, at_most: float) -> None:
    """Where pairs are not as presupposed the gate alarms more often; docs/gate.md says so. A better rule lowers these."""
    assert at_least <= alarms(draw) <= at_most


def test_alike_neighbours_alarm_less_than_without_the_look_at_their_order() -> None:
    """The same draws in an order of their own, where nothing can be seen of it: what the check of lag 1 takes away is false alarms."""
    draw = autocorrelated(0.05, 0.8)(np.random.default_rng(12), (GATES, BENCHMARKS, PAIRS))
    shuffled = np.concatenate(
        [np.random.default_rng(13).permuted(part, axis=-1) for part in np.split(draw, [RULES.screen_pairs], axis=-1)], axis=-1
    )
    assert (verdicts(draw) == REGRESSION).sum() < 0.7 * (verdicts(shuffled) == REGRESSION).sum()


@pytest.mark.parametrize(("slower", "power"), [(0.03, 0.95), (0.05, 0.99), (0.1, 0.99)])
def test_power_with_the_spread_of_a_cloud_machine(slower: float, power: float) -> None:
    """One slower benchmark among a dozen is called a regression; at least 99 % of the others pass, nearly all by the screen."""
    found = verdicts(first_slower(slower) + independent(USUAL_SD)(np.random.default_rng(5), (GATES, BENCHMARKS, PAIRS)))

    assert (found[:, 0] == REGRESSION).mean() >= power
    assert (found[:, 1:] == PASS).mean() >= 0.99


def test_noise_makes_gates_inconclusive_not_wrong() -> None:
    """At 6 % of spread a 5 % slowdown is seldom passed, and most gates say that they cannot tell; at 1.2 % it is never passed."""
    noisy, usual = (
        verdicts(np.log1p(0.05) + independent(spread)(np.random.default_rng(6), (GATES, 1, PAIRS))) for spread in (0.06, USUAL_SD)
    )

    assert (noisy == PASS).mean() <= 0.02
    assert (noisy == INCONCLUSIVE).mean() > 0.5
    assert PASS not in usual


SPREADS = (0.0, 0.003, 0.007, 0.014, 0.03)


def normal_builds(of_builds: float) -> Draw:
    return lambda generator, shape: generator.normal(0.0, of_builds, shape)


def builds_of_two_kinds(of_builds: float) -> Draw:
    """Half of all builds are slower than the others."""
    return lambda generator, shape: generator.choice((-of_builds, of_builds), shape)


def builds_in_turns(looks: int) -> np.ndarray:
    """Return the builds of base and head in each pair, shape (pairs, 2), as the gate takes turns but for what it draws."""
    taken = [(place % 2, (place + place // 2) % 2) for place in range(RULES.screen_pairs)]
    confirming = [(place % 4, (place + place // 4) % 4) for place in range(RULES.confirm_pairs)]
    for look in range(2, looks + 1):
        for _ in range(RULES.confirm_pairs):
            numbers = range(RULES.builds_of(look))
            pairs = list(itertools.product(numbers, numbers))
            of_base, of_head = (Counter(pair[side] for pair in confirming) for side in (0, 1))
            confirming.append(min(pairs, key=lambda pair: (confirming.count(pair), of_base[pair[0]] + of_head[pair[1]])))
    return np.array(taken + confirming)


def with_builds(deviation: float, builds: Draw, slower: np.ndarray | float = 0.0, gates: int = GATES, looks: int = 1) -> np.ndarray:
    """Return the verdicts of gates in which every benchmark has builds of each side.

    Two in the screen, four in the confirmation, two more at each further look.
    """
    generator = np.random.default_rng(16)
    shape = (gates, BENCHMARKS)
    base, head = (builds(generator, (*shape, RULES.builds_of(looks))) for _ in range(2))
    taken = builds_in_turns(looks)
    of_base, of_head = taken.T
    slowdowns = slower + head[..., of_head] - base[..., of_base] + generator.normal(0.0, deviation, (*shape, len(taken)))
    control = base[..., 1:2] - base[..., :1] + generator.normal(0.0, deviation, (*shape, RULES.control_pairs))
    confirming = slice(RULES.screen_pairs, None)
    return verdicts(slowdowns, looks, builds=Builds(control, of_base[confirming].tolist(), of_head[confirming].tolist()))


@pytest.mark.parametrize("deviation", [pytest.param(0.005, marks=pytest.mark.slow), 0.01, pytest.param(0.02, marks=pytest.mark.slow)])
@pytest.mark.parametrize("of_builds", SPREADS)
def test_builds_that_differ_are_no_regression(deviation: float, of_builds: float) -> None:
    """At most 1 % of gates, however much single builds of equal code differ (standard deviation).

    One build a side alarms in 25 % where builds differ by 0.7 %, and in nearly all gates where they differ by more.
    """
    assert (with_builds(deviation, normal_builds(of_builds)) == REGRESSION).any(1).mean() <= 0.01


def test_benchmarks_whose_builds_differ_unlike_keep_the_promise() -> None:
    """Builds of some are equal, of others wild: nothing is taken from one benchmark for another."""
    spreads = np.array([0.0, 0.003, 0.014, 0.05] * 3)[None, :, None]
    found = with_builds(0.01, lambda generator, shape: generator.normal(0.0, 1.0, shape) * spreads)
    assert (found == REGRESSION).any(1).mean() <= 0.01


@pytest.mark.parametrize("of_builds", [0.007, 0.03])
def test_gates_over_builds_that_are_started_again_keep_the_promise(of_builds: float) -> None:
    """Further looks have two more builds of each side, and their shares of alpha."""
    assert (with_builds(0.01, normal_builds(of_builds), gates=2000, looks=3) == REGRESSION).any(1).mean() <= 0.01


def test_further_builds_find_what_four_could_not() -> None:
    """10 % slower where builds differ by 3 %: one look finds a fifth, three find more than half."""
    found = with_builds(0.01, normal_builds(0.03), first_slower(0.1), 500, looks=3)[:, 0]
    assert (found == REGRESSION).mean() >= 0.5


def test_builds_of_two_kinds_are_a_documented_limit() -> None:
    """Where each build is one of two kinds, by chance, four of one side and none of the other may be slow; a better rule lowers this."""
    assert 0.01 <= (with_builds(0.01, builds_of_two_kinds(0.03), gates=2000) == REGRESSION).any(1).mean() <= 0.06


@pytest.mark.parametrize(
    ("of_builds", "slower", "least"),
    [
        pytest.param(0.0, 0.03, 0.93, id="3 % through equal builds"),
        pytest.param(0.003, 0.03, 0.88, id="3 % through 0.3 %"),
        pytest.param(0.007, 0.03, 0.5, id="3 % through 0.7 %"),
        pytest.param(0.007, 0.1, 0.98, id="10 % through 0.7 %"),
        pytest.param(0.014, 0.1, 0.92, id="10 % through 1.4 %"),
        pytest.param(0.03, 0.2, 0.82, id="20 % through 3 %"),
    ],
)
def test_slowdowns_are_found_through_builds_that_differ(of_builds: float, slower: float, least: float) -> None:
    """One of a dozen benchmarks is slower; builds of all differ."""
    assert (with_builds(0.01, normal_builds(of_builds), first_slower(slower), 1000)[:, 0] == REGRESSION).mean() >= least


@pytest.mark.parametrize("draw", [independent(0.02), independent(0.05), heavy_tailed(0.05)])
def test_gates_that_are_started_again_keep_the_promise(draw: Draw) -> None:
    """Until all three looks are taken, at most 1 % of gates ever say REGRESSION."""
    assert alarms(draw, looks=3) <= 0.014


def test_looking_again_at_the_full_level_would_alarm_more() -> None:
    """What the shares of alpha are for: each look at 1 % adds its own false alarms."""
    assert alarms(independent(0.05), 3, Rules(looks=(1.0, 1.0, 1.0))) > 1.3 * alarms(independent(0.05), 3)


def test_looking_again_finds_what_noise_hid_and_passes_little_more() -> None:
    """5 % slower on a host where pairs spread by 4 %: one look finds most, three find nearly all; wrong passes stay below 1.5 %."""
    draw = np.log1p(0.05) + independent(0.04)(np.random.default_rng(17), (2000, 1, RULES.screen_pairs + 3 * RULES.confirm_pairs))
    once, again = verdicts(draw[..., :PAIRS]), verdicts(draw, 3)

    assert (again == REGRESSION).mean() > (once == REGRESSION).mean() + 0.1
    assert (again == PASS).mean() <= 0.015


@pytest.mark.parametrize("deviation", [0.01, 0.03])
def test_fast_rule_is_the_gates_own(deviation: float) -> None:
    """On gates of four benchmarks, of which one is slower and one autocorrelated."""
    generator = np.random.default_rng(14)
    shape = (40, 1, PAIRS)
    slowdowns = np.concatenate(
        [
            independent(deviation)(generator, shape),
            0.03 + independent(deviation)(generator, shape),
            0.04 + autocorrelated(deviation, 0.9)(generator, shape),
            heavy_tailed(deviation)(generator, shape),
        ],
        axis=1,
    )
    expected = []
    for gate in slowdowns:
        samples = [Sample(screen=tuple(each[: RULES.screen_pairs]), confirm=tuple(each[RULES.screen_pairs :])) for each in gate]
        expected.append([NAMES[found.verdict] for found in judge(samples, RULES)])
    assert expected == verdicts(slowdowns).tolist()


def test_fast_rule_is_the_gates_own_when_started_again_and_over_builds() -> None:
    generator = np.random.default_rng(15)
    shape = (30, 1, RULES.screen_pairs + 3 * RULES.confirm_pairs)
    slowdowns = np.concatenate([effect + independent(0.04)(generator, shape) for effect in (0.0, 0.03, 0.06)], axis=1)
    numbers = np.arange(3 * RULES.confirm_pairs)
    control = generator.normal(0.01, 0.01, (30, 3, RULES.control_pairs))
    builds = Builds(control, (numbers % 4).tolist(), ((numbers + numbers // 4) % 4).tolist())
    alone, over_builds = [], []
    for gate, control in zip(slowdowns, builds.control, strict=True):
        samples = [Sample(screen=tuple(each[: RULES.screen_pairs]), confirm=tuple(each[RULES.screen_pairs :])) for each in gate]
        alone.append([NAMES[found.verdict] for found in judge(samples, RULES)])
        own = [
            replace(sample, control=tuple(each), base_builds=tuple(builds.base), head_builds=tuple(builds.head), has_own_builds=True)
            for sample, each in zip(samples, control, strict=True)
        ]
        over_builds.append([NAMES[found.verdict] for found in judge(own, RULES)])

    assert alone == verdicts(slowdowns, 3).tolist()
    assert over_builds == verdicts(slowdowns, 3, builds=builds).tolist()
    assert alone != over_builds
