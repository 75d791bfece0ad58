# SPDX-License-Identifier: Apache-2.0
"""The model's architecture: timm's, without weights."""

from typing import Any

import torch
from torchvision_import import import_torchvision


def create(described: dict[str, Any]) -> torch.nn.Module:
    """Return the model with random weights, as described; `VisionTransformer` is timm's class with its defaults (ViT-B/16)."""
    import_torchvision()
    import timm
    from timm.models.vision_transformer import VisionTransformer

    channels, height, width = described["image"]
    size = height if height == width else (height, width)
    others = {"num_classes": described["classes"]} if described["classes"] else {}
    if channels != 3:
        others["in_chans"] = channels
    if described["name"] == "VisionTransformer":
        return VisionTransformer(img_size=size, **others)
    module: torch.nn.Module
    try:
        module = timm.create_model(described["name"], pretrained=False, img_size=size, **others)
    except TypeError:  # convolutional models take any size and have no such argument
        module = timm.create_model(described["name"], pretrained=False, **others)
    return module
