"""Recipes in placements of their own, and the recipe of a saved record."""

import pytest

from fixtures.machine import this_machine
from fixtures.protocol import Job, ModelSpec
from fixtures.steps.optimizations import ON_DEMAND, ORT_FAST_MATH, Placement, catalogue
from fixtures.steps.placement import UnknownRecipe, place, recorded
from fixtures.steps.recipe import Recipe, resolve
from reports.text.image_shape import square

MODEL = ModelSpec(name="torchvision:resnet18", image=square(64))


def recipe(step: str, batch_size: int = 8) -> Recipe:
    return resolve(step, catalogue(batch_size), this_machine())


def job(asked: Recipe, threads: int = 4) -> Job:
    return asked.job(MODEL, threads=threads)


def test_several_workers_are_pinned_and_share_the_threads() -> None:
    placed = place(recipe("onnxruntime", 4), Placement(workers=2, threads=2))

    asked = job(placed)
    assert (2, 2, True, 4) == (asked.workers, asked.threads, asked.pinned, asked.batch_size)
    assert "onnxruntime@b4w2t2" == placed.step.name
    assert "2" == placed.environment["OMP_NUM_THREADS"]
    assert {"affinity", "batch"} <= {claim.subject for claim in placed.claims}


def test_one_worker_is_the_recipe_itself_on_its_threads() -> None:
    plain, placed = recipe("openvino"), place(recipe("openvino"), Placement(workers=1, threads=3))

    assert job(plain, threads=3) == job(placed)
    assert plain.environment == placed.environment
    assert [claim.text for claim in plain.claims] == [claim.text for claim in placed.claims]
    assert plain.least_sqnr_db == placed.least_sqnr_db


def test_openvino_leaves_pinning_to_the_workers() -> None:
    """Its plugin would choose from the cores of the whole machine."""
    assert "NO" == job(place(recipe("openvino"), Placement(workers=2, threads=1))).settings["ENABLE_CPU_PINNING"]
    assert "ENABLE_CPU_PINNING" not in job(place(recipe("onnxruntime"), Placement(workers=2, threads=1))).settings


@pytest.mark.parametrize("workers", [1, 2])
def test_a_setting_is_proved_by_its_difference_in_any_placement(workers: int) -> None:
    """The artifact is served without the setting of the step below, and in the same placement."""
    runtime, variable = (place(recipe(step), Placement(workers=workers, threads=1)) for step in ("onnxruntime_fast_math", "fast_math"))

    assert all("outputs" in {claim.subject for claim in each.claims} and each.proved_by_difference for each in (runtime, variable))
    assert (True, False) == tuple(ORT_FAST_MATH in job(each).settings for each in (runtime, runtime.bare))
    assert (True, False) == tuple("DNNL_DEFAULT_FPMATH_MODE" in each.environment for each in (variable, variable.bare))
    assert [each.step.environment for each in (runtime, variable)] == [each.bare.step.environment for each in (runtime, variable)]
    assert job(runtime).workers == job(runtime.bare).workers == workers


def test_weights_are_held_against_their_numbers_in_any_placement() -> None:
    placed = place(recipe("generate_int8", 1), Placement(workers=2, threads=1))

    assert (True, False) == (placed.proved_by_same_weights, placed.proved_by_difference)
    assert not place(recipe("generate", 1), Placement(workers=2, threads=1)).proved_by_same_weights


@pytest.mark.parametrize("step", [name for name, step in catalogue().items() if step.family not in ON_DEMAND])
def test_the_recipe_of_a_record_is_the_one_that_was_measured(step: str) -> None:
    measured = recipe(step)
    asked = job(measured)

    found = recorded([each.name for each in measured.steps], batch_size=asked.batch_size, workers=asked.workers, threads=asked.threads)

    assert asked == job(found)
    assert measured.environment == found.environment
    assert [claim.text for claim in measured.claims] == [claim.text for claim in found.claims]


def test_the_recipe_of_a_tuned_record_is_in_its_placement() -> None:
    measured = place(recipe("openvino", 2), Placement(workers=4, threads=1))

    found = recorded([each.name for each in measured.steps], batch_size=2, workers=4, threads=1)

    assert job(measured) == job(found)
    assert measured.step.name == found.step.name


@pytest.mark.parametrize("names", [[], ["baseline", "no_such_step"]])
def test_a_recipe_of_another_catalogue_is_refused(names: list[str]) -> None:
    with pytest.raises(UnknownRecipe, match="measure anew"):
        recorded(names, batch_size=8, workers=1, threads=2)
