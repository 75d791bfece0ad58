"""The gate's decisions: from the slowdowns of each benchmark's pairs to a verdict for each and for all. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from reports.gate.builds import over_builds
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
BUILDS_DIFFER = "builds of equal code differ by"
_WORST_FIRST = (Verdict.ERROR, Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """When to call what. `alpha` holds for a whole gate; `tolerated` and `least_effect` are slowdowns, 0.03 = 3 % more time.

    `looks` are the shares of alpha that each look at the confirming pairs spends: the first, and those of a gate that is started again
    because it could not tell. The screen is looked at after `screen_pairs`, and, where both sides have the same artifact, after
    `early_pairs` too (0: not); that look may spend `early_share` of alpha on passing by mistake, the other one the rest. Where sides have
    artifacts of their own, `screen_builds` of each side take turns over the screen, `confirm_builds` over the confirmation and
    `further_builds` more at each further look, and `control_pairs` are those of base against a second build of base.
    `alike` is the level at which pairs that are neighbours in time count as alike, so that they are no sample to judge by.
    """

    alpha: float = 0.01
    looks: tuple[float, ...] = (0.8, 0.15, 0.05)
    early_pairs: int = 4
    early_share: float = 0.2
    screen_pairs: int = 6
    control_pairs: int = 6
    confirm_pairs: int = 11
    screen_builds: int = 2
    confirm_builds: int = 4
    further_builds: int = 2
    tolerated: float = 0.03
    least_effect: float = 0.02
    alike: float = 0.01

    def alpha_of(self, look: int) -> float:
        """Return the level of a regression at this look, 1 for the first."""
        return self.alpha * self.looks[look - 1]

    def builds_of(self, look: int) -> int:
        """Return how many builds of each side a suspect has at this look, 1 for the first."""
        return self.confirm_builds + (look - 1) * self.further_builds

    def screen_looks(self, *, has_own_builds: bool) -> dict[int, float]:
        """Return after how many pairs the screen is looked at, and the level of the bound that a pass has to be below then.

        Few pairs of few builds would be too alike to tell early.
        """
        if has_own_builds or not 0 < self.early_pairs < self.screen_pairs:
            return {self.screen_pairs: self.alpha}
        early = self.early_share * self.alpha
        return {self.early_pairs: early, self.screen_pairs: self.alpha - early}

    def bound_of(self, look: int) -> float:
        """Return the level of the bound that a pass has to be below: further looks may add little to the first one's error."""
        return self.alpha if look == 1 else self.alpha_of(look)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The slowdowns of one benchmark's pairs, in the order they were measured.

    Where the sides have artifacts of their own (`has_own_builds`), `control` are those of base against a second build of base, which two
    `control_builds` says (the first two where it says nothing), and `base_builds` and `head_builds` say by which builds each confirming
    pair is. No further pair comes where a side `has_failed`.
    """

    screen: tuple[float, ...]
    confirm: tuple[float, ...] = ()
    control: tuple[float, ...] = ()
    base_builds: tuple[int, ...] = ()
    head_builds: tuple[int, ...] = ()
    control_builds: tuple[tuple[int, int], ...] = ()
    has_own_builds: bool = False
    has_failed: bool = False

    def first(self, confirming: int) -> "Sample":
        """Return the sample as it was after so many confirming pairs."""
        return replace(
            self, confirm=self.confirm[:confirming], base_builds=self.base_builds[:confirming], head_builds=self.head_builds[:confirming]
        )

    @property
    def tested(self) -> tuple[float, float | None]:
        """The one-sided p value that head is slower, and the standard deviation between builds of equal code; None where none differ."""
        if not self.has_own_builds or len({*self.base_builds}) + len({*self.head_builds}) < 3:
            return t_test(self.confirm), None
        found = over_builds(self.confirm, self.base_builds, self.head_builds, self.control, self.control_builds or None)
        return float(found.p_value), float(found.spread)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One benchmark's verdict. Slowdowns are ratios of times minus 1; `low` and `high` are bounds of 1 - alpha each.

    `p_value`, `p_holm` and `p_sign_flip` are of the confirming pairs; None where there were none, or too few. `look` says how often those
    were looked at, `significance` is the level of the last look. `lag_1` is the correlation of
    neighbouring pairs, within the screen and within the confirmation, and `p_lag_1` its one-sided p value; None for fewer than three pairs.
    `build_spread` is the standard deviation between builds of equal code, None where both sides have the same artifact.
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
    look: int = 0
    significance: float | None = None
    build_spread: float | None = None


def passes(slowdowns: Sequence[float], rules: Rules, look: int = 1) -> bool:
    """Whether the upper bound of the slowdown is below what is tolerated, at a look at the confirming pairs."""
    return _high(slowdowns, rules.bound_of(look)) < rules.tolerated


def _high(slowdowns: Sequence[float], level: float) -> float:
    return as_ratio(interval(slowdowns, 1 - level).high)


def passed_after(sample: Sample, rules: Rules) -> int | None:
    """Return after how many pairs the screen passed, None where it did not or has not yet."""
    looks = rules.screen_looks(has_own_builds=sample.has_own_builds)
    due = (count for count in looks if len(sample.screen) >= count)
    return next((count for count in due if _high(sample.screen[:count], looks[count]) < rules.tolerated), None)


def is_screened(sample: Sample, rules: Rules) -> bool:
    """Whether the screen has passed, or had its last look."""
    return len(sample.screen) >= rules.screen_pairs or passed_after(sample, rules) is not None


def is_suspect(sample: Sample, rules: Rules) -> bool:
    """Whether the screen is complete and did not pass."""
    return len(sample.screen) >= rules.screen_pairs and passed_after(sample, rules) is None


def _may_be_suspect(sample: Sample, rules: Rules) -> bool:
    """Whether the screen did not pass, or has not yet and goes on."""
    return is_suspect(sample, rules) or not (sample.has_failed or is_screened(sample, rules))


def looks_taken(sample: Sample, rules: Rules) -> int:
    """Return how many looks at the confirming pairs there are pairs for; none before the control is complete."""
    if not is_suspect(sample, rules) or (sample.has_own_builds and len(sample.control) < rules.control_pairs):
        return 0
    return min(len(sample.confirm) // rules.confirm_pairs, len(rules.looks))


def is_settled(sample: Sample, rules: Rules, looks: int = 1) -> bool:
    """Whether no further pair is due for so many looks."""
    return is_screened(sample, rules) and (not is_suspect(sample, rules) or looks_taken(sample, rules) >= looks)


def judge(samples: Sequence[Sample], rules: Rules, own: Sequence[Rules] | None = None) -> list[Judged]:
    """Return each benchmark's verdict. Holm's procedure counts every suspect, confirmed in full or not, at every look.

    It counts what is not screened yet, too, which a gate that goes on may find to be suspect: else a regression could go away then.
    A benchmark is looked at again only where the look before could not tell. `own` are the rules of each benchmark where they differ, but
    for alpha and its looks, which are the gate's.
    """
    each = [rules] * len(samples) if own is None else own
    suspects = [place for place, sample in enumerate(samples) if _may_be_suspect(sample, each[place])]
    confirmed: dict[int, Judged] = {}
    for look in range(1, len(rules.looks) + 1):
        due = {
            place: samples[place].first(look * each[place].confirm_pairs)
            for place in suspects
            if looks_taken(samples[place], each[place]) >= look
            and (place not in confirmed or confirmed[place].verdict is Verdict.INCONCLUSIVE)
        }
        p_values = [due[place].tested[0] if place in due else 1.0 for place in suspects]
        adjusted = dict(zip(suspects, zip(p_values, holm(p_values), strict=True), strict=True))
        for place, sample in due.items():
            confirmed[place] = _order_in_time(_confirmed(sample, *adjusted[place], each[place], look), sample, each[place])
    judged = []
    for place, (sample, its) in enumerate(zip(samples, each, strict=True)):
        found = confirmed.get(place)
        found = _order_in_time(_unconfirmed(sample, its), sample, its) if found is None else _with_further(found, sample, its)
        judged.append(replace(found, is_faster=_is_faster(found, sample, len(samples), its)))
    return judged


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the gate's verdict: the worst of its benchmarks'; what is acknowledged passes; nothing compared is an error, never a pass."""
    seen = {Verdict.PASS if verdict is Verdict.ACKNOWLEDGED else verdict for verdict in verdicts}
    return next((verdict for verdict in _WORST_FIRST if verdict in seen), Verdict.ERROR)


def _unconfirmed(sample: Sample, rules: Rules) -> Judged:
    if not is_screened(sample, rules):
        why = f"{len(sample.screen)} of {rules.screen_pairs} screening pairs"
        if not sample.screen:
            return Judged(verdict=Verdict.INCONCLUSIVE, why=why)
        return _describe(sample.screen, Verdict.INCONCLUSIVE, why, rules)
    if (passed := passed_after(sample, rules)) is not None:
        level = rules.screen_looks(has_own_builds=sample.has_own_builds)[passed]
        return _describe(sample.screen, Verdict.PASS, _bound(sample.screen[:passed], level), rules)
    control = f"{len(sample.control)} of {rules.control_pairs} pairs of two builds of base, " if sample.has_own_builds else ""
    why = f"suspect after the screen, {control}{len(sample.confirm)} of {rules.confirm_pairs} confirming pairs"
    return _describe(sample.screen, Verdict.INCONCLUSIVE, why, rules)


def _with_further(judged: Judged, sample: Sample, rules: Rules) -> Judged:
    """Say how many pairs towards the next look there are."""
    further = len(sample.confirm) - judged.look * rules.confirm_pairs
    if judged.verdict is not Verdict.INCONCLUSIVE or further <= 0 or judged.look == len(rules.looks):
        return judged
    return replace(judged, why=f"{judged.why}; {further} of {rules.confirm_pairs} further pairs")


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


def _confirmed(sample: Sample, p_value: float, p_holm: float, rules: Rules, look: int) -> Judged:
    slowdowns, alpha = sample.confirm, rules.alpha_of(look)
    p_sign_flip = sign_flip_test(slowdowns)
    median = as_ratio(statistics.median(slowdowns))
    build_spread = sample.tested[1]
    is_significant = p_holm <= alpha
    if is_significant and p_sign_flip <= rules.alpha and median >= rules.least_effect:
        verdict, why = Verdict.REGRESSION, f"{100 * median:.1f} % slower in the median of {len(slowdowns)} fresh pairs"
    elif passes(slowdowns, rules, look):
        verdict, why = Verdict.PASS, _bound(slowdowns, rules.bound_of(look))
    elif build_spread and not is_significant and median >= rules.least_effect and t_test(slowdowns) <= alpha:
        verdict = Verdict.INCONCLUSIVE
        why = f"slower by {100 * median:.1f} % in the median, but {BUILDS_DIFFER} {100 * build_spread:.1f} %"
        if look < len(rules.looks):
            why += f"; started again with the same --out, the gate brings {rules.further_builds} more of each side"
    else:
        verdict, why = Verdict.INCONCLUSIVE, _undecided(is_significant, p_sign_flip, median, rules)
    found = _describe(slowdowns, verdict, why, rules)
    found = replace(found, p_value=p_value, p_holm=p_holm, p_sign_flip=p_sign_flip)
    return replace(found, look=look, significance=alpha, build_spread=build_spread)


def _describe(slowdowns: Sequence[float], verdict: Verdict, why: str, rules: Rules) -> Judged:
    bounds, median = interval(slowdowns, 1 - rules.alpha), as_ratio(statistics.median(slowdowns))
    is_bounded = len(slowdowns) > 1
    return Judged(
        verdict=verdict,
        why=why,
        slowdown=as_ratio(statistics.fmean(slowdowns)),
        low=as_ratio(bounds.low) if is_bounded else None,
        high=as_ratio(bounds.high) if is_bounded else None,
        median_slowdown=median,
        spread=statistics.stdev(slowdowns) if is_bounded else None,
    )


def _is_faster(judged: Judged, sample: Sample, benchmarks: int, rules: Rules) -> bool:
    """Whether a pass is an improvement: by the least effect, and significant among all benchmarks of the gate (Bonferroni)."""
    if judged.verdict is not Verdict.PASS or judged.median_slowdown is None:
        return False
    high = interval(sample.confirm or sample.screen, 1 - rules.alpha / benchmarks).high
    return high < 0 and judged.median_slowdown <= -rules.least_effect


def _bound(slowdowns: Sequence[float], level: float) -> str:
    high = _high(slowdowns, level)
    shown = f"at most {100 * high:.1f} % slower" if high >= 0 else f"at least {-100 * high:.1f} % faster"
    return f"{shown} ({100 * (1 - level):g} % bound over {len(slowdowns)} pairs)"


def _undecided(is_significant: bool, p_sign_flip: float, median: float, rules: Rules) -> str:
    if is_significant and p_sign_flip > rules.alpha:
        return "the t test calls it slower and the sign-flip test does not: a few pairs stand out"
    if is_significant:
        return f"slower, but by {100 * median:.1f} % in the median: less than {100 * rules.least_effect:g} %, not surely below " + (
            f"{100 * rules.tolerated:g} %"
        )
    return f"the pairs differ too much to tell {100 * rules.tolerated:g} % from nothing"
