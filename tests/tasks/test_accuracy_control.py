"""INT8 whose accuracy labelled pictures control: what costs it goes back to floating point, and without pictures it is skipped."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fixtures.bench.answers import Answers
from fixtures.bench.rig import Rig, ServingError
from fixtures.models.preprocessing import CalibrationPictures
from fixtures.protocol import Control, ControlSeen, Job, ModelSpec
from fixtures.runtimes import accuracy_control, openvino
from fixtures.steps.evidence import NothingChangedError, ProofError
from fixtures.steps.recipe import Recipe
from fixtures.tasks.labelled import LabelsError, find
from reports.text.image_shape import square
from tests import digit_pictures
from tests.conftest import MakeRig, skip_unless_met
from tests.steps.test_broken_steps import changed, recipe
from tests.tasks.test_labelled import digits  # noqa: F401 - a fixture

STEP = "openvino_int8_accurate"
# The same function in floating point. One channel is 300 times as large as the others, and takes all levels of 8 bits.
LOUD = f"""\
import torch
from {Path(digit_pictures.FILE).stem} import create as trained

def create():
    model = trained()
    (_, norm, _), (following, _, _) = model[0], model[1]
    with torch.no_grad():
        for values in (norm.weight, norm.bias):
            values[0] *= 300
        following.weight[:, 0] /= 300
    return model
"""
SEEN = ControlSeen(pictures=200, points=1.0, reference=0.97, before=0.6, after=0.965, int8_before=20, int8_after=17)


@pytest.fixture
def rig(make_rig: MakeRig, digits: Path) -> Iterator[Rig]:  # noqa: F811
    """Calibrated with pictures of the same kind, so that one layer alone costs accuracy."""
    answers = Answers(pictures=find(digits / "unseen", most=200), controlled_loss=3.0)
    rig = replace(make_rig(), calibration=CalibrationPictures(folder=str(digits / "seen"), digest="seen"), answers=answers)
    yield rig
    rig.standby.close()


def loud(digits: Path) -> ModelSpec:  # noqa: F811
    (digits / "loud.py").write_text(LOUD)
    return ModelSpec(name=f"{digits}/loud.py:create", image=square(digit_pictures.SIZE))


def by_its_control(made: Recipe) -> Recipe:
    """So small a model is none for claims by time, and most of it drifts."""
    claims = tuple(claim for claim in made.step.claims if claim.subject == "control")
    below = tuple(replace(each, claims=(), least_sqnr_db=-100.0) for each in made.steps[:-1])
    return replace(made, steps=(*below, replace(made.step, claims=claims, least_sqnr_db=-100.0)))


def test_without_labelled_pictures_it_is_skipped_with_the_remedy(make_rig: MakeRig) -> None:
    """So is a model that takes none; whoever serves it all the same is told."""
    rig, resnet = make_rig(), ModelSpec(name="torchvision:resnet18", image=square(64))
    skip = rig.unmet(STEP, resnet)

    assert skip is not None
    assert ("labelled pictures control its accuracy, and there are none", "name them with --accuracy DIR") == (skip.reason, skip.remedy)
    with pytest.raises(LabelsError, match="and there are none: name them with --accuracy DIR"):
        rig.answers.control(rig, resnet)


def test_artifact_is_of_the_pictures_and_of_what_may_be_lost() -> None:
    control = Control(folder="/pictures", digest="abc 200", points=1.0)
    job = Job(model=ModelSpec(name="resnet50"), runtime="openvino", precision="int8", batch_size=8, threads=1, control=control)
    controlled = msgspec.structs.replace(job, transforms=("int8", accuracy_control.CONTROLLED))
    others = [msgspec.structs.replace(controlled, control=replaced) for replaced in (
        msgspec.structs.replace(control, digest="abd 200"), msgspec.structs.replace(control, points=0.5),
    )]  # fmt: skip

    assert "control" not in openvino.artifact(job)
    assert 3 == len({str(openvino.artifact(each)) for each in (controlled, *others)})
    assert openvino.artifact(controlled) == openvino.artifact(
        msgspec.structs.replace(controlled, control=msgspec.structs.replace(control, folder="/elsewhere"))
    )


def test_what_was_seen_lies_beside_the_model(tmp_path: Path) -> None:
    """The layers that run in int8 are counted anew in the model that serves."""
    assert accuracy_control.read(tmp_path, 17) is None
    accuracy_control.write(SEEN, tmp_path)
    assert msgspec.structs.replace(SEEN, int8_now=18) == accuracy_control.read(tmp_path, 18)


@pytest.mark.slow
def test_layers_that_cost_accuracy_go_back_to_floating_point(rig: Rig, digits: Path, make_rig: MakeRig, tmp_path: Path) -> None:  # noqa: F811
    """Plain INT8 ruins the model. Where all layers are quantized after all the claim refuses."""
    skip_unless_met(STEP)
    model = loud(digits)
    plain: Any = by_its_control(recipe(rig, "openvino_int8"))
    [ruined], [kept] = (rig.serve(made, model=model) for made in (plain, by_its_control(recipe(rig, STEP))))
    for serving in (ruined, kept):
        serving.workers.close()
    assert ruined.accuracy is not None
    assert kept.accuracy is not None
    assert ruined.accuracy.lost_points > 5
    assert kept.accuracy.lost_points <= 3.5  # NNCF compares with OpenVINO's own floating point

    control = kept.proved[0].observations.controlled
    assert control is not None
    assert 0 < control.int8_now <= control.int8_after < control.int8_before
    assert f"{control.int8_now} layers in int8, {control.int8_before} without control; of 200 labelled pictures" in str(kept.evidence)

    old, new = "    return found, ControlSeen(", "    return nncf.quantize(model, calibration, subset_size=4), ControlSeen("
    broken = make_rig(root=changed(tmp_path, "runtimes/accuracy_control.py", old, new), cache=tmp_path / "artifacts")
    with pytest.raises(ServingError, match="layers that cost labelled accuracy run in floating point") as refused:
        replace(broken, answers=rig.answers, calibration=rig.calibration).serve(by_its_control(recipe(rig, STEP)), model=model)
    assert isinstance(refused.value.cause, ProofError)


@pytest.mark.nightly
def test_a_model_that_stays_accurate_in_int8_is_skipped(rig: Rig, digits: Path) -> None:  # noqa: F811
    skip_unless_met(STEP)
    model = ModelSpec(name=f"{digits}/{digit_pictures.FILE}:create", image=square(digit_pictures.SIZE))

    with pytest.raises(ServingError, match="all layers may stay in int8") as skipped:
        rig.serve(by_its_control(recipe(rig, STEP)), model=model)
    assert isinstance(skipped.value.cause, NothingChangedError)
    assert "take openvino_int8" == skipped.value.cause.remedy
