# SPDX-License-Identifier: Apache-2.0
"""The model's architecture: torchvision's, without weights."""

from typing import Any

import torch
from torchvision_import import import_torchvision

# With torchvision's own weights these rescale their input, and have no heads that only training runs.
OF_PRETRAINED = {"googlenet": {"transform_input": True, "aux_logits": False}, "inception_v3": {"transform_input": True}}


def create(described: dict[str, Any]) -> torch.nn.Module:
    """Return the model with random weights, as deployment.json describes it."""
    import_torchvision()
    from torchvision.models import get_model_builder

    _channels, height, _width = described["image"]  # three channels and a square where they matter
    size = {"image_size": height} if described["name"].startswith("vit_") else {}
    heads = {"num_classes": described["classes"]} if described["classes"] else {}
    trained = OF_PRETRAINED.get(described["name"], {}) if described.get("pretrained") else {}
    module: torch.nn.Module = get_model_builder(described["name"])(weights=None, **size, **heads, **trained)
    return module
