# SPDX-License-Identifier: Apache-2.0
"""The model's architecture: a function of the code that was copied beside this file."""

from importlib import import_module
from typing import Any

import torch


def create(described: dict[str, Any]) -> torch.nn.Module:
    """Return the model, as deployment.json describes it.

    Seeded and built by one thread, as it was measured: weights.safetensors has neither buffers that are not persistent nor tensors that are
    attributes alone.
    """
    module, _, function = described["name"].partition(":")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(described["seed"])
        found = getattr(import_module(module), function)()
    finally:
        torch.set_num_threads(threads)
    made: torch.nn.Module = found[0] if isinstance(found, tuple) else found  # with example inputs that are None
    return made
