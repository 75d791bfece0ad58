"""Points of the grid as they are written, and what is measured at each."""

import pytest

from fixtures.models import full_name, spec_id
from fixtures.protocol import ModelSpec
from fixtures.steps.grid import BATCH_SIZES, DEFAULT, LENGTHS, grid, parse, steps_at
from fixtures.steps.optimizations import catalogue
from fixtures.steps.recipe import resolve
from tests.machines import X86


def test_points_are_tokens_by_texts() -> None:
    assert DEFAULT == parse([])
    assert ((128, 8), (512, 1)) == parse(["128x8", "512x1", "128x8"])
    assert len(LENGTHS) * len(BATCH_SIZES) == len(parse(["whole"]))


@pytest.mark.parametrize("text", ["", "128", "x", "0x1", "128x0", "-8x1", "8x1x1", "1e3x1", "wholes"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected TOKENSxBATCH, for example 128x8, or whole"):
        parse([text])


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_gains_at_a_point_are_over_eager_or_onnxruntime(batch_size: int) -> None:
    """Whatever the batch size; nothing at a point is over what is not measured there."""
    eager, *others = steps_at(batch_size)
    steps = catalogue(batch_size)
    over = {name: resolve(name, steps, X86, compared=frozenset(steps_at(batch_size))).over for name in (eager, *others)}

    assert {name: "onnxruntime" if name.startswith("onnxruntime_") else eager for name in others} == {name: over[name] for name in others}
    assert over[eager] is None
    assert batch_size == resolve(eager, steps, X86).job(ModelSpec(name="m:f"), threads=1).batch_size


def test_a_recipe_is_the_same_each_time() -> None:
    """Else workers that wait for the next step of a point would not be known again."""
    first, second = (resolve("onnxruntime", catalogue(3), X86) for _ in range(2))

    assert first == second
    assert resolve("onnxruntime", catalogue(), X86) == resolve("onnxruntime", catalogue(8), X86)


def test_one_export_serves_the_whole_grid() -> None:
    """Texts may have any number and length; elsewhere shapes are fixed."""
    [point, *_] = grid(["transformers:bert"], [(128, 8)])
    spec = ModelSpec(name=full_name(point.name), sequence_length=point.sequence_length, batch_size=point.batch_size)
    recipe = resolve("onnxruntime", catalogue(8), X86)

    assert "transformers.bert-128x8" == spec_id(spec)
    assert ("dynamic_shapes",) == recipe.job(spec, threads=1).transforms
    assert () == recipe.job(ModelSpec(name=spec.name), threads=1).transforms
