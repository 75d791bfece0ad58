"""Steps that are broken on purpose: each is found out before anything is timed, and leaves no process behind.

Every test takes the suite's own rig and recipes, on small models, and takes away what the step stands on.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fixtures.accuracy import DriftError
from fixtures.allocators import library
from fixtures.evidence import ProofError
from fixtures.launch import ROOT
from fixtures.optimizations import ORT_FAST_MATH
from fixtures.protocol import Job, ModelSpec
from fixtures.recipe import Recipe, resolve
from fixtures.rig import Rig, ServingError
from tests.conftest import MakeRig, skip_unless_met

RESNET = ModelSpec(name="torchvision:resnet18", image_size=64)
VIT = ModelSpec(name="timm:vit_tiny_patch16_224", image_size=64)


def recipe(rig: Rig, step: str, **changes: Any) -> Recipe:
    """The recipe of `step` on this machine, the step itself changed by `changes`."""
    steps = dict(rig.catalogue)
    steps[step] = replace(steps[step], **changes)
    return resolve(step, steps, rig.machine)


def refused(rig: Rig, broken: Recipe, model: ModelSpec = RESNET, kind: type[Exception] = ProofError) -> str:
    """Serve the broken recipe, which must fail as `kind` and be blamed on its step; return the message."""
    with pytest.raises(ServingError) as raised:
        rig.serve(broken, model=model)

    assert isinstance(raised.value.cause, kind), raised.value
    assert raised.value.step == broken.step.name
    assert f"step {broken.step.name!r} on {model.name}" in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("small", "claim"),
    [
        (RESNET, "convolutions and matrix products run in bf16 (at least 50% of their time): no convolution or matmul kernel seen"),
        (
            VIT,
            "convolution kernels are channels-last: input channels-last: True, weights 100% channels-last, kernels reading acdb 0% of time",
        ),
    ],
    ids=["resnet18", "vit_tiny"],
)
def test_bf16_on_a_cpu_that_hides_it(make_rig: MakeRig, small: ModelSpec, claim: str) -> None:
    """With oneDNN held back to AVX2 autocast still casts, but PyTorch's own slow kernels run."""
    skip_unless_met("bf16_autocast")
    rig = make_rig(environment={"ONEDNN_MAX_CPU_ISA": "AVX2"})

    assert claim in refused(rig, recipe(rig, "bf16_autocast"), msgspec.structs.replace(small, image_size=32))  # at 64 they take 10 s


@pytest.mark.parametrize(
    ("step", "changes", "claim"),
    [
        ("baseline", {"precision": "bf16", "transforms": ("bf16_autocast",)}, "convolutions and matrix products run in f32"),
        ("channels_last", {"transforms": ()}, "weights, input and convolution kernels are channels-last: input channels-last: False"),
        ("bf16_autocast", {"transforms": ()}, "convolutions and matrix products run in bf16 (at least 50% of their time): f32 100.0%"),
    ],
    ids=["baseline in bf16", "channels_last", "bf16_autocast"],
)
def test_step_without_what_it_changes(make_rig: MakeRig, step: str, changes: dict[str, Any], claim: str) -> None:
    """A step whose change never reaches the worker is refused by its own claim."""
    skip_unless_met(step)
    rig = make_rig()

    assert claim in refused(rig, recipe(rig, step, **changes))


@pytest.mark.parametrize("step", ["tcmalloc", "jemalloc"])
def test_allocator_that_is_not_preloaded(make_rig: MakeRig, step: str) -> None:
    """Installed is not in the process."""
    skip_unless_met(step)
    rig = make_rig()

    assert "allocates the weights and tensors: not in the process" in refused(rig, recipe(rig, step, preload=None))


def test_allocator_that_is_mapped_and_serves_no_tensor(make_rig: MakeRig, tmp_path: Path) -> None:
    """Loaded once the process runs, TCMalloc serves C++ objects of later libraries; tensors still come from glibc."""
    skip_unless_met("tcmalloc")
    (tmp_path / "sitecustomize.py").write_text(f"import ctypes; ctypes.CDLL({library('tcmalloc')!r}, ctypes.RTLD_GLOBAL)\n")
    rig = make_rig(environment={"PYTHONPATH": str(tmp_path)})
    message = refused(rig, recipe(rig, "tcmalloc", preload=None))

    assert "with weights of 44.6 MiB, by 0.0 MiB with a tensor of 64.0 MiB" in message


@pytest.mark.parametrize("size", [64, 224])
def test_huge_pages_that_only_the_input_asks_for(make_rig: MakeRig, size: int) -> None:
    """numpy asks for them by itself where a batch has 4 MiB: at the default size it does, and no tensor of the model lies in any."""
    skip_unless_met("huge_pages")
    rig = make_rig()
    broken = recipe(rig, "huge_pages", environment={}, requires=())
    message = refused(rig, broken, msgspec.structs.replace(RESNET, image_size=size))

    assert "tensors of 2 MiB and more lie in huge pages that were asked for: 0.0 MiB of" in message
    assert "a new tensor does not" in message


class UnpinnedRig(Rig):
    """Starts one worker for each core, and forgets to pin them."""

    def job(self, recipe: Recipe, model: ModelSpec) -> Job:
        return msgspec.structs.replace(super().job(recipe, model), pinned=False)


def test_workers_that_are_not_pinned(make_rig: MakeRig) -> None:
    """Workers that may all run on all cores get in each other's way."""
    skip_unless_met("workers_pinned")
    rig = make_rig()
    unpinned = UnpinnedRig(**vars(rig))

    assert "workers have cores of their own and do not oversubscribe: CPUs [[" in refused(unpinned, recipe(rig, "workers_pinned"))


def test_tolerance_that_is_not_kept(make_rig: MakeRig) -> None:
    """Outputs that are further from fp32 than the step promises fail it, however fast it is."""
    skip_unless_met("bf16_autocast")
    rig = make_rig()
    message = refused(rig, recipe(rig, "bf16_autocast", least_sqnr_db=150.0), kind=DriftError)

    assert "outputs drifted from fp32 eager: SQNR " in message
    assert "at least 150 dB is required; nothing is recorded" in message


@pytest.mark.parametrize(
    ("settings", "claims"),
    [
        ({}, [f"{ORT_FAST_MATH} is 1: {ORT_FAST_MATH} = not set", "outputs differ from fp32's"]),
        ({ORT_FAST_MATH: "0"}, [f"{ORT_FAST_MATH} is 1: {ORT_FAST_MATH} = 0", "outputs differ from fp32's"]),
    ],
    ids=["never set", "switched off"],
)
def test_onnxruntime_options_that_never_reach_the_session(make_rig: MakeRig, settings: dict[str, str], claims: list[str]) -> None:
    """The published mistake: the session is made before its options. It is asked what it has, and the outputs must differ."""
    skip_unless_met("onnxruntime")
    rig = make_rig()
    message = refused(rig, recipe(rig, "onnxruntime_fast_math", requires=(), settings=settings), VIT)

    assert [claim for claim in claims if claim not in message] == []


def test_onnxruntime_option_that_does_nothing_here(make_rig: MakeRig) -> None:
    """Where the CPU has no such kernels the session has the option, and the outputs give it away."""
    skip_unless_met("onnxruntime")
    rig = make_rig()
    if rig.machine.architecture == "aarch64":
        pytest.skip("on Arm the option takes effect -> run on x86")
    message = refused(rig, recipe(rig, "onnxruntime_fast_math", requires=()), VIT)

    assert "outputs differ from fp32's: largest difference from fp32" in message
    assert f"{ORT_FAST_MATH} = not set" not in message


@pytest.mark.parametrize(
    ("step", "changes", "claim"),
    [
        ("onnxruntime_int8", {"transforms": ()}, "run int8 kernels (at least 50% of the time of each): convolution: f32 100.0%"),
        ("openvino", {"settings": {"INFERENCE_PRECISION_HINT": "f32"}}, "run in bf16 or f16 (at least 50% of their time): f32 100.0%"),
        ("openvino_fp32", {"settings": {}}, "INFERENCE_PRECISION_HINT is f32: INFERENCE_PRECISION_HINT ="),
        ("openvino_int8", {"transforms": ()}, "run int8 kernels (at least 50% of the time of each): convolution: "),
    ],
)
def test_runtime_that_was_not_told(make_rig: MakeRig, step: str, changes: dict[str, Any], claim: str) -> None:
    """Other runtimes are held to what their own profile and properties say."""
    skip_unless_met(step)
    rig = make_rig()

    assert claim in refused(rig, recipe(rig, step, **changes))


@pytest.mark.slow
def test_freezing_switched_off(make_rig: MakeRig) -> None:
    """Without freezing Inductor packs no weights, and says nothing about it."""
    skip_unless_met("compile_freezing")
    rig = make_rig()
    message = refused(rig, recipe(rig, "compile_freezing", transforms=()))

    assert "weights are packed ahead of time: mkldnn_conv_weight_pack_matcher_count: 0, " in message


@pytest.mark.slow
def test_quantizer_that_annotates_nothing(make_rig: MakeRig, tmp_path: Path) -> None:
    """PT2E then runs through without a word, and compiles the model as it was."""
    skip_unless_met("pt2e_int8")
    shutil.copytree(ROOT / "fixtures", tmp_path / "checkout" / "fixtures")
    quantization = tmp_path / "checkout" / "fixtures" / "quantization.py"
    code = quantization.read_text()
    configured = "quantizer.set_global(x86_inductor_quantizer.get_default_x86_inductor_quantization_config())"
    assert configured in code
    quantization.write_text(code.replace(configured, "quantizer"))
    rig = make_rig(root=tmp_path / "checkout", cache=tmp_path / "artifacts")
    message = refused(rig, recipe(rig, "pt2e_int8"))

    assert "convolutions and matrix products run int8 kernels" in message
    assert "0 int8 kernels for 21 layers with weights" in message
    assert "weights are packed ahead of time: qconv_weight_prepack_matcher_count: 0" in message
