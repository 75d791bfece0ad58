"""The shape of a model's images as options, records and messages have it: `224` is square, `240x320` is height by width."""

import re
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

RGB = 3
_SIDES = re.compile(r"(?P<height>[0-9]{1,5})(x(?P<width>[0-9]{1,5}))?")


class ImageShape(Struct, frozen=True):
    """Height and width in pixels, and channels; the height comes first, as PyTorch has it."""

    height: int
    width: int
    channels: int = RGB

    def __str__(self) -> str:
        """Return `224`, `240x320`, `240x320 with 1 channel`."""
        size = f"{self.height}" if self.is_square else f"{self.height}x{self.width}"
        return size if self.channels == RGB else f"{size} with {channels_text(self.channels)}"

    @property
    def is_square(self) -> bool:
        return self.height == self.width

    @property
    def shorter(self) -> int:
        """The pixels of the shorter side."""
        return min(self.height, self.width)

    @property
    def dimensions(self) -> tuple[int, int, int]:
        """The shape of one image's tensor: channels, height, width."""
        return self.channels, self.height, self.width

    @property
    def sides(self) -> int | tuple[int, int]:
        """What libraries take as an image's size: the side of a square, else height and width."""
        return self.height if self.is_square else (self.height, self.width)

    @property
    def brief(self) -> "int | ImageShape":
        """The side of a square in three channels, as all that came before this type has it; else the shape."""
        return self.height if self == square(self.height) else self

    def with_channels(self, channels: int) -> "ImageShape":
        """Return the same size in so many channels."""
        return replace(self, channels=channels)

    def within(self, side: int) -> "ImageShape":
        """Return the shape with sides of at most `side` pixels."""
        return replace(self, height=min(side, self.height), width=min(side, self.width))


def square(side: int) -> ImageShape:
    """Return the shape of square images in three channels."""
    return ImageShape(side, side)


USUAL = square(224)


def channels_text(count: int) -> str:
    """Return `1 channel`, `4 channels`."""
    return f"{count} {'channel' if count == 1 else 'channels'}"


def from_brief(brief: int | ImageShape) -> ImageShape:
    """Return what `ImageShape.brief` tells."""
    return square(brief) if isinstance(brief, int) else brief


def of_batch(shape: Sequence[int]) -> ImageShape | None:
    """Return the images of a batch of that shape; None for what is no batch of images."""
    return ImageShape(shape[2], shape[3], shape[1]) if len(shape) == 4 else None


def size_of(text: str) -> ImageShape:
    """Return what `224` or `240x320` says, in three channels. Raises ValueError."""
    found = _SIDES.fullmatch(text)
    height, width = (int(found[name] or found["height"]) for name in ("height", "width")) if found else (0, 0)
    if not height or not width:
        raise ValueError(f"expected 1 to 99999 pixels: 224 for squares, or HEIGHTxWIDTH such as 240x320, the height first, found {text!r}")
    return ImageShape(height, width)
