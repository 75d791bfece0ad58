"""Steps on demand, with real workers: what each does where it does something, and how it is refused where its effect is taken away."""

from pathlib import Path

import pytest

from fixtures.bench.rig import Rig, Serving
from fixtures.protocol import ModelSpec
from fixtures.steps.evidence import NothingChangedError
from fixtures.steps.optimizations import catalogue
from tests.conftest import MakeRig
from tests.steps.test_broken_steps import changed, recipe, refused, refused_as

DEAD_CHANNELS = """
import torch
from torch import nn

def create():
    torch.manual_seed(0)
    first, norm = nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32)
    model = nn.Sequential(first, norm, nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    with torch.no_grad():
        first.weight[16:] = 0
        norm.weight[16:] = 0
        first.bias[16:] = 0
        norm.bias[16:] = DEAD
    return model
"""
SMALL = ModelSpec(name="torchvision:resnet18", image_size=32)


def dead_channels(folder: Path, bias: str = "1e-39") -> ModelSpec:
    """A network half of whose channels put out nothing but their bias, as after training with weight decay."""
    file = folder / f"dead_{bias.replace('-', '_').replace('.', '_')}.py"
    file.write_text(DEAD_CHANNELS.replace("DEAD", bias))
    return ModelSpec(name=f"{file}:create", image_size=32)


def served(rig: Rig, step: str, model: ModelSpec) -> Serving:
    """Serve a step, which must prove itself, and end its workers."""
    [serving] = rig.serve(recipe(rig, step), model=model)
    serving.workers.close()
    return serving


def observed(serving: Serving, step: str) -> str:
    """What was seen of the step's first claim."""
    texts = {claim.text for claim in catalogue()[step].claims}
    return next(item.observed for item in serving.evidence if item.claim in texts)


def test_subnormal_activations_are_found_and_flushed(make_rig: MakeRig, tmp_path: Path) -> None:
    """The record of a step that computes with them names the step that helps, which then leaves none."""
    rig, model = make_rig(), dead_channels(tmp_path)
    finding = [text for text in served(rig, "baseline", model).findings if "subnormal" in text]
    flushed = served(rig, "flush_denormals", model)

    assert ["16 weights", True] == [finding[0].partition("and ")[2].partition(",")[0], "--step flush_denormals" in finding[0]]
    assert observed(flushed, "flush_denormals").startswith("100% of subnormal products flushed over all threads; subnormal: 16 weights, ")
    assert observed(flushed, "flush_denormals").endswith(" activations without flushing, 0 with it")
    assert [] == [text for text in flushed.findings if "subnormal" in text]


@pytest.mark.slow
def test_flushing_that_was_never_asked_for_is_refused(make_rig: MakeRig, tmp_path: Path) -> None:
    """The step's word reaches the worker, and its mode does not reach the CPU."""
    rig = make_rig(root=changed(tmp_path, "runtimes/eager.py", "torch.set_flush_denormal(True)", "pass"))

    assert "0% of subnormal products flushed" in refused(rig, recipe(rig, "flush_denormals"), dead_channels(tmp_path))


@pytest.mark.slow
def test_flushing_that_reaches_one_thread_of_several_is_refused(make_rig: MakeRig, tmp_path: Path) -> None:
    """As `torch.set_flush_denormal` does where it is called after an inference: the other threads were made before."""
    late = "torch.set_num_threads(job.threads), torch.ones(2**20).exp(), torch.set_flush_denormal(True)"
    rig = make_rig(root=changed(tmp_path, "runtimes/eager.py", "torch.set_flush_denormal(True)", late))
    if rig.threads == 1:
        pytest.skip("there is one thread only -> allow more CPUs")
    told = refused(rig, recipe(rig, "flush_denormals"), dead_channels(tmp_path))

    assert 0 < int(told.partition("flushed to zero: ")[2].partition("%")[0]) < 100


@pytest.mark.slow
def test_flushing_changes_nothing_of_a_model_without_such_numbers(make_rig: MakeRig, tmp_path: Path) -> None:
    """It is skipped, with what was seen."""
    rig = make_rig()

    told = refused_as(rig, recipe(rig, "flush_denormals"), NothingChangedError, dead_channels(tmp_path, "0.5"))
    assert "nothing changed: 100% of subnormal products flushed over all threads; no weight and no activation is subnormal" in told
