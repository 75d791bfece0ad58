# SPDX-License-Identifier: Apache-2.0
"""The model's architecture: torchvision's, without weights."""

import json
from pathlib import Path

import torch
from torchvision_import import import_torchvision

# With torchvision's own weights these rescale their input, and have no heads that only training runs.
OF_PRETRAINED = {"googlenet": {"transform_input": True, "aux_logits": False}, "inception_v3": {"transform_input": True}}


def create() -> torch.nn.Module:
    """Return the model with random weights."""
    import_torchvision()
    from torchvision.models import get_model_builder

    facts = json.loads((Path(__file__).parent / "deployment.json").read_text())["architecture"]
    _channels, height, _width = facts["image"]  # three channels and a square where they matter
    size = {"image_size": height} if facts["name"].startswith("vit_") else {}
    heads = {"num_classes": facts["classes"]} if facts["classes"] else {}
    trained = OF_PRETRAINED.get(facts["name"], {}) if facts.get("pretrained") else {}
    module: torch.nn.Module = get_model_builder(facts["name"])(weights=None, **size, **heads, **trained)
    return module
