"""A network of equal blocks: one block more is one block's arithmetic more, by the same kernel on the same shapes.

The study puts this file into its repository as `fixtures/models/synthetic_models.py`; its branches differ in `BLOCKS` and
`GAIN` alone.
"""

import torch
from torch import nn

BLOCKS = 20
GAIN = 1.0
CHANNELS = 64
PATCH = 4
CLASSES = 10


class SyntheticBlock(nn.Module):
    """A 3x3 convolution with its activation, which a runtime fuses into one node; many more would take long to compile."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="relu")  # outputs neither grow nor vanish with their number

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        activated: torch.Tensor = self.convolution(images).relu()
        return activated


class Classifier(nn.Module):
    """Patches, blocks, mean, classes: 99.6 % of the arithmetic is in the blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, CHANNELS, PATCH, stride=PATCH)
        self.blocks = nn.Sequential(*(SyntheticBlock() for _ in range(BLOCKS)))
        self.classes = nn.Linear(CHANNELS, CLASSES)
        nn.init.normal_(self.classes.weight, std=GAIN / CHANNELS**0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classes(self.blocks(self.patches(images)).mean((2, 3)))
        return scores


def create(_name: str, _image: object) -> nn.Module:
    """Return the network with random weights, for any image size that patches divide."""
    return Classifier()
