"""Pretrained weights by the libraries' own loaders: from their caches, or one sentence that names the cache and the file."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.request
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fixtures import models
from fixtures.bench.launch import ROOT
from fixtures.models import UnknownModelError, WeightsError, fetch
from fixtures.models.torchvision_models import offered, usual_weights
from fixtures.protocol import ModelSpec
from reports.text.image_shape import square
from tests.models.test_models import Payload

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64), pretrained=True)
NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
BUILD = """
import json, sys
from fixtures import models
from fixtures.models import state
from fixtures.protocol import ModelSpec
from reports.text.image_shape import square
found = {}
for asked in sys.argv[1:]:
    name, _, channels = asked.partition(" ")
    try:
        built = models.build(ModelSpec(name=name, image=square(64).with_channels(int(channels or 3)), pretrained=True))
        found[asked] = [state.state(built.module), built.weights_found]
    except models.ModelError as error:
        found[asked] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


@cache
def trained(name: str) -> dict[str, torch.Tensor]:
    """Weights other than those that the suite draws, and statistics that were taken."""
    state = dict(models.create(ModelSpec(name=name, image=square(64), seed=7)).state_dict())
    return {key: tensor.clone() for key, tensor in state.items()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(urllib.request, "_opener", None)  # which keeps the proxies of its first use, and other tests must not have these
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
    assert models.content(RESNET) != models.content(ModelSpec(name=RESNET.name, image=square(64)))


def test_without_network_the_cache_and_the_file_are_named(hub: Path) -> None:
    with pytest.raises(WeightsError, match=rf"{offered('resnet18').file} is not in {hub}, .* put the file there, or give --weights FILE"):
        models.build(RESNET)


def test_file_that_does_not_fit_is_refused(hub: Path) -> None:
    torch.save(trained("torchvision:resnet34"), hub / offered("resnet18").file)

    with pytest.raises(WeightsError, match="or does not fit"):
        models.build(RESNET)


def test_transformer_of_another_size_says_which_one(hub: Path) -> None:
    with pytest.raises(WeightsError, match="these weights are for images of 224 pixels: name --image-size 224"):
        models.build(ModelSpec(name="torchvision:vit_b_16", image=square(64), pretrained=True))


@pytest.mark.parametrize(
    ("name", "shape", "is_taken"),
    [("resnet18", ("64", "64", "3"), True), ("resnet18", ("64", "64", "1"), False), ("vit_b_16", ("64", "64", "3"), False)],
)
def test_weights_of_other_images_are_not_taken(
    hub: Path, capsys: pytest.CaptureFixture[str], name: str, shape: tuple[str, ...], is_taken: bool
) -> None:
    """The refusal comes first: of grey images, or of another size than a transformer's; nothing is said to be taken, and nothing is."""
    assert 0 == fetch.main([*shape, f"torchvision:{name}"])
    assert is_taken == (f"MiB are taken from the network into {hub}" in capsys.readouterr().out)


@pytest.mark.parametrize("name", ["torchvision:resnet5", "timm:resnet5", "timm:VisionTransformer"])
def test_models_without_any_are_unknown(hub: Path, name: str) -> None:
    with pytest.raises(UnknownModelError, match="take one that"):
        models.build(ModelSpec(name=name, image=square(64), pretrained=True))


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("vit_b_16", "IMAGENET1K_V1"),
        ("regnet_y_16gf", "IMAGENET1K_V2"),
        ("vit_h_14", "IMAGENET1K_SWAG_E2E_V1"),
        ("resnet50", "IMAGENET1K_V2"),
    ],
)
def test_they_are_those_that_torchvision_calls_its_default(name: str, usual: str) -> None:
    """The last of its list are others: for other sizes, or a head on frozen features."""
    assert usual == offered(name).name


def test_code_in_a_file_is_not_run(hub: Path, tmp_path: Path) -> None:
    """torchvision's own loader would unpickle it."""
    torch.save({"conv1.weight": Payload(tmp_path / "harmed")}, hub / offered("resnet18").file)

    with pytest.raises(WeightsError, match="or does not fit"):
        models.build(RESNET)
    assert not (tmp_path / "harmed").exists()


def test_model_is_made_as_torchvision_makes_it_of_its_weights(hub: Path) -> None:
    """GoogLeNet rescales its input then, and lacks the heads that only training runs."""
    from torchvision.models import googlenet

    torch.save(googlenet(weights=None, init_weights=False).state_dict(), hub / offered("googlenet").file)
    built: Any = models.build(ModelSpec(name="torchvision:googlenet", image=square(64), pretrained=True)).module

    assert (True, None) == (built.transform_input, built.aux1)


def test_older_names_of_weights_are_understood(hub: Path) -> None:
    """DenseNet's file has those of an older torchvision."""
    state = trained("torchvision:densenet121")
    older = {name.replace(".norm1.", ".norm.1."): tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(older, hub / offered("densenet121").file)
    built = models.build(ModelSpec(name="torchvision:densenet121", image=square(64), pretrained=True)).module

    assert older.keys() != state.keys()
    assert all(torch.equal(state[name], built.state_dict()[name]) for name in state if not name.endswith("num_batches_tracked"))


@pytest.mark.parametrize("is_whole", [True, False])
def test_they_are_taken_from_torch_hubs_url(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_whole: bool) -> None:
    """By torch.hub, which checks the digest that is in the file's name: what arrives otherwise is refused, and not kept."""
    name = "squeezenet1_1"
    torch.save(trained(f"torchvision:{name}"), tmp_path / "weights.pth")
    content = (tmp_path / "weights.pth").read_bytes()
    file = f"{name}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (tmp_path / file).write_bytes(content if is_whole else content[:-1])
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_arguments: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(usual_weights(name).value, "url", f"http://127.0.0.1:{server.server_address[1]}/{file}")
    spec = ModelSpec(name=f"torchvision:{name}", image=square(64), pretrained=True)
    try:
        if is_whole:
            found = models.build(spec).module.state_dict()
            assert all(torch.equal(tensor, found[name]) for name, tensor in trained(spec.name).items())
        else:
            with pytest.raises(WeightsError, match=f"{file} is not in {hub}, .* invalid hash value"):
                models.build(spec)
    finally:
        server.shutdown()
        server.server_close()
    assert ([file] if is_whole else []) == [each.name for each in hub.iterdir()]


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
        [sys.executable, "-c", BUILD, "timm:resnet18", "timm:resnet18.a1_in1k", "timm:resnet18 1", "timm:resnet34"],
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
    module = models.create(ModelSpec(name="timm:resnet18", image=square(64)))
    module.load_state_dict(trained("timm:resnet18"))
    from fixtures.models import state

    assert [state.state(module), "timm/resnet18.a1_in1k"] == built[name]


@pytest.mark.slow
def test_timms_are_fitted_to_other_channels(built: dict[str, list[str]]) -> None:
    """By timm itself, which adds up the weights of the first layer."""
    trained_for_grey, found = built["timm:resnet18 1"]

    assert "timm/resnet18.a1_in1k" == found
    assert trained_for_grey != built["timm:resnet18"][0]


@pytest.mark.slow
def test_timms_without_a_cache_name_it(built: dict[str, list[str]]) -> None:
    kind, message = built["timm:resnet34"]

    assert "WeightsError" == kind
    assert f"model.safetensors of timm/resnet34.a1_in1k is not in {built['home'][0]}/hub" in message
    assert "put the file there, or give --weights FILE" in message
