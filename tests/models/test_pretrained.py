"""Pretrained weights by the libraries' own loaders: from their caches, or one sentence that names the cache and the file."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fixtures import models
from fixtures.bench.launch import ROOT
from fixtures.models import UnknownModelError, WeightsError
from fixtures.models.torchvision_models import offered
from fixtures.protocol import ModelSpec

RESNET = ModelSpec(name="torchvision:resnet18", image_size=64, pretrained=True)
NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
BUILD = """
import json, sys
from fixtures import models
from fixtures.models import state
from fixtures.protocol import ModelSpec
found = {}
for name in sys.argv[1:]:
    try:
        built = models.build(ModelSpec(name=name, image_size=64, pretrained=True))
        found[name] = [state.state(built.module), built.weights_found]
    except models.ModelError as error:
        found[name] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


@cache
def trained(name: str) -> dict[str, torch.Tensor]:
    """Weights other than those that the suite draws, and statistics that were taken."""
    state = dict(models.create(ModelSpec(name=name, image_size=64, seed=7)).state_dict())
    return {key: tensor.clone() for key, tensor in state.items()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_torchvisions_are_taken_from_its_cache(hub: Path) -> None:
    """The newest that it offers, with their name; the record does not call them random."""
    torch.save(trained(RESNET.name), hub / offered("resnet18").file)
    built = models.build(RESNET)

    assert "IMAGENET1K_V1" == built.weights_found
    assert all(torch.equal(tensor, built.module.state_dict()[name]) for name, tensor in trained(RESNET.name).items())
    assert "pretrained, of torchvision" == models.weights_of(RESNET)
    assert models.content(RESNET) != models.content(ModelSpec(name=RESNET.name, image_size=64))


def test_without_network_the_cache_and_the_file_are_named(hub: Path) -> None:
    with pytest.raises(WeightsError, match=rf"{offered('resnet18').file} is not in {hub}, .* put the file there, or give --weights FILE"):
        models.build(RESNET)


def test_file_that_does_not_fit_is_refused(hub: Path) -> None:
    torch.save(trained("torchvision:resnet34"), hub / offered("resnet18").file)

    with pytest.raises(WeightsError, match="or does not fit"):
        models.build(RESNET)


def test_transformer_of_another_size_says_which_one(hub: Path) -> None:
    with pytest.raises(WeightsError, match="these weights are for images of 224 pixels: name --image-size 224"):
        models.build(ModelSpec(name="torchvision:vit_b_16", image_size=64, pretrained=True))


@pytest.mark.parametrize("name", ["torchvision:resnet5", "timm:resnet5", "timm:VisionTransformer"])
def test_models_without_any_are_unknown(hub: Path, name: str) -> None:
    with pytest.raises(UnknownModelError, match="take one that"):
        models.build(ModelSpec(name=name, image_size=64, pretrained=True))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a process makes of names whose weights lie in the hub's own layout, and of one whose weights do not."""
    home = tmp_path_factory.mktemp("home")
    repository = home / "hub" / "models--timm--resnet18.a1_in1k"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    save_file({key: tensor.contiguous() for key, tensor in trained("timm:resnet18").items()}, snapshot / "model.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, "timm:resnet18", "timm:resnet18.a1_in1k", "timm:resnet34"],
        env=os.environ | NO_NETWORK | {"HF_HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found | {"home": [str(home)]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm:resnet18", "timm:resnet18.a1_in1k"])
def test_timms_are_taken_from_the_hubs_cache(built: dict[str, list[str]], name: str) -> None:
    """By the usual tag or a named one."""
    module = models.create(ModelSpec(name="timm:resnet18", image_size=64))
    module.load_state_dict(trained("timm:resnet18"))
    from fixtures.models import state

    assert [state.state(module), "timm/resnet18.a1_in1k"] == built[name]


@pytest.mark.slow
def test_timms_without_a_cache_name_it(built: dict[str, list[str]]) -> None:
    kind, message = built["timm:resnet34"]

    assert "WeightsError" == kind
    assert f"model.safetensors of timm/resnet34.a1_in1k is not in {built['home'][0]}/hub" in message
    assert "put the file there, or give --weights FILE" in message
