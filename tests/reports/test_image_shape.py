"""Image shapes as options say them and reports print them."""

import msgspec
import pytest

from reports.text.image_shape import USUAL, ImageShape, from_brief, of_batch, size_of, square


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (square(224), "224"),
        (ImageShape(240, 320), "240x320"),
        (ImageShape(64, 64, 1), "64 with 1 channel"),
        (ImageShape(64, 96, 4), "64x96 with 4 channels"),
    ],
)
def test_a_shape_prints_as_its_options(shape: ImageShape, text: str) -> None:
    """Channels are said where they are not three."""
    assert text == str(shape)
    assert shape == size_of(text.partition(" ")[0]).with_channels(shape.channels)


def test_the_height_comes_first() -> None:
    """As in tensors of PyTorch, and as input shapes are recorded."""
    assert (3, 240, 320) == size_of("240x320").dimensions
    assert size_of("240x320") == of_batch((8, 3, 240, 320))


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "x", "240x", "x320", "240x0", "240X320", "240x320x1", "240*320", "224.0", "1e3", "1000000", "٢٢٤"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected 1 to 99999 pixels: 224 for squares, or HEIGHTxWIDTH such as 240x320, the height first"):
        size_of(text)


def test_libraries_get_one_side_of_a_square() -> None:
    assert (224, (240, 320)) == (USUAL.sides, size_of("240x320").sides)


def test_squares_in_three_channels_are_kept_as_a_number() -> None:
    """Files and checkouts from before shapes have nothing else."""
    shapes = [square(64), ImageShape(64, 96), ImageShape(64, 64, 1)]
    kept = [msgspec.json.encode(shape.brief) for shape in shapes]

    assert b"64" == kept[0]
    assert shapes == [from_brief(msgspec.json.decode(text, type=int | ImageShape)) for text in kept]


def test_texts_have_no_image_shape() -> None:
    assert (None, None) == (of_batch((8, 128)), of_batch(()))
