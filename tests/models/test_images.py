"""Inputs by seed, and calibration pictures from a folder."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.inputs.images import CALIBRATION_IMAGES, IMAGENET_MEAN, IMAGENET_STD, MOST_PICTURES, calibration_images, random_images


def picture(file: Path, colour: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (40, 30)) -> None:
    Image.new("RGB", size, colour).save(file)


def test_image_is_the_same_whatever_batch_it_is_in() -> None:
    """Outputs of different batch sizes are compared image by image."""
    assert np.array_equal(random_images(8, 16)[3:5], random_images(2, 16, first=3))


def test_images_are_distinct_and_float32() -> None:
    """A batch of equal images would hide errors in all but one place."""
    images = random_images(8, 16)

    assert images.shape == (8, 3, 16, 16)
    assert images.dtype == np.float32
    assert len({image.tobytes() for image in images}) == 8


def test_calibration_without_a_folder_uses_other_images_than_the_comparison() -> None:
    """A quantizer must not see what its accuracy is measured on."""
    calibration = calibration_images(16, None)

    assert calibration.shape == (CALIBRATION_IMAGES, 3, 16, 16)
    assert not {image.tobytes() for image in calibration} & {image.tobytes() for image in random_images(64, 16)}


def test_pictures_are_resized_and_normalized_as_for_imagenet(tmp_path: Path) -> None:
    """Red is 1 in the first channel and 0 in the others, before normalization; folders are searched in depth."""
    (tmp_path / "n01440764").mkdir()
    picture(tmp_path / "n01440764" / "red.PNG")
    (tmp_path / "labels.txt").write_text("not a picture")
    images = calibration_images(16, str(tmp_path))

    assert images.shape == (1, 3, 16, 16)
    assert images.dtype == np.float32
    assert np.allclose(images[0].mean(axis=(1, 2)), (np.array([1, 0, 0]) - IMAGENET_MEAN) / IMAGENET_STD, atol=1e-5)


def test_grey_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    """What a folder of pictures holds in practice."""
    Image.new("L", (20, 20), 128).save(tmp_path / "grey.jpg")
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "transparent.png")

    assert calibration_images(16, str(tmp_path)).shape == (2, 3, 16, 16)


def test_no_more_pictures_than_needed_are_read(tmp_path: Path) -> None:
    """A folder with all of ImageNet is no reason to read it all."""
    for number in range(MOST_PICTURES + 3):
        picture(tmp_path / f"{number:03}.png")

    assert len(calibration_images(8, str(tmp_path))) == MOST_PICTURES == 300


def test_broken_picture_is_named(tmp_path: Path) -> None:
    """The message says which file it is."""
    picture(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")

    with pytest.raises(ValueError, match=r"calibration picture '.*b\.jpg' cannot be read"):
        calibration_images(16, str(tmp_path))


def test_truncated_picture_is_named(tmp_path: Path) -> None:
    """A download that broke off has a good header."""
    picture(tmp_path / "a.png", size=(400, 300))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(ValueError, match=r"calibration picture '.*a\.png' cannot be read"):
        calibration_images(16, str(tmp_path))


@pytest.mark.parametrize("error", [ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError])
def test_whatever_pillow_says_of_a_hostile_picture_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(*_: object) -> None:
        raise error("hostile")

    picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", fail)

    with pytest.raises(ValueError, match=r"calibration picture '.*a\.png' cannot be read: hostile; remove it"):
        calibration_images(16, str(tmp_path))


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    """Opening it would wait for a writer for ever."""
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")

    assert 1 == len(calibration_images(16, str(tmp_path)))


def test_folder_without_a_picture_is_refused(tmp_path: Path) -> None:
    """Quantizing without calibration would go unnoticed."""
    (tmp_path / "labels.txt").write_text("")

    with pytest.raises(ValueError, match=r"no picture \(\.bmp, .*\) in the calibration folder"):
        calibration_images(16, str(tmp_path))
