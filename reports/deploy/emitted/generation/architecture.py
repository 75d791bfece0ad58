# SPDX-License-Identifier: Apache-2.0
"""The model's architecture: a causal language model of transformers by its config, without weights."""

from contextlib import suppress
from pathlib import Path

import torch
from torchvision_import import import_torchvision


def create(_described: None) -> torch.nn.Module:
    """Return the model in fp32 with random weights; its config, and not deployment.json, describes it."""
    with suppress(ImportError):  # transformers imports it where it is there, and needs none
        import_torchvision()
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    config = AutoConfig.from_pretrained(Path(__file__).parent / "artifact", local_files_only=True, trust_remote_code=False)
    module: torch.nn.Module = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return module
