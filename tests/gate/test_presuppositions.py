"""What the gate's error rates rest on: 5,000 gates each, without a change, where the pairs are as presupposed and where they are not."""

import numpy as np
import pytest

from reports.gate.decision import Sample, Verdict, judge
from tests.gate.vectorized import INCONCLUSIVE, PASS, REGRESSION, RULES, Draw, verdicts

BENCHMARKS = 12
GATES = 5000
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


def alarms(draw: Draw) -> float:
    """Return the share of gates that call a regression."""
    found = verdicts(draw(np.random.default_rng(11), (GATES, BENCHMARKS, PAIRS)))
    return float((found == REGRESSION).any(1).mean())


@pytest.mark.parametrize(
    "draw", [independent(0.01), independent(0.02), independent(0.05), heavy_tailed(0.02), heavy_tailed(0.05), drawn_order(0.01, 0.02)]
)
def test_independent_pairs_keep_the_promise(draw: Draw) -> None:
    """At most 1 % of gates; 1.4 % is what 5,000 gates at exactly 1 % exceed once in a thousand times."""
    assert alarms(draw) <= 0.014


@pytest.mark.parametrize(
    ("draw", "at_least", "at_most"),
    [
        pytest.param(autocorrelated(0.02, 0.5), 0.01, 0.07, id="autocorrelation 0.5, spread 2 %"),
        pytest.param(autocorrelated(0.05, 0.5), 0.1, 0.24, id="autocorrelation 0.5, spread 5 %"),
        pytest.param(fixed_effect(0.01, 0.005), 0.0, 0.01, id="builds that differ by 0.5 %"),
        pytest.param(fixed_effect(0.01, 0.01), 0.15, 0.30, id="builds that differ by 1 %"),
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
