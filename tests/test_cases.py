"""Models of unusual kinds: each is measured, skipped or refused with one sentence that says what to do, and no step says less."""

import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import models
from fixtures.bench.launch import ROOT, RefusedError, UnsupportedError, WorkerError
from fixtures.bench.rig import ServingError
from fixtures.models import ModelError
from fixtures.protocol import Job, ModelSpec
from fixtures.steps.evidence import NothingChangedError, kernels_in
from fixtures.tasks import kept, reference
from reports.text.image_shape import square
from tests.conftest import LEAN, MARK, MakeRig
from tests.processes import ran

CASES = """\
import pathlib
import numpy
import torch
import torch.nn.functional as F
from torch import nn

class Small(nn.Module):
    def __init__(self, kind=""):
        super().__init__()
        self.conv, self.out, self.kind = nn.Conv2d(3, 16, 3, 2), nn.Linear(16, 10), kind

    def forward(self, x):
        if self.kind == "writes":
            x = x.sub_(0.45).div_(0.22)
        if self.kind == "writes once":
            x = x.clamp_(-0.1, 0.1)
        seen = self.conv(x).relu().mean((2, 3))
        if self.kind == "chance":
            seen = F.dropout(seen, 0.5)
        if self.kind == "counts":
            self.calls = getattr(self, "calls", 0) + 1
            seen = seen * self.calls
        if self.kind == "batch":
            seen = (seen - seen.mean(0)) / (seen.std(0) + 0.1)
        scores = self.out(seen)
        if self.kind == "state":
            return scores, seen.unsqueeze(0).expand(2, -1, -1)
        if self.kind == "detections":
            return [{"boxes": row.expand(number + 1, 10)} for number, row in enumerate(scores)]
        if self.kind == "sum":
            return scores.sum()
        if self.kind == "writes compiled" and torch.compiler.is_compiling():
            x.mul_(0.5)
        return scores

class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 10), requires_grad=False)

    def forward(self, x):
        return torch.from_numpy(x.mean((2, 3)).numpy() @ self.weight.numpy())

class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.LSTM(64, 8, batch_first=True), nn.Linear(8, 10)

    def forward(self, x):
        return self.out(self.rnn(x.mean(1)[:, :, ::2].repeat(1, 1, 4))[0][:, -1])

def plain(): return Small()
def no_products(): return nn.Sequential(nn.AvgPool2d(8), nn.GELU(), nn.Flatten(), nn.LayerNorm(48))
def hidden(): return Hidden()
def recurrent(): return Recurrent()
def writes_compiled(): return Small("writes compiled")
def writes(): return Small("writes")
def writes_once(): return Small("writes once")
def chance(): return Small("chance")
def counts(): return Small("counts")
def batch(): return Small("batch")
def state(): return Small("state")
def detections(): return Small("detections")
def sum_of_all(): return Small("sum")

def loaded():
    model = Small()
    model.load_state_dict(torch.load(pathlib.Path(__file__).with_name("w.pt"), weights_only=True))
    return model

def configured():
    model = Small()
    model.scale = float(pathlib.Path(__file__).with_name("scale.txt").read_text())
    return model

def unseeded():
    model = Small()
    with torch.no_grad():
        model.out.bias.copy_(torch.from_numpy(numpy.random.default_rng().normal(size=10)))
    return model

def with_inputs():
    return nn.Linear(4, 4), torch.from_numpy(numpy.load(pathlib.Path(__file__).with_name("x.npy")))
"""
REFUSED = {
    "writes": "writes into its input 0, so that each inference computes on what the one before left, and no figure would",
    "writes_once": "writes into its input 0, so that each inference computes on what the one before left",
    "chance": "the same input gives another output 'output' each time, so there is nothing to compare with; chance has to be off",
    "counts": "the same input gives another output 'output' each time, so there is nothing to compare with",
    "batch": "output 'output' of a sample depends on the rest of its batch, so that no two batch sizes agree; let BatchNorm keep",
    "state": "output '1' has shape (2, 8, 16), expected the 8 samples along its first dimension; they lie along dimension 1: wrap",
    "detections": "returns a list with an entry for each of its 8 samples, as detectors do: wrap it in a module that pads each entry",
    "sum_of_all": "output 'output' has shape (), expected the 8 samples along its first dimension; wrap the model in a module that returns",
}


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A file of factories, one for each kind."""
    file = tmp_path / "cases.py"
    file.write_text(CASES)
    return file


def case(file: Path, name: str) -> ModelSpec:
    return ModelSpec(name=f"{file}:{name}", image=square(32))


@pytest.mark.parametrize("name", REFUSED)
def test_model_whose_outputs_cannot_be_compared_is_refused_in_one_sentence(cases: Path, tmp_path: Path, name: str) -> None:
    """Where its reference is computed, with the remedy."""
    job = Job(model=case(cases, name), runtime="eager", precision="fp32", batch_size=8, threads=1)
    with pytest.raises(ModelError) as raised:
        reference.write(job, 8, tmp_path)

    assert REFUSED[name] in str(raised.value)


@pytest.mark.slow
def test_refused_model_is_refused_in_every_step_alike(cases: Path, make_rig: MakeRig) -> None:
    """One sentence without a traceback, whichever step asks, and without another try."""
    rig, model = make_rig(), case(cases, "writes")
    with pytest.raises(RefusedError) as raised:
        rig.recipe("baseline", model)
    with pytest.raises(RefusedError) as again:
        rig.recipe("onnxruntime", model)

    assert REFUSED["writes"] in str(raised.value)
    assert "\n" not in str(raised.value)
    assert again.value is raised.value


@pytest.mark.nightly
def test_model_that_does_none_of_it_is_served(cases: Path, make_rig: MakeRig) -> None:
    """The trials refuse nothing that is in order."""
    rig = make_rig()
    [serving] = rig.serve(rig.recipe("baseline", case(cases, "plain")), model=case(cases, "plain"))
    serving.workers.close()

    assert serving.agreement.cosine > 0.9999
    assert serving.job.model.state == rig.build(case(cases, "plain")).state


@pytest.mark.nightly
def test_model_without_products_is_measured_and_says_that_nothing_was_to_be_proved(cases: Path, make_rig: MakeRig) -> None:
    """By the count of its reference; what claims another precision has nothing to change."""
    rig, model = make_rig(), case(cases, "no_products")
    [serving] = rig.serve(rig.recipe("baseline", model), model=model)
    serving.workers.close()
    nothing = "no convolution or matrix product in this model: nothing to prove it on"

    assert nothing in [item.observed for item in serving.evidence]
    assert rig.work(serving.job).no_products
    lowered = replace(rig.recipe("baseline", model), steps=(replace(rig.recipe("baseline", model).step, claims=(kernels_in("bf16"),)),))
    with pytest.raises(ServingError, match=f"nothing changed: {nothing}") as raised:
        rig.serve(lowered, model=model)
    assert isinstance(raised.value.cause, NothingChangedError)


@pytest.mark.slow
def test_model_whose_products_are_hidden_is_refused(cases: Path, make_rig: MakeRig) -> None:
    """No kernel is seen of a product that numpy does, and none is counted: neither is taken for proof."""
    rig, model = make_rig(), case(cases, "hidden")
    with pytest.raises(ServingError, match="no convolution or matmul kernel seen; no product was counted, but not all of the model's work"):
        rig.serve(rig.recipe("baseline", model), model=model)


@pytest.mark.nightly
def test_recurrent_model_is_no_failure_of_the_compiler(cases: Path, make_rig: MakeRig) -> None:
    """Dynamo breaks its graph by design: the step is skipped, with the setting that lets it try."""
    rig, model = make_rig(), case(cases, "recurrent")
    recipe = rig.recipe("compile", model)
    if recipe.step.name != "compile" or rig.unmet("compile", model) is not None:
        pytest.skip("torch.compile needs a C++ compiler -> apt-get install g++")
    with pytest.raises(ServingError, match=r"breaks the graph of .* by design.*allow_rnn = True lets it trace them") as raised:
        rig.serve(recipe, model=model)
    assert isinstance(raised.value.cause, UnsupportedError)
    [serving] = rig.serve(rig.recipe("baseline", model), model=model)
    serving.workers.close()
    assert "f32 100.0%" in next(item.observed for item in serving.evidence if "convolutions and matrix products" in item.claim)


@pytest.mark.nightly
def test_runtime_that_writes_into_its_inputs_is_caught_while_it_serves(cases: Path, make_rig: MakeRig) -> None:
    """The reference is in order, the outputs agree, and the compiled model changes its input all the same."""
    rig, model = make_rig(), case(cases, "writes_compiled")
    if rig.unmet("compile", model) is not None:
        pytest.skip("torch.compile needs a C++ compiler -> apt-get install g++")
    with pytest.raises(ServingError, match="writes into its input 0, so that each inference computes on what the one before left"):
        rig.serve(rig.recipe("compile", model), model=model)


@pytest.mark.parametrize("layout", ["contiguous", "channels-last", "feed", "whole numbers"])
def test_changed_input_is_seen_in_any_form(layout: str) -> None:
    """One changed element is seen, in the memory of every runtime."""
    import torch

    images = torch.rand(2, 3, 8, 8)
    placed: Any = {
        "contiguous": (images,),
        "channels-last": (images.contiguous(memory_format=torch.channels_last),),
        "feed": {"images": images.numpy()},
        "whole numbers": [np.arange(6).reshape(2, 3)],
    }[layout]
    before = kept.checksum(placed)
    kept.require_kept("model", before, placed)
    array = next(iter(placed.values())) if isinstance(placed, dict) else placed[0]
    array[1, 2] = 7

    with pytest.raises(kept.WrittenInputError, match="model writes into its input 0"):
        kept.require_kept("model", before, placed)


def test_session_that_draws_its_own_inputs_has_none_to_keep() -> None:
    """Training does."""
    kept.require_kept("model", kept.checksum(None), None)


@pytest.mark.slow
def test_weights_beside_the_code_are_told_apart(cases: Path, make_rig: MakeRig) -> None:
    """A factory that loads a file: with other weights in it the reference is another one."""
    import torch

    model, outputs = case(cases, "loaded"), []
    for scale in (1.0, 2.0):
        small = models.create(case(cases, "plain")).state_dict()
        torch.save({name.removeprefix("model."): tensor * scale for name, tensor in small.items()}, cases.with_name("w.pt"))
        outputs.append(make_rig().reference(model, 8).outputs["output"])

    assert not np.allclose(outputs[0], outputs[1])


@pytest.mark.nightly
def test_config_and_inputs_beside_the_code_are_told_apart(cases: Path, make_rig: MakeRig) -> None:
    """What changes how a module computes is no weight, and counts all the same; so do example inputs."""
    for name, file, one, other in (
        ("configured", "scale.txt", b"1.0", b"2.0"),
        ("with_inputs", "x.npy", _npy(1.0), _npy(2.0)),
    ):
        cases.with_name(file).write_bytes(one)
        before = make_rig().content(case(cases, name))
        assert before == make_rig().content(case(cases, name))
        cases.with_name(file).write_bytes(other)
        after = make_rig().content(case(cases, name))

        assert before != after
        assert before["built"]["state"] == after["built"]["state"]  # type: ignore[index]


def _npy(value: float) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, np.full((8, 4), value, dtype=np.float32))
    return file.getvalue()


@pytest.mark.slow
def test_package_that_the_factory_imports_is_code_as_well(tmp_path: Path, make_rig: MakeRig) -> None:
    """It may lie in another folder than the factory's own."""
    (tmp_path / "other").mkdir()
    package = tmp_path / "other" / "layers_of_another.py"
    package.write_text("WIDTH = 1\n")
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "made.py").write_text(
        f"import sys\nsys.path.insert(0, {str(package.parent)!r})\nimport layers_of_another\nfrom torch import nn\n\n"
        "def create():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 2))\n"
    )
    model = ModelSpec(name=f"{folder}/made.py:create", image=square(32))
    before = make_rig().content(model)
    package.write_text("WIDTH = 2\n")

    assert before != make_rig().content(model)


def test_weights_drawn_without_the_seed_are_refused(cases: Path, make_rig: MakeRig) -> None:
    """Every process would serve another model."""
    with pytest.raises(WorkerError, match=r"two builds of .*cases\.py:unseeded have different weights"):
        make_rig().reference(case(cases, "unseeded"), 8)


@pytest.mark.slow
def test_served_weights_are_those_of_the_reference(cases: Path, make_rig: MakeRig) -> None:
    """A file of weights that changes between reference and step fails the step: what would be served is another model."""
    import torch

    model, rig = case(cases, "loaded"), make_rig()
    state = {name.removeprefix("model."): tensor for name, tensor in models.create(case(cases, "plain")).state_dict().items()}
    torch.save(state, cases.with_name("w.pt"))
    rig.reference(model, 8)
    torch.save({name: tensor + 1e-6 for name, tensor in state.items()}, cases.with_name("w.pt"))

    with pytest.raises(ServingError, match=r"two builds of .* have different weights") as raised:
        rig.serve(rig.recipe("baseline", model), model=model)
    assert raised.value.step == "baseline"


@pytest.mark.slow
def test_suite_tells_one_failure_once(cases: Path, tmp_path: Path, artifact_folder: Path) -> None:
    """The first step fails with the sentence; all others are skipped with the same one, and the run is saved."""
    command = [sys.executable, "-m", "pytest", f"{ROOT}/benchmarks", "-p", "no:cacheprovider", f"--artifact-cache={artifact_folder}"]
    options = ["--model", f"{cases}:chance", "--pairs=1", "--no-peaks", "--image-size=32"]
    steps = ["--step=baseline", "--step=batch_8", "--step=channels_last", "--step=onnxruntime"]
    storage = f"--benchmark-storage=file://{tmp_path}/saved"
    done = ran([*command, *options, *steps, storage], tmp_path, {"PYTHONPATH": str(ROOT), MARK: tmp_path.name})
    assert done.returncode == 1, done.stdout
    told = [line for line in done.stdout.splitlines() if re.match(r"F?\[./4\] .*: (failed|skipped): ", line)]
    assert ["failed", "skipped", "skipped", "skipped"] == [re.split(r": ", line)[1] for line in told]
    assert all(line.endswith(": ".join(told[0].split(": ")[2:])) for line in told)
    assert REFUSED["chance"] in told[0]
    assert "…" not in told[0]
    for unwanted in ("Traceback", "StopIteration", "INTERNALERROR"):
        assert unwanted not in done.stdout + done.stderr


def test_several_processes_of_pytest_are_refused_before_anything_runs(tmp_path: Path) -> None:
    """With pytest-xdist pytest-benchmark records nothing, and the run would end as if all were well."""
    (tmp_path / "several.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--numprocesses', type=int)\n")
    command = [sys.executable, "-m", "pytest", *LEAN, f"{ROOT}/benchmarks", "-p", "several", "--numprocesses=2"]
    done = ran(command, tmp_path, {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"})

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "measurements would disturb each other" in done.stderr


def test_model_that_cannot_be_built_is_named(tmp_path: Path) -> None:
    """Among several models the reason alone does not tell which of them it is about."""
    file = tmp_path / "broken.py"
    file.write_text("def create():\n    raise OSError('an operator does not load')\n")
    command = [sys.executable, "-m", "pytest", *LEAN, f"{ROOT}/benchmarks", "--model", f"{file}:create", "--step=baseline"]
    done = ran(command, tmp_path, {"PYTHONPATH": str(ROOT), MARK: tmp_path.name})

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"nothing was measured: {file}:create: an operator does not load" in done.stdout
