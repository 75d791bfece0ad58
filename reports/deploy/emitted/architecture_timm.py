# SPDX-License-Identifier: Apache-2.0
"""The model's architecture: timm's, without weights."""

import json
from pathlib import Path

import torch
from torchvision_import import import_torchvision


def create() -> torch.nn.Module:
    """Return the model with random weights; `VisionTransformer` is timm's class with its defaults (ViT-B/16)."""
    import_torchvision()
    import timm
    from timm.models.vision_transformer import VisionTransformer

    facts = json.loads((Path(__file__).parent / "deployment.json").read_text())["architecture"]
    channels, height, width = facts["image"]
    size = height if height == width else (height, width)
    others = {"num_classes": facts["classes"]} if facts["classes"] else {}
    if channels != 3:
        others["in_chans"] = channels
    if facts["name"] == "VisionTransformer":
        return VisionTransformer(img_size=size, **others)
    module: torch.nn.Module
    try:
        module = timm.create_model(facts["name"], pretrained=False, img_size=size, **others)
    except TypeError:  # convolutional models take any size and have no such argument
        module = timm.create_model(facts["name"], pretrained=False, **others)
    return module
