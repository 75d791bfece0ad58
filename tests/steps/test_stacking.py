"""Which steps stay in the recipes of later ones: by what is known when a step has been measured, and by nothing else."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from fixtures.steps.optimizations import catalogue
from fixtures.steps.stacking import ALL, decide, expected_to_be_left_out, findings, share_of_f32
from reports.saved.record import Calibration, Decision, Measurement, Peak
from reports.statistics import DISTURBED, FASTER, NO_EFFECT, SLOWER
from reports.text.figures import slower_than
from tests.reports.saved_runs import measurement

STEPS = catalogue()
OVER_S = 0.1


def record(step: str, ratios: Sequence[float], *, over: str = "channels_last", **fields: Any) -> Measurement:
    """The record of a step with as many pairs as `ratios` of throughput to its predecessor's; rounds spread by 0.2 %."""
    pairs = []
    for ratio in ratios:
        over_s = [OVER_S * (1 + 0.001 * (number % 3 - 1)) for number in range(9)]
        own_s = [each / ratio * (1 + 0.001 * (number % 2)) for number, each in enumerate(over_s)]
        pairs.append({"own_median_s": OVER_S / ratio, "over_median_s": OVER_S, "own_rounds_s": own_s, "over_rounds_s": over_s})
    medians: dict[str, Any] = {"medians_s": [pair["own_median_s"] for pair in pairs], "over_medians_s": [OVER_S] * len(pairs)}
    recipe: dict[str, Any] = {"recipe": ["baseline", over, step]}
    return measurement(step, over=over, over_samples_per_round=8, pairs=pairs, **medians, **(recipe | fields))


def steady_run(count: int = 6) -> list[Measurement]:
    """Records of as many steps with three pairs each, alike to 0.3 %: they tell that pairs of this run hardly spread."""
    return [record(f"batch_{2 ** (number + 1)}", (1.2, 1.203, 1.197), over="baseline") for number in range(count)]


def decision_of(own: Measurement, earlier: Sequence[Measurement] = (), **options: Any) -> Decision:
    decision = decide(own, earlier, **options)
    assert decision is not None
    return decision


def decided(own: Measurement, earlier: Sequence[Measurement] = (), **options: Any) -> tuple[bool, str]:
    decision = decision_of(own, earlier, **options)
    return decision.kept, decision.gain.verdict


def test_a_step_that_is_resolved_as_slower_is_left_out() -> None:
    """Half as fast in one pair: far beyond the prior of 7 %, which stands in for a spread that nobody has seen yet."""
    decision = decision_of(record("bf16_autocast", (0.56,)))

    assert (False, SLOWER) == (decision.kept, decision.gain.verdict)
    assert "44 % slower than channels_last" == slower_than(decision.gain)


@pytest.mark.parametrize(
    ("ratio", "disturbed", "expected"),
    [(0.9, False, "not resolved"), (0.3, True, DISTURBED), (1.8, False, FASTER)],
    ids=["10 % slower in one pair may be chance", "what others disturbed shows nothing, however slow", "faster"],
)
def test_a_step_that_is_not_resolved_as_slower_is_kept(ratio: float, disturbed: bool, expected: str) -> None:
    kept, verdict = decided(record("bf16_autocast", (ratio,), disturbed=disturbed))

    assert kept
    assert verdict.startswith(expected)


def test_a_step_without_measurable_effect_is_kept() -> None:
    """Wholly below 1 and within 2 % of it."""
    decision = decision_of(record("tcmalloc", (0.99, 0.9905, 0.9895), over="bf16_autocast"), steady_run())

    assert decision.gain.high is not None
    assert decision.gain.high < 1
    assert (True, NO_EFFECT) == (decision.kept, decision.gain.verdict)


def test_the_pairs_of_the_run_so_far_tell_how_far_a_pair_can_be_off() -> None:
    """5 % slower in one pair: not resolved by the prior, resolved in a run whose pairs agree to 0.3 %, and not by disturbed ones."""
    own = record("bf16_autocast", (0.95,))

    assert decided(own)[0]
    assert (False, SLOWER) == decided(own, steady_run())
    assert decided(own, [replace(each, disturbed=True) for each in steady_run()])[0]


def test_records_that_come_later_change_no_decision() -> None:
    """The decision is a function of the record and of those before it: taken twice it is the same."""
    own, earlier = record("bf16_autocast", (0.95,)), steady_run()

    assert decide(own, earlier) == decide(own, list(earlier))
    assert decide(own, [*earlier, measurement("baseline")]) == decide(own, earlier)


def test_all_are_kept_where_that_is_asked_for() -> None:
    """The verdict is recorded all the same."""
    assert (True, SLOWER) == decided(record("bf16_autocast", (0.56,)), stack=ALL)


def test_without_a_gain_of_its_own_there_is_nothing_to_decide() -> None:
    """A quick run measures a layout over the baseline: a loss may be that of the batch size."""
    several = record("channels_last", (0.5,), over="baseline", recipe=["baseline", "batch_8", "channels_last"])

    assert decide(measurement("channels_last"), []) is None
    assert decide(several, []) is None


def calibration(**rates: float) -> Calibration:
    peaks = tuple(Peak(precision=name, flops_per_second=rate) for name, rate in rates.items())
    return Calibration(threads=2, taken_at=datetime.now(UTC), peaks=peaks)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (calibration(f32=100e9, bf16=52e9), "; bf16 products run at 52% of f32's rate on this machine"),
        (calibration(f32=100e9, bf16=190e9), None),
        (calibration(f32=100e9), None),
        (None, None),
    ],
    ids=["slower products", "faster products", "no bf16", "not calibrated"],
)
def test_the_note_says_why_bf16_lost_where_the_peaks_tell_it(found: Calibration | None, said: str | None) -> None:
    """And nothing of products where they are faster: then something else made the step slower."""
    [told] = findings(decision_of(record("bf16_autocast", (0.56,))), STEPS["bf16_autocast"], {"bf16": 0.9, "f32": 0.1}, found)

    assert told.startswith("left out of the recipes above it, being slower than channels_last: -44.0 % [")
    assert (said or "") in told
    assert (said is not None) == ("products" in told)


def test_a_step_that_changes_no_precision_is_not_explained_by_products() -> None:
    [told] = findings(decision_of(record("tcmalloc", (0.56,))), STEPS["tcmalloc"], {"bf16": 1.0}, calibration(f32=100e9, bf16=52e9))

    assert "products" not in told


def test_a_slower_step_that_is_kept_is_said_to_be() -> None:
    [told] = findings(decision_of(record("bf16_autocast", (0.56,)), stack=ALL), STEPS["bf16_autocast"], {"bf16": 1.0}, None)

    assert told.startswith("kept in the recipes above it (--stack all), though slower than channels_last")


def test_nothing_is_said_of_a_step_that_is_not_slower() -> None:
    decision = decision_of(record("bf16_autocast", (0.9,)))

    assert [] == findings(decision, STEPS["bf16_autocast"], {"bf16": 1.0}, calibration(f32=100e9, bf16=52e9))


def test_what_is_built_beforehand_is_built_without_bf16_where_its_products_lose() -> None:
    """`openvino` is not among them: one model file serves every precision."""
    left_out = expected_to_be_left_out(STEPS, calibration(f32=2.0, bf16=1.0))

    assert "bf16_autocast" in left_out
    assert "openvino" not in left_out
    assert frozenset() == expected_to_be_left_out(STEPS, calibration(f32=1.0, bf16=2.0)) == expected_to_be_left_out(STEPS, None)
    assert share_of_f32("bf16", calibration(f32=2.0)) is None
