"""A bottleneck ResNet and a ViT of few blocks, in PyTorch alone: under an emulator the import of timm takes as long as a step.

Blocks, widths and initialization are those of the usual models, so that the same kernels are chosen.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from emulation import VIT_IMAGE_SIZE

CLASSES = 1000
XLA_IMAGE_SIZE = 64


def resnet() -> nn.Module:
    """Return a ResNet of two bottleneck blocks: one with a convolution in its shortcut, as where stages begin, and one without.

    Its stem has half of the FLOPs, and not the 3 % that it has of ResNet-50's.
    """
    blocks = [Bottleneck(64, 64, stride=2), Bottleneck(256, 64)]
    stem = [*_convolution(3, 64, size=7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, CLASSES))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


def vit() -> nn.Module:
    """Return ViT-Ti with one of its twelve blocks, and patches of 4 pixels: small images, and more than a handful of tokens.

    With larger patches their embedding would be more than 5 % of the FLOPs, which it is of no usual ViT.
    """
    return VisionTransformer(image_size=VIT_IMAGE_SIZE, patch_size=4, width=192, depth=1, heads=3)


def convolutions() -> nn.Module:
    """Return two convolutions and a product: as few layers as show whether INT8 is in force."""
    first, second = _convolution(3, 32, size=3, stride=2), _convolution(32, 64, size=3, stride=2)
    return nn.Sequential(*first, nn.ReLU(), *second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def tiny_vit() -> nn.Module:
    """Return ViT-Ti/16 for images of 64 pixels, with two of its twelve blocks: XLA's CPU compiler takes minutes for more."""
    return VisionTransformer(image_size=XLA_IMAGE_SIZE, patch_size=16, width=192, depth=2, heads=3)


def _convolution(inputs: int, outputs: int, *, size: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut, four times as wide at its end."""

    def __init__(self, inputs: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        outputs = 4 * width
        narrow = [*_convolution(inputs, width, size=1), nn.ReLU(), *_convolution(width, width, size=3, stride=stride), nn.ReLU()]
        self.branch = nn.Sequential(*narrow, *_convolution(width, outputs, size=1))
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(inputs, outputs, size=1, stride=stride))

    def forward(self, images: Tensor) -> Tensor:
        return functional.relu(self.branch(images) + self.shortcut(images))


class TransformerBlock(nn.Module):
    """Attention and an MLP, each after a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        samples, count, width = tokens.shape
        qkv = self.qkv(self.before_attention(tokens)).reshape(samples, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.projection(attended.transpose(1, 2).reshape(samples, count, width))
        return tokens + self.mlp(tokens)  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """Patches and a class token through `depth` blocks; the mean of all tokens is classified.

    With random weights and one block the class token stays far smaller than the patches, which share its scale once they are quantized.
    """

    def __init__(self, *, image_size: int, patch_size: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch_size, patch_size)
        self.class_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, (image_size // patch_size) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.class_token.expand(images.shape[0], -1, -1), patches), dim=1) + self.positions
        return self.head(self.blocks(tokens).mean(dim=1))  # type: ignore[no-any-return]
