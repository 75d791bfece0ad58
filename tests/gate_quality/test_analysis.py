"""Counts, bounds and targets: against published values, scipy and simulation."""

import math
import random

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.gate_quality.analysis import Rate, pooled_deviation, summarize, within_pairs
from benchmarks.gate_quality.kinds import KINDS
from benchmarks.gate_quality.record import Gate
from benchmarks.gate_quality.targets import Target, targets
from reports.gate.decision import Verdict
from tests.gate.pairs import pair
from tests.gate_quality.recorded_gates import drawn_gate, errored, gate

SAME, SLOWER_3 = KINDS[0], KINDS[1]


def test_none_of_a_hundred_bounds_the_rate_at_three_percent() -> None:
    """The rule of three: 1 - 0.05 ** (1 / 100)."""
    rate = Rate(0, 100)
    assert (0.0, 0.0, 0.02951) == pytest.approx((rate.share, rate.low, rate.high), abs=1e-5)


@pytest.mark.parametrize(("events", "trials"), [(0, 30), (1, 30), (29, 30), (30, 30), (7, 100), (1, 1)])
def test_bounds_are_those_of_scipy(events: int, trials: int) -> None:
    """Two one-sided bounds of 95 % are the exact interval of 90 %."""
    exact = binomtest(events, trials).proportion_ci(0.90, "exact")
    rate = Rate(events, trials)
    assert (exact.low, exact.high) == pytest.approx((rate.low, rate.high))


def test_bound_holds_in_95_of_100_studies() -> None:
    """Simulated: the upper bound of a rate of 4 % among 100 lies below it in at most 5 % of studies."""
    events = np.random.default_rng(1).binomial(100, 0.04, 4000)
    assert np.mean([Rate(int(each), 100).high < 0.04 for each in events]) <= 0.05


def test_rate_of_nothing_is_no_number() -> None:
    assert math.isnan(Rate(0, 0).share)


def test_deviation_is_pooled_about_each_groups_own_mean() -> None:
    """By hand: sums of squares 2 and 8 over 1 + 1 degrees of freedom; one value says nothing."""
    assert pooled_deviation([[0.0, 2.0], [100.0, 104.0], [7.0]]) == pytest.approx(math.sqrt((2 + 8) / 2))
    assert pooled_deviation([[1.0], []]) is None


def test_deviation_within_pairs_is_that_of_a_median() -> None:
    """Independent rounds of a normal distribution: the median of n has a standard error of 1.25 s / sqrt(n), on each side."""
    generator, rounds, deviation = np.random.default_rng(2), 60, 0.02
    pairs = [
        pair(
            base_rounds_s=tuple(np.exp(generator.normal(0, deviation, rounds))),
            head_rounds_s=tuple(np.exp(generator.normal(0, deviation, rounds))),
        )
        for _ in range(100)
    ]
    found = within_pairs(pairs)

    assert found == pytest.approx(math.sqrt(2) * 1.2533 * deviation / math.sqrt(rounds), rel=0.1)
    assert within_pairs([]) is None


def test_deviation_within_pairs_leaves_out_what_hits_both_sides() -> None:
    """A neighbour that slows both turns of a round alike is no noise of the ratio."""
    rounds = tuple(random.Random(3).uniform(0.01, 0.02) for _ in range(30))
    assert within_pairs([pair(base_rounds_s=rounds, head_rounds_s=rounds)]) == pytest.approx(0)


def test_gates_of_a_kind_are_counted_and_timed() -> None:
    faster = gate("same", [-0.05, -0.051] * 3, took_s=30.0)
    suspect = gate("same", [0.04, 0.05] * 3, [0.05, 0.051] * 5 + [0.05], took_s=50.0)
    found = summarize(SAME, [gate(), faster, suspect, errored(), gate("slower_3")])

    assert {"PASS": 2, "REGRESSION": 1, "ERROR": 1} == found.verdicts
    assert (4, 1, 3) == (found.held, found.faster, found.by_screen)
    assert (1, 4) == ((alarms := found.rate(Verdict.REGRESSION)).events, alarms.trials)
    assert found.gate_s is not None
    assert found.screened_gate_s is not None
    assert (25.0, 50.0, 30.0) == (found.gate_s.median, found.gate_s.largest, found.screened_gate_s.largest)
    assert found.slowdown == pytest.approx(0.0)


def test_kind_without_gates_has_no_figures() -> None:
    found = summarize(SAME, [])
    assert (0, None, None, None, None) == (found.held, found.slowdown, found.deviation, found.within, found.gate_s)


def test_work_is_found_again_in_the_slowdown() -> None:
    """Simulated gates of 3 % and 1 % of spread."""
    generator = random.Random(4)
    found = summarize(SLOWER_3, [drawn_gate(generator, "slower_3", math.log1p(0.03), 0.01) for _ in range(60)])

    assert found.slowdown == pytest.approx(0.03, abs=0.002)
    assert found.deviation == pytest.approx(0.0105, rel=0.1)
    assert found.verdicts["REGRESSION"] >= 55


def judgements(*gates: Gate) -> dict[str, str]:
    found = {kind.name: summarize(kind, gates) for kind in KINDS}
    return {target.promise: target.judgement for target in targets(found)}


def test_targets_without_gates_are_open() -> None:
    assert {"no gates yet"} == set(judgements().values())


def test_small_counts_meet_a_target_and_do_not_show_it() -> None:
    found = judgements(*[gate()] * 100)
    assert "met" == found["no change, idle: gates that call a regression"]
    assert "shown" == found["no change, idle: longest gate that the screen decided"]
    assert "no gates yet" == found["3 % more work: gates that call a regression"]


def test_missed_targets_are_called_so() -> None:
    """A false alarm in a hundred is what is promised, two are not; a wrong pass is one too many; 76 s are too long."""
    alarm = gate("same", [0.04, 0.05] * 3, [0.05, 0.051] * 5 + [0.05])
    assert "met" == judgements(*[gate()] * 99, alarm)["no change, idle: gates that call a regression"]
    found = judgements(*[gate(took_s=76.0)] * 98, alarm, alarm, gate("slower_5"), *[gate("slower_3")] * 2)

    assert "missed" == found["no change, idle: gates that call a regression"]
    assert "missed" == found["no change, idle: longest gate that the screen decided"]
    assert "missed" == found["5 % more work: gates that pass"]
    assert "missed" == found["3 % more work: gates that call a regression"]


@pytest.mark.parametrize(
    ("rate", "expected"), [(Rate(0, 298), "met"), (Rate(0, 299), "shown"), (Rate(3, 300), "met"), (Rate(4, 300), "missed")]
)
def test_rate_is_shown_by_its_bound(rate: Rate, expected: str) -> None:
    """Below 1 %: 299 without one are what it takes."""
    assert expected == Target(promise="", rate=rate, at_most=0.01).judgement
