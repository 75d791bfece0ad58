"""Weights in the forms in which people keep checkpoints: chosen by what fits the model, never guessed between two."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fixtures import models
from fixtures.models import WeightsError, weights
from fixtures.models.torchvision_import import import_torchvision
from fixtures.protocol import ModelSpec
from reports.text.image_shape import square

State = dict[str, torch.Tensor]


class Small(nn.Module):
    """Two layers, one with statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 5)


def state(seed: int = 1) -> State:
    torch.manual_seed(seed)
    return Small().state_dict()


def renamed(prefix: str, of: State | None = None) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in (of or state()).items()}


def loaded(named: str) -> tuple[Small, str]:
    module = Small()
    return module, weights.load(weights.choose(weights.read(named), module), module)


def without_statistics(of: State) -> State:
    return {name: tensor for name, tensor in of.items() if not name.endswith("num_batches_tracked")}


def without(lost: str) -> dict[str, State]:
    return {"state_dict": {name: tensor for name, tensor in renamed("net.").items() if name != lost}}


FORMS: dict[str, tuple[Callable[[], Any], str]] = {
    "bare": (state, ""),
    "half": (
        lambda: {name: each.half() if each.is_floating_point() else each for name, each in state().items()},
        "8 tensors from float16 to float32",
    ),
    "data parallel": (lambda: renamed("module."), "taken from module"),
    "compiled": (lambda: renamed("_orig_mod."), ""),
    "compiled in parts": (lambda: {name.replace("body.", "body._orig_mod."): each for name, each in state().items()}, ""),
    "both": (lambda: renamed("module._orig_mod."), "taken from module"),
    "a trainer's": (
        lambda: {"epoch": 3, "state_dict": state(), "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
        "taken from state_dict",
    ),
    "with its options": (lambda: {"model": state(), "args": argparse.Namespace(lr=0.1)}, "taken from model"),
    "nested": (lambda: {"ckpt": {"model_state_dict": renamed("model.")}}, "taken from ckpt.model_state_dict.model"),
    "lightning": (
        lambda: {"state_dict": renamed("net.") | {"loss.weight": torch.ones(2)}, "hyper_parameters": {}},
        "taken from state_dict.net, 1 others left out (first: loss.weight)",
    ),
    "basicsr's": (lambda: {"params": state()}, "taken from params"),
    "averaged by torch": (
        lambda: renamed("module.") | {"n_averaged": torch.tensor(3)},
        "taken from module, 1 others left out (first: n_averaged)",
    ),
    "bfloat16": (
        lambda: {name: each.bfloat16() if each.is_floating_point() else each for name, each in state().items()},
        "8 tensors from bfloat16 to float32",
    ),
    "older than counted batches": (lambda: without_statistics(state()), ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_is_found_and_told(tmp_path: Path, form: str) -> None:
    """The record says from where the weights were taken, and what was left out."""
    make, told = FORMS[form]
    torch.save(make(), tmp_path / "kept.pt")
    module, found = loaded(str(tmp_path / "kept.pt"))

    assert found == told
    for name, tensor in without_statistics(state()).items():
        torch.testing.assert_close(tensor, module.state_dict()[name], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
    ("kept", "key", "other"),
    [
        ({"state_dict": state(1), "state_dict_ema": state(2)}, "state_dict_ema", "state_dict"),
        (renamed("student.", state(1)) | renamed("teacher.", state(2)), "teacher", "student"),
        ({"ema": {"module": state(2)}, "model": state(1)}, "ema", "model"),
        ({"params": state(1), "params_ema": state(2)}, "params_ema", "params"),
        (state(1) | renamed("ema.", state(2)), "ema", r"\(the file itself\)"),
        # Averaged weights often have no counted batches: they fit, and are neither left out unasked nor out of reach.
        (renamed("model.", state(1)) | renamed("ema.", without_statistics(state(2))), "ema", "model"),
        (state(1) | renamed("ema.", without_statistics(state(2))), "ema", r"\(the file itself\)"),
        ({"model": state(1) | renamed("ema.", without_statistics(state(2)))}, "model.ema", "model"),
        ({"model": without_statistics(state(2)) | renamed("ema.", state(1))}, "model", "model.ema"),
    ],
    ids=[
        *("averaged", "distilled", "nested", "basicsr", "beside bare ones"),
        *("fewer names", "fewer beside bare ones", "fewer below a key", "named by what leads to the other, too"),
    ],
)
def test_two_that_fit_are_never_guessed_between(tmp_path: Path, kept: Any, key: str, other: str) -> None:
    """The error lists both, and the option that names one of them."""
    file = tmp_path / "kept.pt"
    torch.save(kept, file)

    with pytest.raises(
        WeightsError, match=rf"more than one state dict that fits Small: .*{other}.*; name one, for example --weights kept\.pt::"
    ) as two:
        loaded(str(file))
    assert key in str(two.value)
    module, _ = loaded(f"{file}::{key}")
    assert torch.equal(state(2)["head.weight"], module.head.weight)
    assert weights.digest(f"{file}::{key}") != weights.digest(f"{file}::{other}")


@pytest.mark.parametrize(
    ("kept", "key", "message"),
    [
        # What holds most of the module is told, not a few names deeper in it that end as some of its own.
        (
            state() | {f"tail.{number}.head.weight": torch.ones(2) for number in range(9)},
            "",
            r"do not fit Small: 0 missing \(first: -\), 9 unknown \(first: \['tail.0.head.weight'\]\)",
        ),
        ({"state_dict": state()}, "::state_dict_ema", "hold nothing at 'state_dict_ema'; name one of state_dict"),
        # A prefix that leads to most of the names is not enough.
        (without("net.head.weight"), "", r"do not fit Small: 1 missing \(first: \['head.weight'\]\), 0 unknown"),
        (without("net.body.1.running_mean"), "", r"do not fit Small: 1 missing \(first: \['body.1.running_mean'\]\), 0 unknown"),
        # Another architecture may hold all names of this one.
        (state() | {"extra.weight": torch.ones(2)}, "", r"0 missing \(first: -\), 1 unknown \(first: \['extra.weight'\]\)"),
    ],
    ids=["another architecture", "a slip of the pen", "a lost weight", "lost statistics", "one layer more"],
)
def test_what_does_not_fit_is_told(tmp_path: Path, kept: Any, key: str, message: str) -> None:
    torch.save(kept, tmp_path / "kept.pt")

    with pytest.raises(WeightsError, match=message):
        loaded(f"{tmp_path / 'kept.pt'}{key}")


def sharded(folder: Path) -> None:
    parts = ({name: each for name, each in state().items() if name.startswith(first)} for first in ("body", "head"))
    places: dict[str, str] = {}
    for number, part in enumerate(parts):
        save_file(part, folder / f"part-{number}.safetensors")
        places |= dict.fromkeys(part, f"part-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("named", ["", "model.safetensors.index.json"])
def test_shards_are_one_checkpoint(tmp_path: Path, named: str) -> None:
    """Named by their folder or by their index; the digest is that of all of them."""
    sharded(tmp_path)
    module, found = loaded(str(tmp_path / named))
    before = weights.digest(str(tmp_path / named))

    assert (found, torch.equal(state()["head.weight"], module.head.weight)) == ("", True)
    save_file(renamed("", {name: each for name, each in state(2).items() if name.startswith("head")}), tmp_path / "part-1.safetensors")
    assert before != weights.digest(str(tmp_path / named))


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({"weight_map": {"head.weight": "../other.safetensors"}}, "names '../other.safetensors': shards lie beside their index"),
        ({"weight_map": {"head.weight": "lost.safetensors"}}, "there is no file '.*lost.safetensors'"),
        ({"weight_map": {"head.weight": 3}}, "names '3': shards lie beside their index"),
        ({"weights": {}}, "has no 'weight_map' of names to files"),
        ([], "has no 'weight_map' of names to files"),
    ],
)
def test_bad_index_is_refused(tmp_path: Path, index: object, expected: str) -> None:
    """Nothing outside the folder is read."""
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(WeightsError, match=expected):
        loaded(weights.absolute(str(tmp_path)))


def test_folder_without_weights_is_refused(tmp_path: Path) -> None:
    """So is one with several files and no index."""
    with pytest.raises(WeightsError, match="the folder holds 0 indexes"):
        weights.absolute(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("torchvision:resnet18", "fc"),
        ("timm:resnet18", "fc"),
        ("timm:vit_tiny_patch16_224", "head"),
        ("torchvision:mobilenet_v2", "classifier.1"),
    ],
)
def test_number_of_classes_is_the_checkpoints(tmp_path: Path, name: str, head: str) -> None:
    """A model fine-tuned for ten classes is served with ten."""
    spec = ModelSpec(name=name, image=square(64), seed=3)
    whole = dict(models.create(spec).state_dict())
    ten = whole | {f"{head}.{part}": whole[f"{head}.{part}"][:10].clone() for part in ("weight", "bias")}
    torch.save({"state_dict": ten}, tmp_path / "kept.pt")
    built = models.build(ModelSpec(name=name, image=square(64), weights=str(tmp_path / "kept.pt")))

    assert built.classes == 10
    assert built.module(torch.zeros(1, 3, 64, 64)).shape == (1, 10)
    assert torch.equal(ten[f"{head}.weight"], built.module.state_dict()[f"{head}.weight"])


def test_heads_that_only_training_runs_may_be_missing(tmp_path: Path) -> None:
    """People train GoogLeNet without them; a weight that an inference reads may not."""
    import_torchvision()
    from torchvision.models import googlenet

    state = dict(googlenet(weights=None, init_weights=False, aux_logits=False).state_dict())
    torch.save(state, tmp_path / "kept.pt")
    module = googlenet(weights=None, init_weights=False)
    weights.load(weights.choose(weights.read(str(tmp_path / "kept.pt")), module), module)

    assert torch.equal(state["fc.weight"], module.fc.weight)
    torch.save({name: tensor for name, tensor in state.items() if name != "fc.bias"}, tmp_path / "kept.pt")
    with pytest.raises(WeightsError, match=r"1 missing \(first: \['fc.bias'\]\)"):
        weights.choose(weights.read(str(tmp_path / "kept.pt")), module)


class Tied(nn.Module):
    """A language model's head is its table of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.table.weight


def test_one_of_tied_weights_is_enough(tmp_path: Path) -> None:
    """A safetensors file cannot hold a tensor twice."""
    file = tmp_path / "weights.safetensors"
    save_file({"table.weight": torch.ones(5, 3)}, file)
    model = Tied()
    weights.load(weights.choose(weights.read(str(file)), model), model)

    assert torch.equal(torch.ones(5, 3), model.head.weight)


def test_tied_weights_of_different_values_are_refused(tmp_path: Path) -> None:
    """Whichever is loaded last would be both, a model that nobody trained; two equal copies are loaded."""
    file = tmp_path / "weights.safetensors"
    save_file({"table.weight": torch.ones(5, 3), "head.weight": torch.zeros(5, 3)}, file)
    model = Tied()

    with pytest.raises(WeightsError, match=r"(table|head)\.weight and (table|head)\.weight have different values, and Tied has one tensor"):
        weights.load(weights.choose(weights.read(str(file)), model), model)
    save_file({"table.weight": torch.ones(5, 3), "head.weight": torch.ones(5, 3).half()}, file)
    assert "1 tensors from float16 to float32" == weights.load(weights.choose(weights.read(str(file)), model), model)
    assert torch.equal(torch.ones(5, 3), model.head.weight)


@pytest.mark.parametrize(
    ("text", "file", "key"), [("a.pt", "a.pt", ""), ("a.pt::ema", "a.pt", "ema"), ("x::y/a.pt::model.ema", "x::y/a.pt", "model.ema")]
)
def test_key_follows_the_last_double_colon(text: str, file: str, key: str) -> None:
    assert (Path(file), key) == weights.split(text)


def test_a_torch_that_a_checkpoint_can_subvert_takes_safetensors_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2026-24747; PyTorch/XLA still needs torch 2.9."""
    model = torch.nn.Linear(2, 2)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    monkeypatch.setattr(torch, "__version__", "2.9.0+cu128")

    assert {"weight", "bias"} == set(weights.read(str(tmp_path / "w.safetensors")).states[""])
    with pytest.raises(WeightsError, match=r"w\.pt': by torch 2\.9\.0.* only safetensors are taken: save it with safetensors"):
        weights.read(str(tmp_path / "w.pt"))
    monkeypatch.setattr(torch, "__version__", "2.10.0")
    assert {"weight", "bias"} == set(weights.read(str(tmp_path / "w.pt")).states[""])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("complex dense", lambda tensor: tensor.to(torch.complex64)),  # whose imaginary part would be lost
        ("sparse_coo", lambda tensor: tensor.to_sparse()),
        ("meta .without values.", lambda tensor: tensor.to("meta")),
    ],
)
def test_tensors_of_another_kind_are_refused(tmp_path: Path, kind: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """A sentence in place of torch's traceback."""
    module = nn.Linear(3, 2)
    torch.save({"weight": change(module.weight.detach()), "bias": module.bias.detach()}, tmp_path / "weights.pt")

    chosen = weights.choose(weights.read(str(tmp_path / "weights.pt")), module)
    with pytest.raises(WeightsError, match=f"weight is a {kind} tensor, Linear expects a dense one; save the state dict"):
        weights.load(chosen, module)


def test_a_checkpoint_that_holds_itself_is_read_once(tmp_path: Path) -> None:
    """Under each of its names it would be read again, and so within these."""
    content: dict[str, Any] = dict(nn.Linear(3, 2).state_dict())
    content["me"] = content["myself"] = content
    torch.save(content, tmp_path / "weights.pt")

    assert [""] == list(weights.read(str(tmp_path / "weights.pt")).states)
