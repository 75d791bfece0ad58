"""Inputs by seed, and calibration pictures from a folder."""

import os
import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from fixtures.inputs.images import CALIBRATION_IMAGES, IMAGENET_MEAN, IMAGENET_STD, calibration_images, random_images
from fixtures.models.preprocessing import MOST_PICTURES, USUAL, calibration_batches, own_preprocessing, pictures
from fixtures.protocol import ModelSpec
from reports.text.image_shape import ImageShape, square
from tests.benches import job_of


def picture(file: Path, colour: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (40, 30)) -> None:
    Image.new("RGB", size, colour).save(file)


def test_image_is_the_same_whatever_batch_it_is_in() -> None:
    """Outputs of different batch sizes are compared image by image."""
    assert np.array_equal(random_images(8, square(16))[3:5], random_images(2, square(16), first=3))


def test_images_are_distinct_and_float32() -> None:
    """A batch of equal images would hide errors in all but one place."""
    images = random_images(8, square(16))

    assert images.shape == (8, 3, 16, 16)
    assert images.dtype == np.float32
    assert len({image.tobytes() for image in images}) == 8


def test_calibration_without_a_folder_uses_other_images_than_the_comparison() -> None:
    """A quantizer must not see what its accuracy is measured on."""
    calibration = calibration_images(square(16))

    assert calibration.shape == (CALIBRATION_IMAGES, 3, 16, 16)
    assert not {image.tobytes() for image in calibration} & {image.tobytes() for image in random_images(64, square(16))}


def test_pictures_are_resized_and_normalized_as_for_imagenet(tmp_path: Path) -> None:
    """Red is 1 in the first channel and 0 in the others, before normalization; folders are searched in depth."""
    (tmp_path / "n01440764").mkdir()
    picture(tmp_path / "n01440764" / "red.PNG")
    (tmp_path / "labels.txt").write_text("not a picture")
    images = pictures(str(tmp_path), square(16), USUAL)

    assert images.shape == (1, 3, 16, 16)
    assert images.dtype == np.float32
    assert np.allclose(images[0].mean(axis=(1, 2)), (np.array([1, 0, 0]) - IMAGENET_MEAN) / IMAGENET_STD, atol=1e-5)


def test_pictures_are_normalized_as_the_model_wants_them(tmp_path: Path) -> None:
    """timm's ViT takes values of -1 to 1; a model of one's own what is usual for ImageNet."""
    picture(tmp_path / "white.png", (255, 255, 255))
    asked = job_of(ModelSpec(name="timm:vit_tiny_patch16_224", image=square(32)), runtime="openvino")
    job = msgspec.structs.replace(asked, calibration=str(tmp_path))
    own = msgspec.structs.replace(job, model=ModelSpec(name="my.models:create", image=square(32)))

    [(images,)], [(usual,)] = calibration_batches(job), calibration_batches(own)

    assert np.allclose(images, 1.0, atol=1e-5)
    assert np.allclose(usual[0].mean(axis=(1, 2)), (1 - IMAGENET_MEAN) / IMAGENET_STD, atol=1e-5)
    for asked in (job, own):  # the user's word outranks both
        [(given,)] = calibration_batches(msgspec.structs.replace(asked, preprocess="0.5,0.25:0.5:1,40"))
        assert np.allclose(given[0].mean(axis=(1, 2)), [2.0, 1.0, 0.5], atol=1e-5)


@pytest.mark.parametrize("named", ["timm:resnet18", "torchvision:resnet18", "torchvision:efficientnet_b0"])
def test_preprocessing_is_that_of_the_models_source(named: str) -> None:
    found = own_preprocessing(named)

    assert 0.8 < found.crop <= 1
    assert ((3,), (3,)) == tuple(each.shape for each in found.normalization(3))
    assert found.filter in {"bilinear", "bicubic"}


def test_the_middle_of_a_picture_is_kept(tmp_path: Path) -> None:
    """A dark border of a sixteenth goes with the crop to 7/8; a stretched picture would keep it."""
    whole = Image.new("RGB", (64, 64), (0, 0, 0))
    whole.paste((255, 255, 255), (4, 4, 60, 60))
    whole.save(tmp_path / "a.png")

    assert pictures(str(tmp_path), square(56), USUAL).min() > 1


def test_grey_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    """What a folder of pictures holds in practice."""
    Image.new("L", (20, 20), 128).save(tmp_path / "grey.jpg")
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "transparent.png")

    assert pictures(str(tmp_path), square(16), USUAL).shape == (2, 3, 16, 16)


def test_images_have_the_asked_shape() -> None:
    """High or wide, in any number of channels: distinct, and as bright as square ones."""
    for shape in (ImageShape(16, 40), ImageShape(40, 16, 1), ImageShape(7, 9, 4)):
        images = random_images(64, shape)

        assert (64, *shape.dimensions) == images.shape
        assert len({image.tobytes() for image in images}) == 64
        assert 0.8 < images.std() < 1.2
        assert images.std() == pytest.approx(random_images(64, square(16)).std(), rel=0.2)


def test_images_vary_along_both_sides() -> None:
    """A part of the noise is as coarse as the longer side, and none of it repeats along it."""
    [image] = random_images(1, ImageShape(16, 64, 1))

    assert len({column.tobytes() for column in image[0].T}) == 64
    assert len({row.tobytes() for row in image[0]}) == 16


def test_pictures_become_grey_for_one_channel(tmp_path: Path) -> None:
    """Normalized by the mean of the three channels' means and deviations, and stretched to the size."""
    picture(tmp_path / "white.png", (255, 255, 255))
    images = pictures(str(tmp_path), ImageShape(16, 24, 1), USUAL)

    assert (1, 1, 16, 24) == images.shape
    assert np.allclose(images, (1 - IMAGENET_MEAN.mean()) / IMAGENET_STD.mean(), atol=1e-5)


def test_pictures_have_no_fourth_channel(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")

    with pytest.raises(ValueError, match=r"pictures have 3 channels, or 1 where .* --image-channels is 4: leave --int8-images out"):
        pictures(str(tmp_path), ImageShape(16, 16, 4), USUAL)


def test_no_more_pictures_than_needed_are_read(tmp_path: Path) -> None:
    """A folder with all of ImageNet is no reason to read it all."""
    for number in range(MOST_PICTURES + 3):
        picture(tmp_path / f"{number:03}.png")

    assert len(pictures(str(tmp_path), square(8), USUAL)) == MOST_PICTURES == 300


@pytest.mark.parametrize("has_header", [False, True])
def test_broken_picture_is_named(tmp_path: Path, has_header: bool) -> None:
    """The message says which file it is. A download that broke off has a good header."""
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, size=(400, 300))
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2] if has_header else b"\xff\xd8\xff\xe0 cut off")

    with pytest.raises(ValueError, match=r"calibration picture '.*b\.png' cannot be read"):
        pictures(str(tmp_path), square(16), USUAL)


@pytest.mark.parametrize("error", [ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError])
def test_whatever_pillow_says_of_a_hostile_picture_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(*_: object) -> None:
        raise error("hostile")

    picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", fail)

    with pytest.raises(ValueError, match=r"calibration picture '.*a\.png' cannot be read: hostile; remove it"):
        pictures(str(tmp_path), square(16), USUAL)


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    """Opening it would wait for a writer for ever."""
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")

    assert 1 == len(pictures(str(tmp_path), square(16), USUAL))


def test_folder_without_a_picture_is_refused(tmp_path: Path) -> None:
    """Quantizing without calibration would go unnoticed."""
    (tmp_path / "labels.txt").write_text("")

    with pytest.raises(ValueError, match=r"no picture \(\.bmp, .*\) in the calibration folder"):
        pictures(str(tmp_path), square(16), USUAL)
