"""Models of the Hugging Face hub: from its cache or the network, at one commit, which is recorded; in shards; never pickled."""

import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from fixtures import models
from fixtures.bench.fetching import fetch
from fixtures.bench.launch import Launcher
from fixtures.models import UnknownModelError, WeightsError, weights
from fixtures.models.torchvision_import import import_torchvision
from fixtures.protocol import ModelSpec
from reports.text.image_shape import USUAL
from tests.models.test_transformers_models import SMALL

NAME = "transformers:someone/tiny"
FIRST, SECOND = "a" * 40, "b" * 40


@cache
def library() -> Any:
    import_torchvision()
    return pytest.importorskip("transformers")


@cache
def tiny(seed: int) -> Any:
    torch.manual_seed(seed)
    return library().BertForMaskedLM(library().BertConfig(**SMALL))


def write(folder: Path, seed: int) -> None:
    """A repository of the hub as people publish it: config, tokenizer, weights in shards with their index."""
    folder.mkdir(parents=True)
    tiny(seed).save_pretrained(folder, max_shard_size="8KB")
    (folder / "tokenizer.json").write_text("{}")
    assert (folder / "model.safetensors.index.json").is_file()


def publish(hub: Path, commit: str, seed: int, branch: str = "main") -> Path:
    """Put a commit into the hub's cache, in its own layout, and let a branch be it."""
    repository = hub / "models--someone--tiny"
    write(repository / "snapshots" / commit, seed)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / branch).write_text(commit)
    return repository / "snapshots" / commit


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    library()
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def spec(name: str = NAME, **changes: Any) -> ModelSpec:
    return msgspec.structs.replace(ModelSpec(name=models.full_name(name), sequence_length=8, pretrained=True), **changes)


def equal(module: torch.nn.Module, seed: int) -> bool:
    own = {name.removeprefix("model."): tensor for name, tensor in module.state_dict().items()}
    return all(torch.equal(tensor, own[name]) for name, tensor in tiny(seed).state_dict().items())


def test_weights_and_commit_are_those_of_the_branch(hub: Path) -> None:
    """Shards are read by their index; the record tells the commit, and that they are pretrained."""
    publish(hub, FIRST, 1)
    built = models.build(spec())

    assert equal(built.module, 1)
    assert f"someone/tiny@{FIRST}" == built.weights_found
    assert "pretrained, of the hub" == models.weights_of(spec())


def test_later_builds_keep_to_the_commit_of_the_first(hub: Path) -> None:
    """A branch that moves during a run changes nothing; the next run takes what it points to then."""
    publish(hub, FIRST, 1)
    found = models.build(spec()).weights_found
    publish(hub, SECOND, 2)

    assert equal(models.build(spec(weights_found=found)).module, 1)
    assert equal(models.build(spec()).module, 2)


def test_a_revision_can_be_named(hub: Path) -> None:
    publish(hub, FIRST, 1, "v1")
    publish(hub, SECOND, 2)

    assert equal(models.build(spec(f"{NAME}@v1")).module, 1)
    assert equal(models.build(spec(f"{NAME}@{SECOND}")).module, 2)


def test_a_head_that_the_weights_lack_is_told(hub: Path) -> None:
    """It is drawn, as transformers does; no report calls the whole pretrained without that word."""
    publish(hub, FIRST, 1)
    built = models.build(spec(f"{NAME}:ForSequenceClassification"))

    assert built.weights_found.startswith(f"someone/tiny@{FIRST}, 4 tensors drawn at random (first: ")


def test_without_network_the_cache_and_the_revision_are_named(hub: Path) -> None:
    with pytest.raises(WeightsError, match=rf"revision main of someone/tiny is not in {hub}, .* cannot be had from the network: .*; put"):
        models.build(spec())


def test_nothing_of_the_hub_is_read_unasked(hub: Path) -> None:
    publish(hub, FIRST, 1)

    with pytest.raises(UnknownModelError, match=r"of which nothing is read unasked: give --pretrained, or name a folder"):
        models.build(spec(pretrained=False))


def test_pickled_weights_of_the_hub_are_not_read(hub: Path) -> None:
    """Nor replaced by random ones."""
    folder = publish(hub, FIRST, 1)
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    torch.save(tiny(1).state_dict(), folder / "pytorch_model.bin")

    with pytest.raises(WeightsError, match=r"has no config\.json with \*\.safetensors beside it; other files of weights are not read"):
        models.build(spec())


def test_shard_that_is_missing_is_no_random_one(hub: Path) -> None:
    sorted(publish(hub, FIRST, 1).glob("*.safetensors"))[0].unlink()

    with pytest.raises(WeightsError, match=r"the weights in .* do not fit its config\.json"):
        models.build(spec())


@pytest.mark.parametrize(
    ("name", "full", "identity"),
    [
        ("transformers:a/b", "transformers:a/b@main", "transformers.b"),
        ("transformers:a/b@v1:ForMaskedLM", "transformers:a/b@v1:ForMaskedLM", "transformers.b.v1.ForMaskedLM"),
        ("transformers:a/b@refs/pr/3", "transformers:a/b@refs/pr/3", "transformers.b.refs.pr.3"),
    ],
)
def test_ids_of_the_hub_are_told_by_their_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, full: str, identity: str
) -> None:
    """Unless there is such a folder; the full name is the same wherever it is read."""
    monkeypatch.chdir(tmp_path)
    assert (full, full, identity) == (models.full_name(name), models.full_name(full), models.model_id(name))
    (tmp_path / "a" / "b").mkdir(parents=True)

    assert full == models.full_name(full)
    assert f"transformers:{tmp_path}/a/b" == models.full_name("transformers:a/b")


def test_only_what_is_offered_is_pretrained() -> None:
    weights.check_offered(["timm:resnet18", "transformers:a/b"], None)
    for name in ("transformers:bert", "transformers:./a", "served.py:create"):
        with pytest.raises(WeightsError, match=r"--pretrained is for models of torchvision, timm and the Hugging Face hub"):
            weights.check_offered([name], None)


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as its own client asks for."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlparse(self.path).path)
        files = {file.name: file.read_bytes() for file in sorted(self.folder.iterdir())}
        headers = {"Content-Type": "application/json"}
        if path == "/api/models/someone/tiny/revision/main":
            content = json.dumps({"id": "someone/tiny", "sha": FIRST, "siblings": [{"rfilename": name} for name in files]}).encode()
        elif path == f"/api/models/someone/tiny/tree/{FIRST}":
            listed = [{"type": "file", "path": name, "size": len(data), "oid": f"{len(data):040}"} for name, data in files.items()]
            content = json.dumps(listed).encode()
        elif path.startswith("/someone/tiny/resolve/") and Path(path).name in files:
            content = files[Path(path).name]
            headers = {"ETag": f'"{len(content):040}"', "X-Repo-Commit": FIRST}
        else:
            self.send_error(404)
            return
        self.send_response(200)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A hub on the loopback that has the model."""
    library()
    write(tmp_path / "published", 1)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Hub,), {"folder": tmp_path / "published"}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_weights_are_taken_from_the_network_before_anything_is_built(tmp_path: Path, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much there is to take is said first, once; a second time there is nothing to take. Code and pickles stay where they are."""
    (tmp_path / "published" / "pytorch_model.bin").write_bytes(b"pickled")
    (tmp_path / "published" / "modeling.py").write_text("raise SystemExit")
    proxies = {name: "" for name in os.environ if name.lower().endswith("_proxy")} | {"no_proxy": "127.0.0.1"}
    own = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": served, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    launcher = Launcher(environment={**os.environ, **proxies, **own}, python=sys.executable)
    notes: list[str] = []
    for _ in range(2):
        fetch(launcher, [models.full_name(NAME)], USUAL, progress=lambda _text: None, note=notes.append)
    [snapshot] = (tmp_path / "home" / "hub" / "models--someone--tiny" / "snapshots").iterdir()

    assert [True] == [f"MiB are taken from the network into {tmp_path / 'home' / 'hub'}" in note for note in notes]
    assert FIRST == snapshot.name
    assert {"config.json", "model.safetensors.index.json", "tokenizer.json"} < {file.name for file in snapshot.iterdir()}
    assert not {"pytorch_model.bin", "modeling.py"} & {file.name for file in snapshot.iterdir()}
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert equal(models.build(spec()).module, 1)


def test_shards_beside_a_named_model(tmp_path: Path) -> None:
    """`--weights` takes the folder of shards for an architecture by name, too."""
    write(tmp_path / "kept", 1)
    tiny(1).config.save_pretrained(tmp_path / "bare")
    named = ModelSpec(name=f"transformers:{tmp_path / 'bare'}:ForMaskedLM", sequence_length=8, weights=str(tmp_path / "kept"))

    assert equal(models.build(named).module, 1)
    save_file({"cls.predictions.bias": torch.ones(100)}, sorted((tmp_path / "kept").glob("*.safetensors"))[0])
    with pytest.raises(WeightsError, match="do not fit BertForMaskedLM"):
        models.build(named)
