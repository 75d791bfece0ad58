"""A small Llama-like model in a folder of its own."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import pytest

from fixtures.generation import greedy
from fixtures.protocol import ModelSpec
from tests import benches

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 128,
}
# Its layers are of a kind of its own, but for the last one.
GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 64}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the config of a model of half a million parameters, whose weights are drawn."""
    folder = tmp_path_factory.mktemp("llama")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture(scope="session")
def decode(folder: Path) -> ModelSpec:
    """The model with 20 tokens in its cache."""
    return ModelSpec(name=f"transformers:{folder}", sequence_length=20, batch_size=1, phase="decode", new_tokens=8)


@pytest.fixture(scope="session")
def prefill(folder: Path) -> ModelSpec:
    """The model that takes prompts of 20 tokens, two at once."""
    return ModelSpec(name=f"transformers:{folder}", sequence_length=20, batch_size=2, phase="prefill", new_tokens=4)


job_of = partial(benches.job_of, runtime="torch_generation")


def of_config(folder: Path, model: ModelSpec, config: Mapping[str, object]) -> ModelSpec:
    """The point of `model` for a model of another config, which is written into `folder`."""
    (folder / "config.json").write_text(json.dumps(config))
    return msgspec.structs.replace(model, name=f"transformers:{folder}")


@pytest.fixture(scope="session")
def drawn(decode: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two prompts, of fp32's tokens after them, and of the reference's logits."""
    folder = tmp_path_factory.mktemp("drawn")
    greedy.write(job_of(decode), 2, folder)
    return folder
