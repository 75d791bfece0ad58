"""A recipe measured once more by real workers, and run back to back for as many calls as a limit of its p99 needs."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from fixtures.bench import turns
from fixtures.bench.rig import Serving
from fixtures.bench.turns import Plan
from reports.tune import again
from reports.tune.again import BACK_TO_BACK, calls_within, needs_calls, with_calls_of
from reports.tune.run import recipe_of
from reports.tune.space import Candidate
from reports.views.recommend import DeploymentLimits
from tests.benches import bench_of
from tests.conftest import skip_unless_met
from tests.reports.saved_runs import calls, measurement

LIMIT = DeploymentLimits(p99_s=0.1)


def serving(iteration_s: float, *, workers: int = 1, in_flight: int = 1) -> Serving:
    return cast("Serving", SimpleNamespace(iteration_s=iteration_s, in_flight=in_flight, job=SimpleNamespace(workers=workers)))


@pytest.mark.parametrize(
    ("iteration_s", "at_once", "most_s", "expected"),
    [
        (0.02, 1, 60.0, 500),  # 10 s
        (0.1, 1, 60.0, 299),  # as many as the bound needs, if they take longer
        (0.1, 4, 60.0, 400),
        (0.001, 1, 60.0, 5000),  # enough
        (0.001, 1, 1.0, 1000),
        (0.3, 1, 60.0, 0),  # would take a minute and a half
        (0.02, 1, 5.0, 0),
    ],
)
def test_calls_are_as_many_as_the_bound_needs_or_the_time_has_none(iteration_s: float, at_once: int, most_s: float, expected: int) -> None:
    for served in (serving(iteration_s, workers=at_once), serving(iteration_s, in_flight=at_once)):
        found, needed_s = calls_within(served, most_s)
        assert expected == found
        assert needed_s == pytest.approx((found or 299) * iteration_s / at_once)


def test_only_what_calls_can_decide_runs_back_to_back() -> None:
    open_, kept, broken, disturbed, drifted = (
        measurement(step=str(place), **extra)
        for place, extra in enumerate(
            (
                calls(0.05, samples=40),
                calls(0.05),
                calls(0.2, samples=40),
                calls(0.05, samples=40) | {"disturbed": True},
                calls(0.05, samples=40) | {"sqnr_db": 3.0},
            )
        )
    )

    limits = DeploymentLimits(p99_s=0.1, sqnr_db=20.0)
    assert [True, False, False, False, False] == [needs_calls(each, limits) for each in (open_, kept, broken, disturbed, drifted)]
    assert not needs_calls(open_, DeploymentLimits(sqnr_db=20.0))


def test_finals_keep_what_calls_back_to_back_showed_unless_their_own_refute_it() -> None:
    shown = measurement(**calls(0.05), latency_calls=BACK_TO_BACK)
    few, slow = measurement(**calls(0.04, samples=27)), measurement(**calls(0.2, samples=27))

    taken = with_calls_of(few, shown, LIMIT)
    assert (1000, 0.05) == (taken.latency_samples, taken.latency_p99_high_s)
    assert 27 == with_calls_of(slow, shown, LIMIT).latency_samples
    assert 27 == with_calls_of(few, measurement(**calls(0.05)), LIMIT).latency_samples


@pytest.mark.slow
def test_a_recipe_is_run_back_to_back_until_its_limit_is_shown_or_the_time_is_over(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real workers: a limit far above the calls is kept by them; with no time left it is not, and the record says what it would take."""
    skip_unless_met("onnxruntime", "workers_pinned")
    monkeypatch.setattr(again, "BACK_TO_BACK_S", 0.5)
    monkeypatch.setattr(again, "AGAIN", Plan(pairs=1, budget_s=0.001, least_rounds=3, warmup_limit_s=0.5))
    monkeypatch.setattr(turns, "BURST_S", 0.001)  # else the turns of a quick machine hold all the calls that the limit needs
    made = bench_of("torchvision:resnet18", artifact_folder)
    recipe = recipe_of(Candidate("onnxruntime", 1, 2, 1), made)
    limits = DeploymentLimits(p99_s=1000.0)

    kept, open_ = (again.measure_again(made, recipe, limits, most_s) for most_s in (60.0, 0.001))

    assert kept.disturbed or ("", BACK_TO_BACK) == (limits.broken_by(kept), kept.latency_calls)
    assert kept.disturbed or (kept.latency_samples or 0) >= 299
    assert open_.disturbed or limits.leaves_open(open_)
    assert open_.disturbed or any("299 calls would take" in finding for finding in open_.findings)
