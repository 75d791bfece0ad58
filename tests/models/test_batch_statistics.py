"""Random weights that carry signal: BatchNorm statistics from one pass, the same in every process."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fixtures import models
from fixtures.bench.launch import ROOT
from fixtures.inputs.images import random_images
from fixtures.models import statistics
from fixtures.protocol import ModelSpec
from fixtures.steps.accuracy import compare
from reports.text.image_shape import ImageShape, square

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))
DIGEST = """
import hashlib, sys
import torch
from fixtures import models
from fixtures.protocol import ModelSpec
from reports.text.image_shape import square
torch.set_num_threads(int(sys.argv[1]))
state = models.create(ModelSpec(name="torchvision:resnet18", image=square(64))).state_dict()
assert torch.get_num_threads() == int(sys.argv[1])
print(hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state.values())).hexdigest())
"""
BEYOND_SMALL_IMAGES = """
from torch import nn

class Corner(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        return self.norm(images)[:, :, 60, 60]

def create():
    return Corner()
"""


def outputs(spec: ModelSpec, count: int = 8) -> np.ndarray:
    result: np.ndarray = models.create(spec)(torch.from_numpy(random_images(count, spec.image))).numpy()
    return result


@pytest.mark.parametrize("name", ["torchvision:resnet50", "timm:vit_tiny_patch16_224", "torchvision:mobilenet_v3_small"])
def test_outputs_of_different_images_differ(name: str) -> None:
    """With random weights a default model once gave every image the same answer, so that each of these passed as an INT8 step."""
    reference = outputs(ModelSpec(name=name, image=square(64)))
    rows = reference / np.linalg.norm(reference, axis=1, keepdims=True)

    assert float((rows @ rows.T)[~np.eye(8, dtype=bool)].mean()) < 0.99
    for wrong in (np.tile(reference.mean(0), (8, 1)), np.roll(reference, 1, axis=0)):
        assert not compare(wrong, reference).keeps(10.0)
    noise = np.random.default_rng(0).standard_normal(reference.shape) * 0.1 * np.sqrt(np.square(reference).mean())
    assert not compare(reference + noise, reference).keeps(60.0)


@pytest.mark.slow
def test_weights_are_the_same_whatever_a_process_is_told() -> None:
    """Neither threads nor oneDNN's precision and instruction set change a bit."""
    told: list[tuple[int, dict[str, str]]] = [
        (1, {}),
        (2, {"OMP_NUM_THREADS": "2"}),
        (2, {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
    ]
    found = set()
    for threads, environment in told:
        command = [sys.executable, "-c", DIGEST, str(threads)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True)
        found.add(done.stdout.strip())

    assert len(found) == 1


@pytest.mark.parametrize("larger", [square(224), ImageShape(64, 96)], ids=str)
def test_weights_of_all_image_sizes_are_the_same(larger: ImageShape) -> None:
    """Statistics are of small images, of the same ones: a large one costs a start nothing."""
    small, large = (models.create(ModelSpec(name=RESNET.name, image=shape)).state_dict() for shape in (square(64), larger))

    assert all(torch.equal(tensor, large[name]) for name, tensor in small.items())


def test_model_that_fails_on_small_images_has_statistics_of_its_own_size(tmp_path: Path) -> None:
    """Whatever it raises: a pixel that small images have not is an IndexError."""
    (tmp_path / "corner.py").write_text(BEYOND_SMALL_IMAGES)
    module = models.create(ModelSpec(name=f"{tmp_path}/corner.py:create", image=square(64)))
    [norm] = (part for part in module.modules() if isinstance(part, nn.BatchNorm2d))

    assert norm.running_mean is not None
    assert bool(norm.running_mean.any())


def test_statistics_of_a_file_are_left_alone(tmp_path: Path) -> None:
    """What was trained is served as it is, even where its statistics look untouched."""
    state = {name: tensor.clone() for name, tensor in models.create(RESNET).state_dict().items()}
    for name, tensor in state.items():
        if "running" in name:
            tensor.fill_(1.0 if name.endswith("var") else 0.0)
    state = {name: torch.zeros_like(tensor) if name.endswith("tracked") else tensor for name, tensor in state.items()}
    save_file(state, tmp_path / "weights.safetensors")
    file = tmp_path / "weights.safetensors"
    spec = ModelSpec(name=RESNET.name, image=square(64), weights=str(file), weights_digest=hashlib.sha256(file.read_bytes()).hexdigest())

    assert all(torch.equal(tensor, state[name]) for name, tensor in models.create(spec).state_dict().items())


def test_statistics_that_were_ever_taken_are_left_alone() -> None:
    """A factory's trained model has some; a layer that keeps none needs none."""
    fresh, trained = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    trained(torch.randn(2, 3, 8, 8))

    assert len(statistics.untouched(fresh)) == 1
    assert statistics.untouched(trained) == []
    assert statistics.untouched(nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False))) == []


def test_one_pass_normalizes_and_changes_nothing_else() -> None:
    """Momentum, mode and dropout are as before; a channel that does not vary is not amplified without bound."""
    layer = nn.BatchNorm1d(3, momentum=0.3)
    module = nn.Sequential(layer, nn.Dropout(0.5)).eval()
    rows = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32) * np.array([1, 10, 0], dtype=np.float32)
    statistics.set_from(module, statistics.untouched(module), [rows])

    assert (layer.momentum, layer.training) == (0.3, False)
    scaled = module(torch.from_numpy(rows)).detach().numpy()
    assert pytest.approx([1.0, 1.0], abs=0.02) == scaled.std(0)[:2]
    assert layer.running_var is not None
    assert float(layer.running_var[2]) > 0.01


def test_pass_that_fails_leaves_the_defaults() -> None:
    """The next image size begins anew."""
    module = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(4, 1)).eval()

    with pytest.raises(RuntimeError):
        statistics.set_from(module, statistics.untouched(module), [np.ones((4, 3), dtype=np.float32)])
    assert len(statistics.untouched(module)) == 1
