# SPDX-License-Identifier: Apache-2.0
"""The model's architecture: a causal language model of transformers by its config, without weights."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def create() -> torch.nn.Module:
    """Return the model in fp32 with random weights."""
    config = AutoConfig.from_pretrained(Path(__file__).parent / "artifact", local_files_only=True, trust_remote_code=False)
    module: torch.nn.Module = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return module
