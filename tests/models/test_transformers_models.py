"""Models of transformers by name and from folders: nothing is unpickled."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fixtures import models
from fixtures.models import UnknownModelError, WeightsError
from fixtures.models.sets import SETS
from fixtures.models.torchvision_import import import_torchvision
from fixtures.models.transformers_models import SIZES
from fixtures.protocol import ModelSpec
from fixtures.steps.accuracy import compare
from reports.text.image_shape import square

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 100}


@pytest.fixture(scope="module")
def transformers() -> Any:
    import_torchvision()
    return pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path: Path, transformers: Any) -> Path:
    """A saved model with a head, as `save_pretrained` leaves it."""
    torch.manual_seed(3)
    transformers.BertForMaskedLM(transformers.BertConfig(**SMALL)).save_pretrained(tmp_path / "small-bert")
    return tmp_path / "small-bert"


def spec(name: object, **changes: Any) -> ModelSpec:
    return msgspec.structs.replace(ModelSpec(name=f"transformers:{name}", sequence_length=8, image=square(32)), **changes)


def test_folder_serves_its_own_head_and_weights(folder: Path, transformers: Any) -> None:
    """What was saved is what is served, whatever the seed."""
    saved = transformers.BertForMaskedLM.from_pretrained(folder).state_dict()
    built = models.build(spec(folder, seed=11))

    assert "transformers.small-bert" == models.model_id(f"transformers:{folder}")
    assert [("logits", (2, 8, 100))] == [
        (name, tuple(output.shape))
        for name, output in built.module.named_outputs(torch.zeros(2, 8, dtype=torch.int64))  # type: ignore[operator]
    ]
    assert all(torch.equal(tensor, saved[name.removeprefix("model.")]) for name, tensor in built.module.state_dict().items())
    assert models.is_transformer(built.module)


def test_head_of_gpt2_is_its_own(tmp_path: Path, transformers: Any) -> None:
    """It is named by an older word; without it the model would be served without its scores of tokens."""
    config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=16, vocab_size=100)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")

    assert (1, 8, 100) == tuple(models.create(spec(tmp_path / "gpt"))(torch.zeros(1, 8, dtype=torch.int64)).shape)


def test_head_can_be_chosen(folder: Path) -> None:
    """Behind the name, as auto classes have it."""
    built = models.build(spec(f"{folder}:ForSequenceClassification"))
    module = built.module

    assert built.weights_found.startswith("4 tensors drawn at random (first: ")
    assert (1, 2) == tuple(module(torch.zeros(1, 8, dtype=torch.int64)).shape)


def configured(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_bare_model_of_weights_with_a_head_tells_both(folder: Path) -> None:
    """Masked words train no pooler, so that it is drawn; and what was trained for them is not used."""
    configured(folder, architectures=["BertModel"])
    found = models.build(spec(folder)).weights_found
    drawn, _, others = found.partition("), ")

    assert "2 tensors drawn at random (first: pooler.dense.bias" == drawn
    assert re.fullmatch(r"\d+ others left out \(first: cls\.predictions\..*\)", others)


@pytest.mark.parametrize("head", ["BertForMaskedLM", "BertModel"])
def test_weights_below_another_prefix_are_no_random_ones(folder: Path, head: str) -> None:
    """A whole body that is drawn at random is no model of its folder."""
    configured(folder, architectures=[head])
    file = folder / "model.safetensors"
    wrapped = {f"module.{name}": tensor for name, tensor in load_file(file).items()}
    file.unlink()  # the tensors are mapped from it
    save_file(wrapped, file, metadata={"format": "pt"})

    with pytest.raises(WeightsError, match=rf"of layers of {head} are missing \(first: .*layer\.0\..* unknown \(first: module\.bert\."):
        models.build(spec(folder))


@pytest.mark.parametrize("head", ["BertForMaskedLM", "BertModel"])
def test_layers_that_the_weights_lack_are_not_drawn(folder: Path, head: str) -> None:
    """So a config with more layers is refused, whatever its head."""
    configured(folder, architectures=[head], num_hidden_layers=2)

    with pytest.raises(WeightsError, match=rf"16 tensors of layers of {head} are missing \(first: (bert\.)?encoder\.layer\.1\."):
        models.build(spec(folder))


def test_number_of_labels_is_the_checkpoints(tmp_path: Path, transformers: Any) -> None:
    """A classifier of seven labels is served with seven; another table of tokens is another model."""
    config = transformers.BertConfig(**SMALL)
    config.save_pretrained(tmp_path / "bare")
    trained = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL, num_labels=7)).state_dict()
    torch.save({"model": trained}, tmp_path / "seven.pt")
    named = spec(f"{tmp_path / 'bare'}:ForSequenceClassification", weights=str(tmp_path / "seven.pt"))
    built = models.build(named)

    assert (7, (1, 7)) == (built.classes, tuple(built.module(torch.zeros(1, 8, dtype=torch.int64)).shape))
    assert torch.equal(trained["classifier.weight"], built.module.state_dict()["model.classifier.weight"])
    words = "bert.embeddings.word_embeddings.weight"
    torch.save(trained | {words: torch.zeros(90, 16)}, tmp_path / "seven.pt")
    with pytest.raises(WeightsError, match=r"has shape \(90, 16\), BertForSequenceClassification expects \(100, 16\)|has shape \(7,"):
        models.build(named)


def test_config_alone_is_drawn_from_the_seed(folder: Path) -> None:
    """A folder without weights is an architecture."""
    (folder / "model.safetensors").unlink()
    weights = [models.create(spec(folder, seed=seed)).state_dict() for seed in (0, 0, 1)]

    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert not all(torch.equal(tensor, weights[2][name]) for name, tensor in weights[0].items())


def test_pickled_weights_are_not_read(folder: Path) -> None:
    """Nor replaced by random ones without a word."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(WeightsError, match=r"has its weights in pytorch_model.bin, which is not read .* save them as safetensors"):
        models.create(spec(folder))


def test_artifacts_depend_on_the_weights_and_the_length(folder: Path) -> None:
    before = models.content(spec(folder))
    assert before == models.content(spec(folder))
    assert before != models.content(spec(folder, sequence_length=9))
    (folder / "model.safetensors").unlink()

    assert before != models.content(spec(folder))


def test_tokens_are_distinct_and_the_same_in_every_draw(folder: Path) -> None:
    """Outputs of different batch sizes are compared row by row."""
    inputs = models.build(spec(folder)).inputs
    assert inputs is not None
    [few], [many] = inputs.draw(2, 1).values(), inputs.draw(9, 1).values()

    assert (9, 8) == many.shape
    assert np.int64 == many.dtype
    assert np.array_equal(few, many[:2])
    assert len({row.tobytes() for row in many}) == 9
    assert 10 <= many.min() < many.max() < 100


def test_encoder_and_decoder_are_fed(tmp_path: Path, transformers: Any) -> None:
    """One pass through both, without a cache of keys and values."""
    config = transformers.T5Config(
        d_model=16, d_ff=32, num_layers=1, num_heads=2, d_kv=8, vocab_size=100, architectures=["T5ForConditionalGeneration"]
    )
    config.save_pretrained(tmp_path / "t5")
    built = models.build(spec(tmp_path / "t5"))
    assert built.inputs is not None
    rows = built.inputs.draw(2, 0)

    assert ["input_ids", "decoder_input_ids"] == list(rows)
    assert not np.array_equal(rows["input_ids"], rows["decoder_input_ids"])
    named = built.module.named_outputs(*(torch.from_numpy(array) for array in rows.values()))  # type: ignore[operator]
    assert ["logits", "encoder_last_hidden_state"] == [name for name, _ in named]


def test_a_cache_is_no_output(tmp_path: Path, transformers: Any) -> None:
    """XLNet keeps hidden states for the next call, samples along their second dimension."""
    transformers.XLNetConfig(d_model=16, n_layer=1, n_head=2, d_inner=32, vocab_size=100).save_pretrained(tmp_path / "xlnet")
    module = models.create(spec(f"{tmp_path / 'xlnet'}:ForCausalLM"))

    assert [("logits", (2, 8, 100))] == [
        (name, tuple(output.shape))
        for name, output in module.named_outputs(torch.zeros(2, 8, dtype=torch.int64))  # type: ignore[operator]
    ]


def test_deberta_is_served_in_bf16(tmp_path: Path, transformers: Any) -> None:
    """It would mask scores with the minimum of another type; weights keep their names, fp32 its outputs, and the graph is whole."""
    relative = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False, "type_vocab_size": 0}
    torch.manual_seed(3)
    saved = transformers.DebertaForMaskedLM(transformers.DebertaConfig(**SMALL, **relative)).eval()
    for attention in (layer.attention.self for layer in saved.deberta.encoder.layer):
        torch.nn.init.normal_(attention.q_bias)
        torch.nn.init.normal_(attention.v_bias)
    saved.save_pretrained(tmp_path / "deberta")
    module = models.create(spec(tmp_path / "deberta"))
    tokens = torch.arange(16).reshape(2, 8) + 20
    with torch.no_grad():
        expected = saved(tokens).logits
        in_fp32 = module(tokens)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            in_bf16 = module(tokens)

    assert list(saved.state_dict()) == [name.removeprefix("model.") for name in module.state_dict()]
    assert torch.equal(expected, in_fp32)
    assert compare(in_bf16.float().numpy(), expected.numpy()).keeps(20.0)
    assert torch._dynamo.explain(module)(tokens).graph_break_count == 0


def test_pictures_are_of_the_asked_size(tmp_path: Path, transformers: Any) -> None:
    """A vision model of transformers takes images as others do."""
    small = {name: value for name, value in SMALL.items() if name != "vocab_size"}
    transformers.ViTConfig(**small, patch_size=16).save_pretrained(tmp_path / "vit")
    built = models.build(spec(tmp_path / "vit"))
    assert built.inputs is not None

    assert {"pixel_values": (2, 3, 32, 32)} == {name: array.shape for name, array in built.inputs.draw(2, 0).items()}


def test_texts_longer_than_the_positions_get_more_positions(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    built = models.build(spec(folder, sequence_length=600))

    assert (1, 600, 100) == tuple(built.module(torch.zeros(1, 600, dtype=torch.int64)).shape)


def test_texts_longer_than_trained_positions_are_refused(folder: Path) -> None:
    """Positions that were never trained would be drawn at random."""
    with pytest.raises(WeightsError, match="are for texts of at most 512 tokens, and 600 were asked for: name a smaller --sequence-length"):
        models.build(spec(folder, sequence_length=600))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "bert-base-uncased",
            r"no model type 'bert-base-uncased'; close to it: bert-base.*transformers:\./folder.*--pretrained a model of the hub",
        ),
        ("bert:ForNothing", "no class AutoModelForNothing; name one of its heads: .*ForMaskedLM"),
        ("whisper", "takes input_features: only tokens and images are made here; write a factory"),
        ("/no/such/folder", r"there is no /no/such/folder/config\.json; save one with model\.save_pretrained"),
    ],
)
def test_model_that_there_is_none_of_says_what_there_is(transformers: Any, name: str, reason: str) -> None:
    with pytest.raises(UnknownModelError, match=reason):
        models.create(spec(name))


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"model_type": "no_such_type"}), "{}"])
def test_damaged_config_is_named(tmp_path: Path, transformers: Any, content: str) -> None:
    (tmp_path / "config.json").write_text(content)

    with pytest.raises(UnknownModelError, match="is no config of a model that transformers knows"):
        models.create(spec(tmp_path))


@pytest.mark.parametrize("name", SETS)
def test_every_model_of_a_set_has_a_name_that_its_source_knows(name: str, transformers: Any) -> None:
    """And none that is provided is listed as missing."""
    import timm
    from torchvision.models import list_models

    known = {"torchvision": list_models(), "timm": timm.list_models()}
    for model in SETS[name].models.values():
        source, _, rest = models.full_name(model).partition(":")
        if source == "transformers":
            arch, _, head = rest.partition(":")
            assert arch in SIZES or arch in transformers.CONFIG_MAPPING, model
            assert hasattr(transformers, f"AutoModel{head}"), model
        elif models.source_of(model) == "code":
            assert callable(getattr(import_module(source), rest)), model
        else:
            assert rest in known[source], model
    assert len({models.model_id(model) for model in SETS[name].models.values()}) == len(SETS[name].models)
    assert not set(SETS[name].models) & set(SETS[name].missing)


@pytest.mark.parametrize(("name", "count"), [("torchbench", 45), ("huggingface", 33)])
def test_sets_have_as_many_models_as_the_published_ones(name: str, count: int) -> None:
    """Each is provided or named as missing with a reason."""
    found = SETS[name]

    assert found.published.models == len(found.models) + len(found.missing) == count
