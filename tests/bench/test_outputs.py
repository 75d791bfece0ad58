"""What a step answers, held against fp32: wrong answers of real workers are refused, and what passes keeps a trained model's accuracy."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from fixtures.bench import rig as rig_module
from fixtures.bench.rig import Rig, Starting
from fixtures.protocol import ModelSpec
from fixtures.steps.accuracy import Agreement, DriftError
from fixtures.steps.recipe import Recipe, resolve
from reports.text.image_shape import square
from tests import digits_models
from tests.conftest import MakeRig, skip_unless_met
from tests.steps.test_broken_steps import changed, recipe, refused_as

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))
WRITTEN = "np.savez(message.outputs, *outputs)"
CALIBRATED = "return [tuple(_rows(array, number * job.batch_size, job.batch_size) for array in arrays) for number in range(rounds)]"
LEAST_ACCURACY = 0.85  # fp32: 0.99 and 0.93
MOST_LOST = 0.05


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ResNet and a small ViT, trained on labelled digits; returns the file of their factories."""
    pytest.importorskip("sklearn", reason="scikit-learn has the digits -> pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("digits")
    digits_models.train(folder)
    return Path(shutil.copy(digits_models.__file__, folder))


def test_a_layout_that_changes_nothing_is_known_before_a_worker_serves_it(make_rig: MakeRig) -> None:
    """ViT's only convolution is its patch embedding: the FLOPs that were counted with the reference tell."""
    rig = make_rig()
    vit = ModelSpec(name="timm:vit_tiny_patch16_224", image=square(224))
    skip = rig.unmet("channels_last", vit)

    assert skip is not None
    assert "of the layers' FLOPs, and nothing else has a layout to change" in skip.reason
    assert ("channels_last",) == rig.recipe("compile", vit).left_out
    assert rig.unmet("channels_last", RESNET) is None


def int8(rig: Rig, step: str) -> Recipe:
    skip_unless_met(step)
    return resolve(step, rig.catalogue, rig.machine)


def refusal(rig: Rig, recipe: Recipe, model: ModelSpec) -> str:
    message = refused_as(rig, recipe, DriftError, model)
    assert (recipe.step.name, model.name) in rig.drifted
    return message


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("np.savez(message.outputs, *[np.tile(each.mean(0), (len(each), 1)) for each in outputs])", marks=pytest.mark.nightly),
        "np.savez(message.outputs, *[np.roll(each, 1, axis=0) for each in outputs])",
        pytest.param("np.savez(message.outputs, *[np.zeros_like(each) for each in outputs])", marks=pytest.mark.nightly),
    ],
    ids=["a constant", "another image's", "zeros"],
)
def test_answer_that_does_not_depend_on_its_image(make_rig: MakeRig, tmp_path: Path, answer: str) -> None:
    """An untrained network once gave all images the same answer, so that each of these was "proved" even as int8."""
    whole = make_rig()
    whole.reference(RESNET, 8)
    rig = make_rig(root=changed(tmp_path, "worker.py", WRITTEN, answer))
    message = refusal(rig, recipe(rig, "baseline", least_sqnr_db=10.0), RESNET)

    assert "outputs drifted from fp32 eager: SQNR " in message
    assert "at least 10 dB is required; nothing is recorded" in message


@pytest.mark.slow
def test_first_serving_compares_many_samples_and_later_ones_a_few(make_rig: MakeRig) -> None:
    """The record keeps what the many agreed to; all are distinct."""
    rig = make_rig()
    recipe = resolve("batch_8", rig.catalogue, rig.machine)
    counts = []
    for _ in range(2):
        [serving] = rig.serve(recipe, model=RESNET)
        with serving.workers, np.load(serving.workers.folder / "outputs-0.npz") as outputs:
            counts.append(len(outputs["arr_0"]))
            assert len(np.unique(outputs["arr_0"], axis=0)) == counts[-1]
        assert 16 <= serving.agreement.samples <= 64

    assert counts == [serving.agreement.samples, 8]


@pytest.mark.parametrize(("few_db", "many_db"), [(19.0, 24.0), (19.0, 18.0), (25.0, 24.0)])
def test_few_samples_below_the_tolerance_are_not_the_last_word(monkeypatch: pytest.MonkeyPatch, few_db: float, many_db: float) -> None:
    """One text may have more noise than the two that held at first: as many as then decide."""

    def agreement(sqnr_db: float, samples: int) -> Agreement:
        return Agreement(sqnr_db=sqnr_db, centred_cosine=1, cosine=1, max_abs_error=0, relative_error=0, samples=samples)

    found, asked = [agreement(few_db, 1), agreement(many_db, 16)], list[dict[str, int]]()
    monkeypatch.setattr(rig_module, "write_outputs", lambda _workers, **compared: asked.append(compared))
    served = SimpleNamespace(step=SimpleNamespace(name="bf16_autocast"), least_sqnr_db=20.0)
    starting = SimpleNamespace(recipe=served, job=SimpleNamespace(model=RESNET), workers=None, compare=lambda: found.pop(0))
    told = Rig._agreement(cast(Rig, SimpleNamespace(_known_agreement=lambda *_: agreement(24.0, 16))), cast(Starting, starting))

    assert (asked, told.sqnr_db) == (([{"samples": 16}], many_db) if few_db < 20 else ([], few_db))


@pytest.mark.nightly
@pytest.mark.parametrize("step", ["onnxruntime_int8", "openvino_int8"])
def test_ranges_eight_times_too_wide(make_rig: MakeRig, tmp_path: Path, step: str) -> None:
    """Three of eight bits are lost: all kernels run int8, and the outputs are noise."""
    wide = CALIBRATED.replace("_rows(array, number", "8 * _rows(array, number")
    rig = make_rig(root=changed(tmp_path, "inputs/samples.py", CALIBRATED, wide), cache=tmp_path / "artifacts")

    assert "at least 10 dB is required" in refusal(rig, int8(rig, step), RESNET)


def accuracies(rig: Rig, recipe: Recipe, model: ModelSpec, digits: Path) -> tuple[float, float]:
    """Serve the recipe; return fp32 eager's accuracy on labelled digits that no model saw in training, and the recipe's on the same."""
    [serving] = rig.serve(recipe, model=model)
    with serving.workers, np.load(serving.workers.folder / "outputs-0.npz") as outputs:
        chosen = outputs["arr_0"].argmax(-1)
    [expected] = rig.reference(model, len(chosen)).outputs.values()
    with np.load(digits.parent / "unseen.npz") as unseen:
        labels = unseen["labels"][: len(chosen)]
    return float((expected[: len(chosen)].argmax(-1) == labels).mean()), float((chosen == labels).mean())


@pytest.mark.nightly
@pytest.mark.parametrize("step", ["batch_8", "onnxruntime_int8", "openvino_int8", "pt2e_int8"])
@pytest.mark.parametrize("network", ["resnet", "vit"])
def test_step_that_is_proved_keeps_the_accuracy_of_a_trained_model(make_rig: MakeRig, digits: Path, network: str, step: str) -> None:
    """The tolerance of int8 is worth something: above it no more than a few of a hundred answers change."""
    rig = make_rig()
    model = ModelSpec(name=f"{digits}:{network}")
    recipe = int8(rig, step) if "int8" in step else resolve(step, rig.catalogue, rig.machine)
    recipe = replace(recipe, steps=tuple(replace(each, claims=()) for each in recipe.steps))  # they are too small for claims by time
    before, after = accuracies(rig, recipe, model, digits)

    assert before >= LEAST_ACCURACY
    assert after >= before - MOST_LOST


@pytest.mark.nightly
@pytest.mark.parametrize("network", ["resnet", "vit"])
def test_int8_that_ruins_a_trained_model(make_rig: MakeRig, tmp_path: Path, digits: Path, network: str) -> None:
    """Its ranges are 100 times too wide: 15 of 100 right answers are lost (docs/evidence.md#drift)."""
    wide = CALIBRATED.replace("_rows(array, number", "100 * _rows(array, number")
    rig = make_rig(root=changed(tmp_path, "inputs/samples.py", CALIBRATED, wide), cache=tmp_path / "artifacts")
    recipe = int8(rig, "onnxruntime_int8")
    recipe = replace(recipe, steps=tuple(replace(each, claims=()) for each in recipe.steps))

    assert "at least 10 dB is required" in refusal(rig, recipe, ModelSpec(name=f"{digits}:{network}"))
