"""Models by name, and weights from files that cannot run code."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fixtures import models
from fixtures.bench.launch import ROOT
from fixtures.inputs.images import random_images
from fixtures.models import UnknownModelError, WeightsError
from fixtures.protocol import ModelSpec
from fixtures.steps.accuracy import compare
from reports.text.image_shape import square

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))


def state(seed: int = 7, name: str = "torchvision:resnet18") -> dict[str, torch.Tensor]:
    """Weights other than those that the suite draws by itself."""
    return dict(models.create(ModelSpec(name=name, image=square(64), seed=seed)).state_dict())


def loaded(file: Path) -> dict[str, torch.Tensor]:
    return dict(models.create(ModelSpec(name=RESNET.name, image=square(64), weights=str(file))).state_dict())


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "full", "identity"),
    [
        ("resnet50", "torchvision:resnet50", "resnet50"),
        ("vit", "timm:VisionTransformer", "vit"),
        ("torchvision:resnet50", "torchvision:resnet50", "resnet50"),
        ("timm:convnext_tiny", "timm:convnext_tiny", "timm.convnext_tiny"),
        ("transformers:bert-large:ForMaskedLM", "transformers:bert-large:ForMaskedLM", "transformers.bert-large.ForMaskedLM"),
        ("transformers:/models/my bert", "transformers:/models/my bert", "transformers.my.bert"),
        ("my_package.models:create", "my_package.models:create", "my_package.models.create"),
        ("/models/served.py:create", "/models/served.py:create", "served.create"),
        ("code:served:create", "served:create", "served.create"),
    ],
)
def test_model_has_one_name_and_one_id(name: str, full: str, identity: str) -> None:
    """Both spellings of a default model are the same model; ids are fit for node ids."""
    assert (models.full_name(name), models.model_id(name)) == (full, identity)


def test_relative_paths_are_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run elsewhere; the id does not change with the way the path is written."""
    monkeypatch.chdir(tmp_path)

    assert (
        f"{tmp_path}/models/served.py:create"
        == models.full_name("models/served.py:create")
        == models.full_name("./models/served.py:create")
    )
    assert f"transformers:{tmp_path}/bert" == models.full_name("transformers:./bert/")
    assert "/elsewhere/served.py:create" == models.full_name("served.py:create", Path("/elsewhere"))
    assert "served.create" == models.model_id("./models/served.py:create")


@pytest.mark.parametrize("name", ["resnet5", "huggingface/bert", "", ":", "torchvision", "../evil:create", "served.py:", "transformers:"])
def test_unknown_source_says_what_is_expected(name: str) -> None:
    """The message shows an example that works."""
    with pytest.raises(UnknownModelError, match=r"expected one of resnet50, vit; SOURCE:NAME .* torchvision:resnet18; or a factory, "):
        models.full_name(name)


@pytest.mark.parametrize("name", ["torchvision:resnet5", "torchvision:nms", "timm:no_such_model", "torchvision:fasterrcnn_resnet50_fpn"])
def test_unknown_model_of_a_known_source_says_how_to_find_names(name: str) -> None:
    """Only classification models count."""
    with pytest.raises(UnknownModelError, match="list_models"):
        models.create(ModelSpec(name=name))


@pytest.mark.parametrize("name", ["torchvision:mobilenet_v2", "torchvision:mobilenet_v3_small", "torchvision:mnasnet0_5"])
def test_random_weights_keep_outputs_apart(name: str) -> None:
    """Outputs that are all but equal cannot be told from those of a broken step, and are refused as a reference."""
    module = models.create(ModelSpec(name=name, image=square(64)))
    outputs = module(torch.from_numpy(random_images(8, square(64)))).numpy()

    assert compare(outputs, outputs).samples == 8


def test_random_weights_follow_the_seed() -> None:
    """Every worker of a session builds the very same model."""
    assert equal(state(seed=0), state(seed=0))
    assert not equal(state(seed=0), state(seed=1))


def test_safetensors_round_trip(tmp_path: Path) -> None:
    """What was saved is what is served."""
    save_file(state(), tmp_path / "weights.safetensors")

    assert equal(loaded(tmp_path / "weights.safetensors"), state())


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._file),)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, suffix: str, writer: str) -> None:
    """A pickle that would run code is refused, and what it would have done has not happened."""
    file, proof = tmp_path / f"weights.{suffix}", tmp_path / "executed"
    if writer == "torch":
        torch.save({"layer": Payload(proof)}, file)
    else:
        file.write_bytes(pickle.dumps({"layer": Payload(proof)}))

    with pytest.raises(WeightsError, match="neither safetensors nor a weights-only torch checkpoint"):
        loaded(file)
    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"rubbish" * 100, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_unreadable_file_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    """Whatever is in it, the message names the file and the way to save a good one."""
    file = tmp_path / f"weights.{suffix}"
    file.write_bytes(content)

    with pytest.raises(WeightsError, match=rf"weights.*weights\.{suffix}"):
        loaded(file)


def test_truncated_safetensors_are_refused(tmp_path: Path) -> None:
    """A download that broke off is not served."""
    save_file(state(), tmp_path / "weights.safetensors")
    os.truncate(tmp_path / "weights.safetensors", 10_000_000)

    with pytest.raises(WeightsError, match="neither safetensors nor"):
        loaded(tmp_path / "weights.safetensors")


def test_missing_file_is_named() -> None:
    """The model is not built with random weights instead."""
    with pytest.raises(WeightsError, match=r"--weights '/no/such\.pth': there is no file"):
        loaded(Path("/no/such.pth"))


@pytest.mark.parametrize("value", [[1, 2], {"epoch": 3}, torch.zeros(3)])
def test_checkpoint_without_a_state_dict_is_refused(tmp_path: Path, value: object) -> None:
    """Optimizer states and single tensors are no weights."""
    torch.save(value, tmp_path / "weights.pth")

    with pytest.raises(WeightsError, match="holds no state dict"):
        loaded(tmp_path / "weights.pth")


def test_wrong_shape_names_the_layer_and_both_shapes(tmp_path: Path) -> None:
    """A head of which one part has ten classes fits no model."""
    weights = state()
    weights["fc.weight"] = torch.zeros(10, 512)
    save_file(weights, tmp_path / "weights.safetensors")

    with pytest.raises(WeightsError, match=r"fc\.weight has shape \(10, 512\), ResNet expects \(1000, 512\); check the number of classes"):
        loaded(tmp_path / "weights.safetensors")


def test_wrong_architecture_counts_what_does_not_fit(tmp_path: Path) -> None:
    """Weights of a transformer do not go into a ResNet."""
    save_file(state(name="timm:vit_tiny_patch16_224"), tmp_path / "weights.safetensors")

    with pytest.raises(WeightsError, match=r"do not fit ResNet: 102 missing \(first: .*\), \d+ unknown .* this very architecture"):
        loaded(tmp_path / "weights.safetensors")


@pytest.mark.slow
def test_cpu_torch_beside_cuda_torchvision_serves_classification_models() -> None:
    """Where torchvision's compiled operators do not load, importing torchvision fails, and the suite's import does not."""
    plain = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    if plain.returncode == 0:
        pytest.skip("this torchvision fits its torch -> install PyPI's torchvision beside a CPU torch")
    assert "operator torchvision::nms does not exist" in plain.stderr

    code = "from fixtures import models, protocol; print(type(models.create(protocol.ModelSpec(name='torchvision:resnet18'))).__name__)"
    suite = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (suite.returncode, suite.stdout) == (0, "ResNet\n"), suite.stderr
