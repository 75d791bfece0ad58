"""Which benchmarks are compared, and what is said of the others."""

import pytest

from fixtures.protocol.side_protocol import Offer
from fixtures.steps.optimizations import catalogue
from reports.gate.benchmarks import MODELS, Benchmark, GateError, select, subset

BASELINE, INT8, VIT = Benchmark("resnet50", "baseline"), Benchmark("resnet50", "pt2e_int8"), Benchmark("vit", "openvino")
FAST_MATH = Benchmark("resnet50", "fast_math")
OFFERED = Offer(model="m", step="s", recipe=["baseline"])
SKIPPED = Offer(model="m", step="s", recipe=["baseline"], skipped="torchao is not installed -> pip install torchao")
WHY = "skipped there: torchao is not installed -> pip install torchao"
ALL = {BASELINE: OFFERED, INT8: OFFERED, FAST_MATH: OFFERED, VIT: OFFERED}


def test_subset_is_about_a_dozen() -> None:
    """Over all models that a gate measures unasked."""
    assert 10 <= sum(len(subset(model)) for model in MODELS) <= 14
    assert {model for step in catalogue().values() for model in step.in_gate} == set(MODELS)


def test_subset_is_taken_without_expression() -> None:
    assert (BASELINE, INT8, VIT) == select(ALL, ALL, None).compared


def test_subset_of_another_model_has_the_same_steps() -> None:
    other = {Benchmark("torchvision.resnet18", step): OFFERED for step in ("baseline", "fast_math", "pt2e_int8")}
    assert ["baseline", "pt2e_int8"] == [benchmark.step for benchmark in select(other, other, None).compared]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("fast_math", {FAST_MATH}),
        ("baseline and not vit", {BASELINE}),
        ("INT8 or vit-openvino", {INT8, VIT}),
        ("resnet50", {BASELINE, INT8, FAST_MATH}),
    ],
)
def test_expression_means_what_it_means_to_pytest(expression: str, expected: set[Benchmark]) -> None:
    assert expected == set(select(ALL, ALL, expression).compared)


def test_expression_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(GateError, match=r"-k 'quantum' matches no benchmark"):
        select(ALL, ALL, "quantum")


def test_expression_that_pytest_refuses_is_an_error() -> None:
    with pytest.raises(GateError, match=r"-k 'and or': .*expected what pytest takes"):
        select(ALL, ALL, "and or")


def test_benchmark_missing_on_head_is_named() -> None:
    """Also outside the subset: a step that vanished must not go unseen."""
    found = select(ALL, {BASELINE: OFFERED, VIT: OFFERED}, None)

    assert {INT8: "not in its catalogue", FAST_MATH: "not in its catalogue"} == found.missing
    assert (BASELINE, VIT) == found.compared


def test_benchmark_that_head_skips_is_missing_with_its_reason() -> None:
    found = select(ALL, ALL | {INT8: SKIPPED}, None)

    assert {INT8: WHY} == found.missing


def test_benchmark_on_head_only_is_new() -> None:
    found = select({BASELINE: OFFERED}, {BASELINE: OFFERED, INT8: OFFERED}, None)

    assert {INT8: "not in its catalogue"} == found.new
    assert (BASELINE,) == found.compared
    assert {} == found.missing


def test_benchmark_skipped_on_both_sides_is_told_where_it_was_wanted() -> None:
    offers = ALL | {INT8: SKIPPED, FAST_MATH: SKIPPED}

    assert {INT8: WHY} == select(offers, offers, None).skipped
    assert {FAST_MATH: WHY} == select(offers, offers, "fast_math").skipped


def test_recipe_that_changed_is_noted() -> None:
    """The same name may stand for other steps: told, and compared all the same."""
    head = ALL | {INT8: Offer(model="m", step="s", recipe=["baseline", "channels_last"])}
    found = select(ALL, head, None)

    assert ("resnet50-pt2e_int8: the recipe changed from baseline to baseline + channels_last",) == found.notes
    assert INT8 in found.compared
