"""The gate's decisions: from the slowdowns of each benchmark's pairs to a verdict for each and for all. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from reports.gate.statistics import LEAST_FOR_LAG, as_ratio, holm, interval, lag_1, lag_1_test, sign_flip_test, t_test


class Verdict(StrEnum):
    """How one benchmark, or the whole gate, came out. `new` and `skipped` say that there was nothing to compare.

    `acknowledged` is a regression that is known and does not fail.
    """

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    REGRESSION = "REGRESSION"
    ERROR = "ERROR"
    INCONCLUSIVE = "INCONCLUSIVE"
    ACKNOWLEDGED = "acknowledged"
    NEW = "new"
    SKIPPED = "skipped"


EXIT_CODES = {Verdict.PASS: 0, Verdict.REGRESSION: 1, Verdict.ERROR: 2, Verdict.INCONCLUSIVE: 3}
_WORST_FIRST = (Verdict.ERROR, Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """When to call what. `alpha` holds for a whole gate; `tolerated` and `least_effect` are slowdowns, 0.03 = 3 % more time.

    `alike` is the level at which pairs that are neighbours in time count as alike, so that they are no sample to judge by.
    """

    alpha: float = 0.01
    screen_pairs: int = 6
    confirm_pairs: int = 11
    tolerated: float = 0.03
    least_effect: float = 0.02
    alike: float = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The slowdowns of one benchmark's pairs, in the order they were measured."""

    screen: tuple[float, ...]
    confirm: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One benchmark's verdict. Slowdowns are ratios of times minus 1; `low` and `high` are bounds of 1 - alpha each.

    `p_value`, `p_holm` and `p_sign_flip` are of the confirming pairs; None where there were none, or too few. `lag_1` is the correlation of
    neighbouring pairs, within the screen and within the confirmation, and `p_lag_1` its one-sided p value; None for fewer than three pairs.
    """

    verdict: Verdict
    why: str
    slowdown: float | None = None
    low: float | None = None
    high: float | None = None
    median_slowdown: float | None = None
    spread: float | None = None
    is_faster: bool = False
    p_value: float | None = None
    p_holm: float | None = None
    p_sign_flip: float | None = None
    lag_1: float | None = None
    p_lag_1: float | None = None


def passes(slowdowns: Sequence[float], rules: Rules) -> bool:
    """Whether the upper bound of the slowdown is below what is tolerated."""
    return as_ratio(interval(slowdowns, 1 - rules.alpha).high) < rules.tolerated


def is_screened(sample: Sample, rules: Rules) -> bool:
    """Whether the screen has had its one look."""
    return len(sample.screen) >= rules.screen_pairs


def is_suspect(sample: Sample, rules: Rules) -> bool:
    """Whether the screen is complete and did not pass."""
    return is_screened(sample, rules) and not passes(sample.screen, rules)


def is_settled(sample: Sample, rules: Rules) -> bool:
    """Whether no further pair is due."""
    return is_screened(sample, rules) and (not is_suspect(sample, rules) or len(sample.confirm) >= rules.confirm_pairs)


def judge(samples: Sequence[Sample], rules: Rules, own: Sequence[Rules] | None = None) -> list[Judged]:
    """Return each benchmark's verdict. Holm's procedure counts every suspect, confirmed in full or not.

    `own` are the rules of each benchmark where they differ, but for alpha, which is the gate's.
    """
    each = [rules] * len(samples) if own is None else own
    suspects = [place for place, sample in enumerate(samples) if is_suspect(sample, each[place])]
    p_values = [t_test(samples[place].confirm) if is_settled(samples[place], each[place]) else 1.0 for place in suspects]
    adjusted = dict(zip(suspects, zip(p_values, holm(p_values), strict=True), strict=True))
    judged = []
    for place, (sample, its) in enumerate(zip(samples, each, strict=True)):
        found = _order_in_time(_judge(sample, adjusted.get(place), its), sample, its)
        judged.append(replace(found, is_faster=_is_faster(found, sample, len(samples), its)))
    return judged


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the gate's verdict: the worst of its benchmarks'; what is acknowledged passes; nothing compared is an error, never a pass."""
    seen = {Verdict.PASS if verdict is Verdict.ACKNOWLEDGED else verdict for verdict in verdicts}
    return next((verdict for verdict in _WORST_FIRST if verdict in seen), Verdict.ERROR)


def _judge(sample: Sample, p_values: tuple[float, float] | None, rules: Rules) -> Judged:
    if not is_screened(sample, rules):
        why = f"{len(sample.screen)} of {rules.screen_pairs} screening pairs"
        return _describe(sample.screen, Verdict.INCONCLUSIVE, why, rules) if sample.screen else _unmeasured(why)
    if p_values is None:
        return _describe(sample.screen, Verdict.PASS, _bound(sample.screen, rules), rules)
    if not is_settled(sample, rules):
        why = f"suspect after the screen, {len(sample.confirm)} of {rules.confirm_pairs} confirming pairs"
        return _describe(sample.screen, Verdict.INCONCLUSIVE, why, rules)
    return _confirmed(sample.confirm, *p_values, rules)


def _order_in_time(judged: Judged, sample: Sample, rules: Rules) -> Judged:
    """Add how alike neighbouring pairs are; where they are significantly, confirming pairs decide nothing: they count for fewer."""
    if len(sample.screen) < LEAST_FOR_LAG:
        return judged
    p_lag_1 = lag_1_test(sample.screen, sample.confirm)
    judged = replace(judged, lag_1=lag_1(sample.screen, sample.confirm), p_lag_1=p_lag_1)
    if judged.p_value is None or p_lag_1 > rules.alike or judged.verdict is Verdict.INCONCLUSIVE:
        return judged
    alike = f"pairs that follow each other are alike (lag-1 correlation {judged.lag_1:+.2f}, p = {p_lag_1:.2g})"
    return replace(judged, verdict=Verdict.INCONCLUSIVE, why=f"{alike}, so they are no sample: {judged.why}")


def _confirmed(slowdowns: Sequence[float], p_value: float, p_holm: float, rules: Rules) -> Judged:
    p_sign_flip = sign_flip_test(slowdowns)
    median = as_ratio(statistics.median(slowdowns))
    is_significant = p_holm <= rules.alpha
    if is_significant and p_sign_flip <= rules.alpha and median >= rules.least_effect:
        verdict, why = Verdict.REGRESSION, f"{100 * median:.1f} % slower in the median of {len(slowdowns)} fresh pairs"
    elif passes(slowdowns, rules):
        verdict, why = Verdict.PASS, _bound(slowdowns, rules)
    else:
        verdict, why = Verdict.INCONCLUSIVE, _undecided(is_significant, p_sign_flip, median, rules)
    return _describe(slowdowns, verdict, why, rules, p_value=p_value, p_holm=p_holm, p_sign_flip=p_sign_flip)


def _describe(
    slowdowns: Sequence[float],
    verdict: Verdict,
    why: str,
    rules: Rules,
    *,
    p_value: float | None = None,
    p_holm: float | None = None,
    p_sign_flip: float | None = None,
) -> Judged:
    bounds, median = interval(slowdowns, 1 - rules.alpha), as_ratio(statistics.median(slowdowns))
    is_bounded = len(slowdowns) > 1
    return Judged(
        verdict=verdict,
        why=why,
        slowdown=as_ratio(bounds.mean),
        low=as_ratio(bounds.low) if is_bounded else None,
        high=as_ratio(bounds.high) if is_bounded else None,
        median_slowdown=median,
        spread=statistics.stdev(slowdowns) if is_bounded else None,
        p_value=p_value,
        p_holm=p_holm,
        p_sign_flip=p_sign_flip,
    )


def _is_faster(judged: Judged, sample: Sample, benchmarks: int, rules: Rules) -> bool:
    """Whether a pass is an improvement: by the least effect, and significant among all benchmarks of the gate (Bonferroni)."""
    if judged.verdict is not Verdict.PASS or judged.median_slowdown is None:
        return False
    high = interval(sample.confirm or sample.screen, 1 - rules.alpha / benchmarks).high
    return high < 0 and judged.median_slowdown <= -rules.least_effect


def _unmeasured(why: str) -> Judged:
    return Judged(verdict=Verdict.INCONCLUSIVE, why=why)


def _bound(slowdowns: Sequence[float], rules: Rules) -> str:
    high = as_ratio(interval(slowdowns, 1 - rules.alpha).high)
    shown = f"at most {100 * high:.1f} % slower" if high >= 0 else f"at least {-100 * high:.1f} % faster"
    return f"{shown} ({100 * (1 - rules.alpha):g} % bound over {len(slowdowns)} pairs)"


def _undecided(is_significant: bool, p_sign_flip: float, median: float, rules: Rules) -> str:
    if is_significant and p_sign_flip > rules.alpha:
        return "the t test calls it slower and the sign-flip test does not: a few pairs stand out"
    if is_significant:
        return f"slower, but by {100 * median:.1f} % in the median: less than {100 * rules.least_effect:g} %, not surely below " + (
            f"{100 * rules.tolerated:g} %"
        )
    return f"the pairs differ too much to tell {100 * rules.tolerated:g} % from nothing"
