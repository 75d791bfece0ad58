"""A small BERT in a folder of its own, and texts of three lengths."""

import json
from pathlib import Path

import pytest

from fixtures.inputs.lengths import named
from fixtures.protocol import ModelSpec

CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 200,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,  # so that attention, and with it the mask, weighs as much as in a trained model
}


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the config of a model whose weights are drawn."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture(scope="session")
def texts(bert: Path) -> ModelSpec:
    """The model with 16 texts of 6, 20 and 40 tokens, 4 in a batch."""
    return ModelSpec(name=f"transformers:{bert}", sequence_length=40, batch_size=4, lengths=named("6:0.5,20:0.25,40:0.25"), texts=16)
