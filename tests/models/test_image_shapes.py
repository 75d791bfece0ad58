"""Models of images that are not square, or have not three channels: built, refused with the remedy, and served."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from fixtures import models
from fixtures.models import ImagesError, WeightsError, torchvision_import
from fixtures.models.factories import load_file
from fixtures.protocol import Job, ModelSpec
from fixtures.steps.recipe import resolve
from fixtures.tasks import reference
from fixtures.training.training_session import loader
from reports.deploy.emit import EMITTED
from reports.text.image_shape import ImageShape, square
from tests.conftest import MakeRig, skip_unless_met

WIDE = ImageShape(64, 96)
GREY = ImageShape(64, 96, 1)
VIT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "patch_size": 16}


@pytest.fixture
def transformers() -> Any:
    return pytest.importorskip("transformers")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("torchvision:resnet18", WIDE),
        ("torchvision:vit_b_32", square(64)),
        ("timm:resnet18", WIDE),
        ("timm:resnet18", GREY),
        ("timm:resnet18", ImageShape(96, 64, 4)),
        ("timm:test_vit", WIDE),
        ("timm:test_vit", GREY),
        ("timm:VisionTransformer", GREY),
    ],
    ids=str,
)
def test_model_serves_images_of_the_asked_shape(name: str, shape: ImageShape) -> None:
    """High, wide, grey or of four channels, whether the architecture is built for a size or takes any; in eval mode, to serve in fp32."""
    module = models.create(ModelSpec(name=name, image=shape))

    assert not module.training
    assert {(torch.float32, False)} == {(parameter.dtype, parameter.requires_grad) for parameter in module.parameters()}
    assert (2, 1000) == module(torch.zeros(2, *shape.dimensions)).shape


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (
            "torchvision:resnet18",
            GREY,
            r"takes images of 3 channels, and --image-channels is 1: measure a model of timm, .* or let a factory change the first layer",
        ),
        ("torchvision:vit_b_32", WIDE, r"takes square images, and --image-size is 64x96: name one side such as --image-size 64, or"),
        (
            "torchvision:densenet121",
            square(16),
            r"torchvision:densenet121 fails on images of 16: .*too small; name what it takes with --image-size and --image-channels",
        ),
    ],
)
def test_model_that_does_not_take_the_images_is_refused(name: str, shape: ImageShape, message: str) -> None:
    """One paragraph that names the next action."""
    with pytest.raises(ImagesError, match=message):
        models.create(ModelSpec(name=name, image=shape))


def test_model_that_fails_on_the_images_is_refused_by_its_reference(tmp_path: Path) -> None:
    """Where building it runs nothing."""
    model = ModelSpec(name="torchvision:squeezenet1_1", image=square(8))
    job = Job(model=model, runtime="eager", precision="fp32", batch_size=2, threads=1)

    with pytest.raises(ImagesError, match=r"torchvision:squeezenet1_1 fails on images of 8: .*; name what it takes with --image-size"):
        reference.write(job, 2, tmp_path)


def test_torchvisions_weights_are_of_three_channels() -> None:
    """Said before anything is looked up."""
    with pytest.raises(ImagesError, match="torchvision:resnet18 takes images of 3 channels"):
        models.create(ModelSpec(name="torchvision:resnet18", image=GREY, pretrained=True))


def test_weights_of_other_channels_do_not_fit(tmp_path: Path) -> None:
    """And the options that decide the shapes of weights are named."""
    save_file(models.create(ModelSpec(name="timm:test_resnet", image=WIDE)).state_dict(), tmp_path / "kept.safetensors")

    with pytest.raises(WeightsError, match=r"expects \(\d+, 1, 3, 3\); check the number of classes, --image-size and --image-channels"):
        models.create(ModelSpec(name="timm:test_resnet", image=GREY, weights=str(tmp_path / "kept.safetensors")))


def test_shapes_are_other_models_in_the_cache() -> None:
    spec = ModelSpec(name="timm:resnet18", image=square(64))
    shapes = [square(64), WIDE, ImageShape(96, 64), GREY]

    assert 4 == len({str(models.content(msgspec.structs.replace(spec, image=shape))) for shape in shapes})


def test_a_transformer_of_the_hub_takes_two_sides_and_its_channels(tmp_path: Path, transformers: Any) -> None:
    transformers.ViTConfig(**VIT).save_pretrained(tmp_path / "vit")
    built = models.build(ModelSpec(name=f"transformers:{tmp_path}/vit", image=GREY))
    assert built.inputs is not None
    rows = built.inputs.draw(2, 0)["pixel_values"]

    assert (2, 1, 64, 96) == rows.shape
    assert (2, 4 * 6 + 1, 32) == built.module(torch.from_numpy(rows))[0].shape


def test_trained_channels_are_named(tmp_path: Path, transformers: Any) -> None:
    """A first layer of other channels would be drawn at random."""
    config = transformers.ViTConfig(**VIT, image_size=64, num_channels=1)
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    spec = ModelSpec(name=f"transformers:{tmp_path}/vit", image=square(64))

    with pytest.raises(ImagesError, match="takes images of 1 channel, and --image-channels is 3: name --image-channels 1, or let"):
        models.create(spec)
    assert models.create(msgspec.structs.replace(spec, image=ImageShape(64, 64, 1))) is not None


def test_a_transformer_of_square_images_alone_is_refused(transformers: Any) -> None:
    """Its code computes with one side."""
    with pytest.raises(ImagesError, match=r"clip_vision_model fails on images of 64x96: .*; name what it takes with --image-size"):
        models.create(ModelSpec(name="transformers:clip_vision_model", image=WIDE))


def test_texts_have_no_images(transformers: Any) -> None:
    """The options are for the other models of the run."""
    module = models.create(ModelSpec(name="transformers:electra-small", sequence_length=8, image=GREY))

    assert (1, 8, 256) == module(torch.zeros(1, 8, dtype=torch.int64)).shape


def test_training_images_are_of_the_same_shape() -> None:
    job = Job(model=ModelSpec(name="timm:test_vit", image=GREY), runtime="training", precision="fp32", batch_size=2, threads=1)
    images, labels = next(iter(loader(job, classes=3)))

    assert ((2, 1, 64, 96), (2,)) == (tuple(images.shape), tuple(labels.shape))


@pytest.mark.parametrize(
    ("source", "name", "shape"),
    [("timm", "test_vit", GREY), ("timm", "resnet18", GREY), ("timm", "resnet18", square(64)), ("torchvision", "vit_b_32", square(64))],
    ids=str,
)
def test_a_deployment_builds_the_same_architecture(tmp_path: Path, source: str, name: str, shape: ImageShape) -> None:
    """Weights of the suite's model fit it, by what deployment.json says of the images."""
    shutil.copyfile(EMITTED / f"architecture_{source}.py", tmp_path / "architecture.py")
    shutil.copyfile(torchvision_import.__file__, tmp_path / "torchvision_import.py")
    facts = {"name": name, "image": shape.dimensions, "classes": None, "pretrained": False}
    module = load_file(tmp_path / "architecture.py").create(facts)
    module.load_state_dict(models.create(ModelSpec(name=f"{source}:{name}", image=shape)).state_dict())

    assert (1, 1000) == module.eval()(torch.zeros(1, *shape.dimensions)).shape


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["channels_last", "onnxruntime", "openvino_fp32", pytest.param("onnxruntime_int8", marks=pytest.mark.nightly)]
)
def test_every_runtime_serves_them(make_rig: MakeRig, step: str) -> None:
    """Exported, proved and compared with eager on the same images."""
    skip_unless_met(step)
    rig = make_rig()
    recipe = resolve(step, rig.catalogue, rig.machine)
    [serving] = rig.serve(recipe, model=ModelSpec(name="timm:resnet18", image=GREY))
    serving.workers.close()

    assert {"images": [serving.job.batch_size, 1, 64, 96]} == serving.started[0].input_shapes
    assert serving.agreement.sqnr_db > recipe.least_sqnr_db
