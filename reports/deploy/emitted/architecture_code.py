# SPDX-License-Identifier: Apache-2.0
"""The model's architecture: a function of the code that was copied beside this file."""

import json
from importlib import import_module
from pathlib import Path

import torch


def create() -> torch.nn.Module:
    """Return the model with random weights."""
    name = json.loads((Path(__file__).parent / "deployment.json").read_text())["architecture"]["name"]
    module, _, function = name.partition(":")
    made: torch.nn.Module = getattr(import_module(module), function)()
    return made
