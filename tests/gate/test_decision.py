"""When the gate calls what: by hand, at the limits, and how the verdicts add up."""

import itertools
import math

import pytest

from reports.gate.decision import (
    Judged,
    Rules,
    Sample,
    Verdict,
    is_settled,
    is_suspect,
    judge,
    looks_taken,
    overall,
    passes,
)
from tests.gate.pairs import percent

RULES = Rules()
CALM = percent(-0.5, 0.5, -0.3, 0.3, -0.1, 0.1)
SUSPECT = percent(4, 5, 6, 5, 4, 6)
SLOWER = percent(4.5, 5.5, 5, 5.2, 4.8, 5.1, 4.9, 5, 5, 4.7, 5.3)
WILD = percent(-20, 25, -15, 10, 30, -5, 2, -25, 15, 20, -10)
NOTHING = percent(-0.5, 0.5, -0.3, 0.3, -0.1, 0.1, 0, 0.2, -0.2, 0.4, -0.4)


def judged(screen: tuple[float, ...], confirm: tuple[float, ...] = ()) -> Judged:
    """One benchmark's verdict, alone."""
    [found] = judge([Sample(screen=screen, confirm=confirm)], RULES)
    return found


def spread(mean: float, deviation: float, count: int) -> tuple[float, ...]:
    """Slowdowns with exactly this mean and this standard deviation, symmetric, neighbours on different sides of it."""
    half = count // 2
    step = deviation * math.sqrt((count - 1) / (2 * half))
    return (*[mean - step, mean + step] * half, *[mean] * (count % 2))


def test_screen_passes_by_its_bound() -> None:
    """mean + t(0.99, 5) * s / sqrt(6) = 1.3737 s: with mean 0 and s = 2.1 % of log it is 2.88 %, with 2.2 % it is 3.02 %."""
    assert passes(spread(0.0, 0.0207, 6), RULES)  # 3.36493 / sqrt(6) * 0.0207 = 0.028436 -> 2.884 %
    assert not passes(spread(0.0, 0.0216, 6), RULES)  # 0.029672 -> 3.012 %
    assert not passes(spread(0.002, 0.0207, 6), RULES)


def test_calm_screen_is_a_pass_with_its_bound() -> None:
    found = judged(CALM)

    assert Verdict.PASS is found.verdict
    assert "at most 1.9 % slower (99.8 % bound over 4 pairs)" == found.why
    assert found.slowdown == pytest.approx(0, abs=1e-4)
    assert found.p_value is None
    assert not found.is_faster


@pytest.mark.parametrize("count", range(6))
def test_incomplete_screen_decides_nothing(count: int) -> None:
    """Two looks, at four and at six pairs: others are no verdict, however clear."""
    for slowdowns in (SUSPECT, CALM) if count < RULES.early_pairs else (SUSPECT,):
        found = judged(slowdowns[:count])
        assert Verdict.INCONCLUSIVE is found.verdict
        assert f"{count} of 6 screening pairs" == found.why


def test_screen_passes_early_unless_builds_differ() -> None:
    """What passed after four pairs stays passed; with few builds there is one look, at the full level."""
    assert Verdict.PASS is judged(CALM[:4]).verdict is judged((*CALM[:4], *SUSPECT[:2])).verdict
    assert Verdict.INCONCLUSIVE is judged(percent(-2, 2, -2, 2)).verdict
    [few] = judge([Sample(screen=CALM[:4], has_own_builds=True)], RULES)
    [all_pairs] = judge([Sample(screen=CALM, has_own_builds=True)], RULES)
    assert (Verdict.INCONCLUSIVE, Verdict.PASS) == (few.verdict, all_pairs.verdict)
    assert "at most 0.5 % slower (99 % bound over 6 pairs)" == all_pairs.why


@pytest.mark.parametrize("count", range(11))
def test_incomplete_confirmation_decides_nothing(count: int) -> None:
    """A suspect is neither a regression nor a pass before all its fresh pairs."""
    for slowdowns in (SLOWER, NOTHING):
        found = judged(SUSPECT, slowdowns[:count])
        assert Verdict.INCONCLUSIVE is found.verdict
        assert f"suspect after the screen, {count} of 11 confirming pairs" == found.why


def test_confirmed_slowdown_is_a_regression() -> None:
    found = judged(SUSPECT, SLOWER)

    assert Verdict.REGRESSION is found.verdict
    assert "5.0 % slower in the median of 11 fresh pairs" == found.why
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.p_sign_flip == pytest.approx(1 / 2048)
    assert found.low is not None
    assert 0.045 < found.low < 0.05


def test_suspect_is_cleared_by_fresh_pairs() -> None:
    """The screen's pairs are not used again: a suspect whose fresh pairs show nothing passes."""
    found = judged(SUSPECT, NOTHING)

    assert Verdict.PASS is found.verdict
    assert found.slowdown == pytest.approx(0, abs=1e-3)


def test_noise_is_inconclusive() -> None:
    found = judged(WILD[:6], WILD)

    assert Verdict.INCONCLUSIVE is found.verdict
    assert "the pairs differ too much to tell 3 % from nothing" == found.why


def test_small_sure_slowdown_is_no_regression() -> None:
    """1.5 % is below the least effect; it is surely below 3 % and passes."""
    assert Verdict.PASS is judged(SUSPECT, spread(math.log(1.015), 0.004, 11)).verdict


def test_sure_slowdown_below_the_least_effect_may_be_undecided() -> None:
    """Significant, 1.9 % in the median, but not surely below 3 %."""
    found = judged(SUSPECT, spread(math.log(1.019), 0.014, 11))

    assert Verdict.INCONCLUSIVE is found.verdict
    assert "slower, but by 1.9 % in the median" in found.why


@pytest.mark.parametrize(("median", "expected"), [(2.01, Verdict.REGRESSION), (1.99, Verdict.PASS)])
def test_least_effect_is_two_percent_of_the_median(median: float, expected: Verdict) -> None:
    """Where a regression's conditions hold it is one, also where the bound is below 3 %."""
    assert expected is judged(SUSPECT, spread(math.log1p(median / 100), 0.002, 11)).verdict


def test_holm_counts_every_suspect() -> None:
    """p = 0.004 is significant alone and with one other suspect, not among three; unconfirmed suspects count."""
    confirm = spread(math.log(1.03), math.log(1.03) * math.sqrt(11) / 3.317, 11)  # t = 3.317 at 10 degrees: p = 0.0039
    verdicts = []
    for others in range(3):
        suspects = [Sample(screen=SUSPECT, confirm=confirm), *[Sample(screen=SUSPECT)] * others]
        verdicts.append(judge(suspects, RULES)[0].verdict)
    assert [Verdict.REGRESSION, Verdict.REGRESSION, Verdict.INCONCLUSIVE] == verdicts


def test_holm_counts_what_is_not_screened_yet_so_that_a_regression_stays() -> None:
    """A gate whose budget ended goes on: what it screens then may be suspect, and what it confirmed before must not count for less."""
    confirm = spread(math.log(1.03), math.log(1.03) * math.sqrt(11) / 3.317, 11)  # p = 0.0039, as above
    found = Sample(screen=SUSPECT, confirm=confirm)
    ended = [judge([found, *[Sample(screen=CALM[:2])] * others], RULES)[0].verdict for others in (1, 2)]
    gone_on = [judge([found, *[Sample(screen=SUSPECT)] * others], RULES)[0].verdict for others in (1, 2)]

    assert [Verdict.REGRESSION, Verdict.INCONCLUSIVE] == ended == gone_on
    assert Verdict.REGRESSION is judge([found, *[Sample(screen=CALM[:2], has_failed=True)] * 2], RULES)[0].verdict  # no pair will follow


def test_holm_leaves_out_what_passed_the_screen() -> None:
    """Benchmarks that passed are no hypotheses of the confirmation."""
    confirm = spread(math.log(1.03), math.log(1.03) * math.sqrt(11) / 3.317, 11)
    samples = [Sample(screen=SUSPECT, confirm=confirm), *[Sample(screen=CALM)] * 20]

    assert Verdict.REGRESSION is judge(samples, RULES)[0].verdict


def test_twenty_four_regressions_are_all_found() -> None:
    """The exact test cannot get below 1/2048, so it is not adjusted: else a slower build of everything would go unseen."""
    samples = [Sample(screen=SUSPECT, confirm=SLOWER)] * 24

    assert {Verdict.REGRESSION} == {found.verdict for found in judge(samples, RULES)}


def test_sign_flip_test_can_veto() -> None:
    """Where symmetry gives no significance the t test alone does not make a regression."""
    rules = Rules(alpha=0.01, confirm_pairs=4)
    [found] = judge([Sample(screen=SUSPECT, confirm=SLOWER[:4])], rules)  # 1/16 is the least of four pairs

    assert Verdict.INCONCLUSIVE is found.verdict
    assert "the sign-flip test does not" in found.why


def test_improvement_is_reported() -> None:
    found = judged(percent(-5, -5.5, -4.5, -5.2, -4.8, -5))

    assert Verdict.PASS is found.verdict
    assert found.is_faster
    assert "at least 3" in found.why


def test_improvement_is_significant_among_all_benchmarks() -> None:
    """At 99 % each, a dozen benchmarks without a change would show an improvement in one gate of nine."""
    sample = Sample(screen=percent(-2.2, 0.1, -2.4, -4.6, -2.1, -3.5))
    calm = [Sample(screen=CALM)] * 11

    assert judge([sample], RULES)[0].is_faster
    assert not judge([sample, *calm], RULES)[0].is_faster
    assert judge([Sample(screen=percent(-5, -5.5, -4.5, -5.2, -4.8, -5)), *calm], RULES)[0].is_faster


def test_small_improvement_is_a_plain_pass() -> None:
    assert not judged(percent(-1, -1.1, -0.9, -1, -1, -1)).is_faster


def test_suspects_and_what_is_due() -> None:
    assert not is_suspect(Sample(screen=SUSPECT[:5]), RULES)
    assert is_suspect(Sample(screen=SUSPECT), RULES)
    assert not is_settled(Sample(screen=SUSPECT), RULES)
    assert is_settled(Sample(screen=SUSPECT, confirm=SLOWER), RULES)
    assert is_settled(Sample(screen=CALM), RULES)


def test_order_of_verdicts() -> None:
    """ERROR > REGRESSION > INCONCLUSIVE > PASS, for every set of verdicts; new and skipped alone are nothing compared."""
    order = (Verdict.ERROR, Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.PASS)
    for count in range(1, 5):
        for seen in itertools.permutations((*order, Verdict.NEW, Verdict.SKIPPED), count):
            ranks = [order.index(verdict) for verdict in seen if verdict in order]
            assert (order[min(ranks)] if ranks else Verdict.ERROR) is overall(seen)
    assert Verdict.ERROR is overall([])


def test_pairs_that_follow_a_drift_decide_nothing() -> None:
    """The host got slower for one side while the gate ran: the same slowdowns in another order are a regression."""
    slowdowns = percent(*(5 + 0.4 * place for place in range(17)))
    [drifting] = judge([Sample(screen=slowdowns[:6], confirm=slowdowns[6:])], Rules())
    mixed = tuple(slowdowns[place * 7 % 17] for place in range(17))
    [shuffled] = judge([Sample(screen=mixed[:6], confirm=mixed[6:])], Rules())

    assert (Verdict.INCONCLUSIVE, Verdict.REGRESSION) == (drifting.verdict, shuffled.verdict)
    assert "pairs that follow each other are alike (lag-1 correlation +0.6" in drifting.why
    assert drifting.p_lag_1 is not None
    assert drifting.p_lag_1 < 0.01


UNSURE = percent(9, -3, 10, -4, 8, -2, 9, -5, 7, 1, 3)  # 3 % slower on average, and wild
STILL = percent(3.1, 2.9, 3.2, 3, 3.1, 2.8, 3, 3.2, 2.9, 3.1, 3)


def test_what_could_not_be_told_is_looked_at_again_with_less_alpha() -> None:
    """The second look takes 22 pairs at 0.15 %; between the looks nothing is decided."""
    first, between = judged(SUSPECT, UNSURE), judged(SUSPECT, UNSURE + STILL[:4])
    second = judged(SUSPECT, UNSURE + STILL)

    assert (Verdict.INCONCLUSIVE, 1, 0.008) == (first.verdict, first.look, first.significance)
    assert (Verdict.INCONCLUSIVE, 1) == (between.verdict, between.look)
    assert between.why.endswith("; 4 of 11 further pairs")
    assert 2 == second.look
    assert second.significance == pytest.approx(0.0015)


def test_verdict_of_a_look_stays_whatever_follows() -> None:
    """A regression is no pass by more pairs, and a pass no regression: nobody starts again until it suits."""
    assert (Verdict.REGRESSION, 1) == (judged(SUSPECT, SLOWER + NOTHING).verdict, judged(SUSPECT, SLOWER + NOTHING).look)
    assert (Verdict.PASS, 1) == (judged(SUSPECT, NOTHING + SLOWER).verdict, judged(SUSPECT, NOTHING + SLOWER).look)


def test_second_look_needs_more_than_the_first() -> None:
    """p of 0.4 % is enough at the first look (0.8 %), not at the second (0.15 %)."""
    median, deviation = math.log(1.03), math.log(1.03) * math.sqrt(11) / 3.317
    first = judged(SUSPECT, spread(median, deviation, 11))
    second = judged(SUSPECT, UNSURE + UNSURE)

    assert Verdict.REGRESSION is first.verdict
    assert second.p_value is not None
    assert 0.0015 < second.p_value < 0.05
    assert Verdict.INCONCLUSIVE is second.verdict


def test_alpha_is_spent_in_three_looks_and_no_more() -> None:
    assert RULES.alpha == pytest.approx(sum(RULES.alpha_of(look) for look in (1, 2, 3)))
    assert looks_taken(Sample(screen=SUSPECT, confirm=UNSURE * 5), RULES) == len(RULES.looks) == 3


def own_builds(control: tuple[float, ...], confirm: tuple[float, ...]) -> Judged:
    base_builds, head_builds = (0, 0, 1, 1) * 2 + (0, 0, 1), (0, 1) * 5 + (0,)
    sample = Sample(screen=SUSPECT, confirm=confirm, control=control, base_builds=base_builds, head_builds=head_builds, has_own_builds=True)
    return judge([sample], RULES)[0]


def test_two_builds_of_base_that_differ_as_much_are_no_regression() -> None:
    """Head is 5 % slower in every pair, and so is base by its second build: which build it was explains it."""
    alike, other = own_builds(percent(0.1, -0.1, 0.2, -0.2, 0, 0), SLOWER), own_builds(percent(5, 5.2, 4.8, 5, 5.1, 4.9), SLOWER)

    assert Verdict.REGRESSION is alike.verdict
    assert Verdict.INCONCLUSIVE is other.verdict
    assert other.why.startswith("slower by 5.0 % in the median, but builds of equal code differ by 1.7 %; ")
    assert other.why.endswith("started again with the same --out, the gate brings 2 more of each side")
    assert other.build_spread == pytest.approx(0.0173, abs=1e-3)


def test_builds_of_head_that_differ_count_too() -> None:
    """Only one of its two builds is slower."""
    confirm = percent(10, 0, 10.2, 0.1, 9.9, -0.1, 10.1, 0, 10, 0.2, 9.8)
    assert Verdict.INCONCLUSIVE is own_builds(percent(0.1, -0.1, 0.2, -0.2, 0, 0), confirm).verdict


def test_control_comes_before_the_confirmation() -> None:
    sample = Sample(screen=SUSPECT, confirm=SLOWER, control=SLOWER[:5], head_builds=(0,) * 11, has_own_builds=True)

    assert not is_settled(sample, RULES)
    [found] = judge([sample], RULES)
    assert "suspect after the screen, 5 of 6 pairs of two builds of base, 11 of 11 confirming pairs" == found.why
