"""Steps on demand, with real workers: what each does where it does something, and how it is refused where its effect is taken away."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.bench.launch import UnsupportedError
from fixtures.bench.rig import Rig, Serving
from fixtures.machine import openmp, this_machine
from fixtures.protocol import ModelSpec
from fixtures.steps import requirements as need
from fixtures.steps.evidence import NothingChangedError
from fixtures.steps.optimizations import ORT_SPINNING, catalogue
from fixtures.steps.recipe import Recipe
from reports.text.image_shape import square
from tests.conftest import MakeRig, skip_unless_met
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
SMALL = ModelSpec(name="torchvision:resnet18", image=square(32))


def dead_channels(folder: Path, bias: str = "1e-39") -> ModelSpec:
    """A network half of whose channels put out nothing but their bias, as after training with weight decay."""
    file = folder / f"dead_{bias.replace('-', '_').replace('.', '_')}.py"
    file.write_text(DEAD_CHANNELS.replace("DEAD", bias))
    return ModelSpec(name=f"{file}:create", image=square(16))


def served(rig: Rig, step: str, model: ModelSpec) -> Serving:
    """Serve a step, which must prove itself, and end its workers."""
    [serving] = rig.serve(recipe(rig, step), model=model)
    serving.workers.close()
    return serving


def skip_with_one_thread(rig: Rig) -> None:
    """Skip the test where no thread waits for another."""
    if rig.threads == 1:
        pytest.skip("one thread waits for nobody -> allow more CPUs")


def observed(serving: Serving, step: str) -> str:
    """What was seen of the step's first claim."""
    texts = {claim.text for claim in catalogue()[step].claims}
    return next(item.observed for item in serving.evidence if item.claim in texts)


@pytest.mark.slow
def test_subnormal_activations_are_found_and_flushed(make_rig: MakeRig, tmp_path: Path) -> None:
    """The record of a step that computes with them names the step that helps, which then leaves none."""
    rig, model = make_rig(), dead_channels(tmp_path)
    finding = [text for text in served(rig, "baseline", model).findings if "subnormal" in text]
    flushed = served(rig, "flush_denormals", model)

    assert ["16 weights", True] == [finding[0].partition("and ")[2].partition(",")[0], "--step flush_denormals" in finding[0]]
    assert observed(flushed, "flush_denormals").startswith("100% of subnormal products flushed over all threads; subnormal: 16 weights, ")
    assert observed(flushed, "flush_denormals").endswith(" activations without flushing, 0 with it")
    assert [] == [text for text in flushed.findings if "subnormal" in text]


@pytest.mark.nightly
def test_flushing_that_was_never_asked_for_is_refused(make_rig: MakeRig, tmp_path: Path) -> None:
    """The step's word reaches the worker, and its mode does not reach the CPU."""
    rig = make_rig(root=changed(tmp_path, "runtimes/eager.py", "torch.set_flush_denormal(True)", "pass"))

    assert "0% of subnormal products flushed" in refused(rig, recipe(rig, "flush_denormals"), dead_channels(tmp_path))


@pytest.mark.slow
def test_flushing_that_reaches_one_thread_of_several_is_refused(make_rig: MakeRig, tmp_path: Path) -> None:
    """As `torch.set_flush_denormal` does where it is called after an inference: the other threads were made before."""
    late = "torch.ones(2**20).exp(), torch.set_flush_denormal(True)"
    rig = make_rig(root=changed(tmp_path, "runtimes/eager.py", "torch.set_flush_denormal(True)", late))
    skip_with_one_thread(rig)
    told = refused(rig, recipe(rig, "flush_denormals"), dead_channels(tmp_path))

    assert 0 < int(told.partition("flushed to zero: ")[2].partition("%")[0]) < 100


@pytest.mark.nightly
def test_flushing_changes_nothing_of_a_model_without_such_numbers(make_rig: MakeRig, tmp_path: Path) -> None:
    """It is skipped, with what was seen."""
    rig = make_rig()

    told = refused_as(rig, recipe(rig, "flush_denormals"), NothingChangedError, dead_channels(tmp_path, "0.5"))
    assert "nothing changed: 100% of subnormal products flushed over all threads; no weight and no activation is subnormal" in told


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("bf16_weights", r".*bf16 .*"),
        ("onnxruntime_no_spinning", r".* CPUs busy right after a call, .*"),
        ("openmp_runtime", r"[1-9]\d* threads beside the first, waiting: \d+ in lib(iomp5\.so|omp\.so\.5)"),
        ("executorch", r".*f32 .*"),  # ExecuTorch's own trace names each kernel with its types
        ("executorch_int8", r".*int8 .*"),
    ],
)
def test_a_step_does_what_it_claims(make_rig: MakeRig, step: str, told: str) -> None:
    """Weights in bf16 compute in it, threads sleep between calls or wait in the other runtime, and XNNPACK computes."""
    skip_unless_met(step)
    rig = make_rig()
    if step in {"onnxruntime_no_spinning", "openmp_runtime"}:
        skip_with_one_thread(rig)

    assert re.fullmatch(told, observed(served(rig, step, SMALL), step))


@pytest.mark.nightly
def test_weights_that_autocast_casts_are_none_in_bf16(make_rig: MakeRig) -> None:
    """Where the kernels are the same, the weights tell."""
    rig = make_rig()
    broken = recipe(rig, "bf16_weights", transforms=("bf16_autocast",), requires=())

    assert "the weights lie in 16 bits: 0% of the floating weights lie in 16 bits" in refused(rig, broken, SMALL)


@pytest.mark.nightly
@pytest.mark.parametrize(("step", "word"), [("bf16_weights", "bf16"), ("torch_fp16", "f16")])
def test_sixteen_bits_on_a_cpu_that_has_no_kernels_for_them(make_rig: MakeRig, step: str, word: str) -> None:
    """The weights are halved, and PyTorch's own slow kernels run, which report themselves to nobody."""
    rig = make_rig(environment={"ONEDNN_MAX_CPU_ISA": "AVX2"})
    if rig.machine.architecture == "aarch64":
        pytest.skip("oneDNN on Arm cannot be held back -> run on x86")

    told = refused(rig, recipe(rig, step, requires=()), SMALL)
    assert f"convolutions and matrix products run in {word} (at least 50% of their time): no convolution or matmul kernel seen" in told


MIXES_TYPES = """
import torch
from torch import nn

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, 8)

    def forward(self, x):
        return self.layer(x.flatten(1).float() * torch.ones(1))

def create():
    return Mixed()
"""


@pytest.mark.nightly
def test_a_model_that_mixes_types_is_skipped_with_the_reason(make_rig: MakeRig, tmp_path: Path) -> None:
    """Converted weights alone do not make a model of 16 bits."""
    (tmp_path / "mixed.py").write_text(MIXES_TYPES)
    rig, model = make_rig(), ModelSpec(name=f"{tmp_path / 'mixed.py'}:create", image=square(32))

    told = refused_as(rig, recipe(rig, "bf16_weights", requires=()), UnsupportedError, model)
    assert "does not run with all of its weights in bfloat16: " in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        pytest.param({ORT_SPINNING: "1"}, " CPUs busy right after a call, ", marks=pytest.mark.nightly),
        ({}, "what the process does between calls was not seen"),
    ],
    ids=["switched on", "never set"],
)
def test_threads_that_spin_all_the_same(make_rig: MakeRig, settings: dict[str, str], told: str) -> None:
    """The session has the option, and its threads do what the other value says."""
    skip_unless_met("onnxruntime_no_spinning")
    rig = make_rig()
    skip_with_one_thread(rig)

    message = refused(rig, recipe(rig, "onnxruntime_no_spinning", settings=settings), SMALL)
    assert "no thread keeps a CPU busy between calls" in message
    assert told in message


@pytest.mark.nightly
@pytest.mark.parametrize("step", ["onnxruntime_fp16", "openvino_fp16"])
def test_fp16_that_the_runtime_computes_in_fp32(make_rig: MakeRig, step: str) -> None:
    """The model and the options say fp16, the CPU or the release has no such kernels, and the runtime casts."""
    rig = make_rig()
    skip_unless_met(rig.catalogue[step].builds_on or "")
    if {"f16", "bf16"} & set(rig.machine.features):
        pytest.skip("this CPU may have the kernels -> run on x86 without AVX-512 FP16")

    told = refused(rig, recipe(rig, step, requires=()), SMALL)
    assert "convolutions and matrix products run in f16 (at least 50% of their time): f32 " in told


def test_an_option_that_the_installed_onnxruntime_does_not_know() -> None:
    """Its library tells, with nothing loaded: an option of each release is known, one of none is not."""
    skip_unless_met("onnxruntime")

    assert need.onnxruntime_knows("session.no_such_option", ORT_SPINNING).unmet(this_machine()) is None
    skip = need.onnxruntime_knows("session.no_such_option").unmet(this_machine())
    assert skip is not None
    assert skip.reason.endswith("knows no session option session.no_such_option")


@pytest.mark.nightly
@pytest.mark.parametrize("mapped", [False, True], ids=["not preloaded", "mapped too late"])
def test_an_openmp_runtime_that_runs_nothing(make_rig: MakeRig, tmp_path: Path, *, mapped: bool) -> None:
    """Installed, even mapped, is not in force: torch's own runtime came first."""
    library = openmp.library()
    if mapped and library is None:
        pytest.skip("no other OpenMP runtime is installed -> apt-get install libomp5")
    after = f"import torch, ctypes; ctypes.CDLL({library!r}, ctypes.RTLD_GLOBAL)\n" if mapped else ""
    (tmp_path / "sitecustomize.py").write_text(after)
    rig = make_rig(environment={"PYTHONPATH": str(tmp_path)})
    skip_with_one_thread(rig)

    told = refused(rig, recipe(rig, "openmp_runtime", preload=None, requires=()), SMALL)
    assert f"the preloaded OpenMP runtime runs the threads: {rig.threads - 1} threads beside the first, waiting: " in told
    assert f"{rig.threads - 1} in libgomp" in told


LINEAR = """\
import torch
from torch import nn

def create():
    layers = [each for _ in range(3) for each in (nn.Linear(512, 512), nn.GELU())]
    return nn.Sequential(*layers, nn.Linear(512, 64)), torch.randn(32, 512)
"""


@pytest.mark.nightly
def test_int8_whose_ranges_are_observed_before_is_not_dynamic(make_rig: MakeRig, tmp_path: Path) -> None:
    """Both are int8 by the same quantizer; the graph that serves tells them apart. A convolutional network has nothing of it."""
    skip_unless_met("int8_dynamic")
    (tmp_path / "linear.py").write_text(LINEAR)
    rig, model = make_rig(), ModelSpec(name=f"{tmp_path}/linear.py:create")

    def changed_to(*transforms: str) -> Recipe:
        steps = dict(rig.catalogue)
        steps["int8_dynamic"] = replace(steps["int8_dynamic"], transforms=transforms)
        return rig.recipe("int8_dynamic", model, steps=steps)

    [serving] = rig.serve(rig.recipe("int8_dynamic", model), model=model)
    serving.workers.close()
    assert {"4 of 4 quantized layers"} <= {item.observed for item in serving.evidence}
    static = refused(rig, changed_to("freezing", "pt2e_int8"), model)
    assert "the ranges of activations are found in each call: 0 of 4 quantized layers" in static
    fp32 = refused(rig, changed_to("freezing"), model)
    assert "linear layers run int8 kernels (at least 50% of their time): linear layers: f32 100.0%" in fp32


@pytest.mark.nightly
@pytest.mark.parametrize("step", ["onnxruntime_int8_mixed", "openvino_int8_mixed"])
def test_first_and_last_layer_stay_in_floating_point(make_rig: MakeRig, step: str) -> None:
    """As the runtime runs them; where they are quantized like all others the step is refused."""
    skip_unless_met(step)
    rig = make_rig()
    quantized = recipe(rig, step, transforms=("int8",))

    [serving] = rig.serve(recipe(rig, step, least_sqnr_db=0.0), model=SMALL)  # so small a network loses much in any int8
    serving.workers.close()
    assert any(item.observed.startswith("the first in ") for item in serving.evidence)
    assert "the first and the last layer run in floating point: the first in int8" in refused(rig, quantized, SMALL)


@pytest.mark.nightly
def test_dynamic_int8_of_a_convolutional_network_is_skipped(make_rig: MakeRig) -> None:
    skip_unless_met("int8_dynamic")
    rig = make_rig()

    assert "most work with weights is that of convolutions" in refused_as(rig, recipe(rig, "int8_dynamic"), NothingChangedError, SMALL)


@pytest.mark.nightly
def test_a_program_that_is_not_lowered_is_refused(make_rig: MakeRig, tmp_path: Path) -> None:
    """ExecuTorch's portable kernels compute the same, and are its reference ones."""
    skip_unless_met("executorch")
    rig = make_rig(root=changed(tmp_path, "runtimes/executorch.py", "partitioner=[XnnpackPartitioner()]", "partitioner=[]"), cache=tmp_path)

    assert "XNNPACK computes all convolutions and products: 0 of " in refused(rig, recipe(rig, "executorch"), SMALL)
