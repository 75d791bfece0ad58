"""What a recipe leaves out is what fails below it, whichever side of the first pair is drawn to start first."""

from collections.abc import Sequence, Set
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fixtures import measure
from fixtures.bench.launch import UnsupportedError, WorkerError
from fixtures.bench.rig import ServingError
from fixtures.protocol import ModelSpec
from fixtures.steps.accuracy import DriftError
from fixtures.steps.evidence import ProofError
from fixtures.steps.recipe import Recipe
from reports.text.image_shape import square
from tests.steps.test_recipe import recipe

MODEL = ModelSpec(name="torchvision:resnet18", image=square(64))
IN_BF16 = "convolutions and matrix products run in bf16 (at least 50% of their time)"


class Rig:
    """Serves every recipe but those that hold the step `failing`."""

    def __init__(self, failing: str, cause: Exception) -> None:
        self.failing, self.cause = failing, cause
        self.served: list[str] = []

    def recipe(self, step: str, _model: ModelSpec, failed: Set[str] = frozenset()) -> Recipe:
        return recipe(step, failed=frozenset(failed))

    def require(self, found: Recipe) -> None:
        if self.failing in {step.name for step in found.steps}:
            raise ServingError(found.step.name, self.cause)

    def serve(self, found: Recipe, *, model: ModelSpec) -> list[Any]:
        assert model is MODEL
        self.served.append(found.step.name)
        self.require(found)
        return [SimpleNamespace(workers=SimpleNamespace(close=lambda: None))]

    def unmet(self, _step: str, _model: ModelSpec) -> None:
        return None


def opened(monkeypatch: pytest.MonkeyPatch, rig: Rig, step: str, *, own_first: bool) -> tuple[Sequence[str], dict[str, str]]:
    """Open the pair of `step`: the steps of the recipe that is measured in the end, and why others are left out."""

    class Pair:
        def __init__(self, _rig: Rig, own: Recipe, over: Recipe | None, *_others: object) -> None:
            self.sides = [own, *([over] if over else [])]

        def open(self) -> None:
            for side in self.sides if own_first else reversed(self.sides):
                rig.require(side)

        def close(self) -> None:
            pass

    monkeypatch.setattr(measure, "PairedMeasurement", Pair)
    session = SimpleNamespace(left_out=lambda _model: {}, outcomes={})
    task = SimpleNamespace(rig=rig, session=session, model=MODEL, model_id="resnet18", step=step, plan=None, opened=[])
    pair, why = measure._open(cast(Any, task))
    return [each.name for each in cast(Any, pair).sides[0].steps], why


@pytest.mark.parametrize("own_first", [True, False], ids=["own first", "predecessor first"])
@pytest.mark.parametrize(
    ("step", "failing", "cause", "outcome"),
    [
        ("compile_freezing", "bf16_autocast", DriftError("too far"), "failed: too far"),
        ("compile_freezing", "bf16_autocast", ProofError("not in force", (IN_BF16,)), "failed: not in force"),
        ("compile_freezing", "compile", UnsupportedError("Dynamo refuses it"), "skipped: Dynamo refuses it"),
        ("compile_freezing", "compile", WorkerError("the worker died"), "failed: the worker died"),
        ("openvino_int8", "openvino", WorkerError("the worker died"), "failed: the worker died"),
    ],
)
def test_what_fails_below_is_left_out_alone(
    monkeypatch: pytest.MonkeyPatch, step: str, failing: str, cause: Exception, outcome: str, own_first: bool
) -> None:
    """Neither the step above it fails, nor does another one go."""
    whole = [each.name for each in recipe(step).steps]
    steps, why = opened(monkeypatch, Rig(failing, cause), step, own_first=own_first)

    assert failing in whole
    assert steps == [name for name in whole if name != failing]
    assert why == {failing: outcome}


@pytest.mark.parametrize("own_first", [True, False], ids=["own first", "predecessor first"])
@pytest.mark.parametrize("cause", [DriftError("too far"), UnsupportedError("no"), ProofError("not in force", ("packed",))], ids=repr)
def test_what_fails_by_itself_fails(monkeypatch: pytest.MonkeyPatch, cause: Exception, own_first: bool) -> None:
    """All below it hold."""
    with pytest.raises(ServingError) as raised:
        opened(monkeypatch, Rig("compile_freezing", cause), "compile_freezing", own_first=own_first)

    assert ("compile_freezing", cause) == (raised.value.step, raised.value.cause)
