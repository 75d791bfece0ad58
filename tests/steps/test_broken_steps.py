"""Steps that are broken on purpose: each is found out before anything is timed, and leaves no process behind.

Every test takes the suite's own rig and recipes, on small models, and takes away what the step stands on.
"""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fixtures.bench.rig import Rig, ServingError
from fixtures.machine.allocators import library
from fixtures.protocol import Job, ModelSpec
from fixtures.steps.accuracy import DriftError
from fixtures.steps.evidence import NothingChangedError, ProofError
from fixtures.steps.optimizations import ORT_FAST_MATH, Placement
from fixtures.steps.placement import place
from fixtures.steps.recipe import Recipe, resolve, unmet
from reports.text.image_shape import square
from tests import checkouts
from tests.conftest import MakeRig, skip_unless_met

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))
VIT = ModelSpec(name="timm:vit_tiny_patch16_224", image=square(64))


def recipe(rig: Rig, step: str, **changes: Any) -> Recipe:
    """The recipe of `step` on this machine, the step itself changed by `changes`."""
    steps = dict(rig.catalogue)
    steps[step] = replace(steps[step], **changes)
    return resolve(step, steps, rig.machine)


def refused_as(rig: Rig, broken: Recipe, kind: type[Exception] | tuple[type[Exception], ...], model: ModelSpec = RESNET) -> str:
    """Serve the broken recipe, which must end as `kind`; return the message."""
    with pytest.raises(ServingError) as raised:
        rig.serve(broken, model=model)

    assert isinstance(raised.value.cause, kind), raised.value
    assert raised.value.step == broken.step.name
    return str(raised.value)


def refused(rig: Rig, broken: Recipe, model: ModelSpec = RESNET, kind: type[Exception] = ProofError) -> str:
    """Serve the broken recipe, which must fail as `kind` and be blamed on its step; return the message."""
    message = refused_as(rig, broken, kind, model)
    assert f"step {broken.step.name!r} on {model.name}" in message
    return message


def changed(folder: Path, file: str, old: str, new: str) -> Path:
    """A checkout whose workers have `new` in place of `old` in one file."""
    return checkouts.changed(folder / "checkout", f"fixtures/{file}", old, new)


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

    assert claim in refused(rig, recipe(rig, "bf16_autocast"), msgspec.structs.replace(small, image=square(32)))  # at 64 they take 10 s


INT8_OF_EACH = "run int8 kernels (at least 50% of the time of each): convolution: "
NOT_PRELOADED = "allocates the weights and tensors: not in the process"
NOT_PACKED = "weights are packed ahead of time: mkldnn_conv_weight_pack_matcher_count: 0, "


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "changes", "claim"),
    [
        ("baseline", {"precision": "bf16", "transforms": ("bf16_autocast",)}, "convolutions and matrix products run in f32"),
        ("channels_last", {"transforms": ()}, "weights, input and convolution kernels are channels-last: input channels-last: False"),
        ("bf16_autocast", {"transforms": ()}, "convolutions and matrix products run in bf16 (at least 50% of their time): f32 100.0%"),
        ("tcmalloc", {"preload": None}, NOT_PRELOADED),  # installed is not in the process
        pytest.param("jemalloc", {"preload": None}, NOT_PRELOADED, marks=pytest.mark.nightly),
        ("onnxruntime_int8", {"transforms": ()}, f"{INT8_OF_EACH}f32 100.0%"),
        ("openvino", {"settings": {"INFERENCE_PRECISION_HINT": "f32"}}, "run in bf16 or f16 (at least 50% of their time): f32 100.0%"),
        ("openvino_int8", {"transforms": ()}, INT8_OF_EACH),
        pytest.param("compile_freezing", {"transforms": ()}, NOT_PACKED, marks=pytest.mark.nightly),  # Inductor says nothing about it
        pytest.param("executorch_int8", {"transforms": ()}, INT8_OF_EACH, marks=pytest.mark.nightly),
    ],
)
def test_step_without_what_it_changes(make_rig: MakeRig, step: str, changes: dict[str, Any], claim: str) -> None:
    """A step whose change never reaches the worker is refused by its own claim, in every runtime."""
    skip_unless_met(step)
    rig = make_rig()

    assert claim in refused(rig, recipe(rig, step, **changes))


@pytest.mark.slow
def test_allocator_that_is_mapped_and_serves_no_tensor(make_rig: MakeRig, tmp_path: Path) -> None:
    """Loaded once the process runs, TCMalloc serves C++ objects of later libraries; tensors still come from glibc."""
    skip_unless_met("tcmalloc")
    (tmp_path / "sitecustomize.py").write_text(f"import ctypes; ctypes.CDLL({library('tcmalloc')!r}, ctypes.RTLD_GLOBAL)\n")
    rig = make_rig(environment={"PYTHONPATH": str(tmp_path)})
    message = refused(rig, recipe(rig, "tcmalloc", preload=None))

    assert "with weights of 44.6 MiB, by 0.0 MiB with a tensor of 64.0 MiB" in message


@pytest.mark.slow
@pytest.mark.parametrize("size", [pytest.param(64, marks=pytest.mark.nightly), 224])
def test_huge_pages_that_only_the_input_asks_for(make_rig: MakeRig, size: int) -> None:
    """numpy asks for them by itself where a batch has 4 MiB: at the default size it does, no more of the model lies in any."""
    skip_unless_met("huge_pages")
    rig = make_rig()
    broken = recipe(rig, "huge_pages", environment={}, requires=())
    message = refused(rig, broken, msgspec.structs.replace(RESNET, image=square(size)))

    found = re.search(r"tensors of 2 MiB and more lie in huge pages that were asked for: ([\d.]+) MiB of", message)
    assert found is not None
    assert float(found[1]) <= 4.0
    assert "a new tensor does not" in message


class UnpinnedRig(Rig):
    """Starts one worker for each core, and forgets to pin them."""

    def job(self, recipe: Recipe, model: ModelSpec) -> Job:
        return msgspec.structs.replace(super().job(recipe, model), pinned=False)


@pytest.mark.slow
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


ONE_SAMPLE = """return self._function(*(each[:1] for each in placed)).expand(len(placed[0]), -1)"""
NO_DIFFERENCE = "outputs differ from those of the same artifact without the setting: SQNR 200.0 dB over "


@pytest.mark.slow
@pytest.mark.parametrize("settings", [pytest.param({}, marks=pytest.mark.nightly), {ORT_FAST_MATH: "0"}], ids=["never set", "switched off"])
def test_onnxruntime_options_that_never_reach_the_session(make_rig: MakeRig, settings: dict[str, str]) -> None:
    """The published mistake: the session is made before its options. The outputs are those of a session without."""
    skip_unless_met("onnxruntime")
    rig = make_rig()

    assert NO_DIFFERENCE in refused(rig, recipe(rig, "onnxruntime_fast_math", requires=(), settings=settings), VIT)


@pytest.mark.slow
def test_onnxruntime_option_that_does_nothing_here(make_rig: MakeRig) -> None:
    """Where the CPU has no such kernels the session has the option, and the outputs give it away, however deep the model."""
    skip_unless_met("onnxruntime")
    rig = make_rig()
    if rig.machine.architecture == "aarch64":
        pytest.skip("on Arm the option takes effect -> run on x86")

    assert NO_DIFFERENCE in refused(rig, recipe(rig, "onnxruntime_fast_math", requires=()), VIT)


@pytest.mark.slow
def test_an_option_that_does_nothing_does_nothing_in_a_placement(make_rig: MakeRig) -> None:
    """The step on top has no setting to be proved by; what is below it is served without its own all the same."""
    skip_unless_met("onnxruntime", "workers_pinned")
    rig = make_rig()
    if rig.machine.architecture == "aarch64":
        pytest.skip("on Arm the option takes effect -> run on x86")
    placed = place(recipe(rig, "onnxruntime_fast_math", requires=()), Placement(workers=2, threads=1))

    assert NO_DIFFERENCE in refused(rig, placed, VIT)


@pytest.mark.slow
def test_fast_math_that_does_nothing_here(make_rig: MakeRig) -> None:
    """The variable is set, oneDNN accepts it and runs its f32 kernels: neither kernels nor outputs tell a difference."""
    rig = make_rig()
    if unmet(rig.catalogue["fast_math"], rig.machine) is None:
        pytest.skip("this CPU has fast math kernels -> run on x86 without AMX")
    message = refused(rig, recipe(rig, "fast_math", requires=()))

    assert "f32 kernels compute in bf16: 0 f32 kernels compute in bf16; f32 100.0%; 0 of 21 layers" in message
    assert NO_DIFFERENCE in message


@pytest.mark.slow
def test_another_number_of_samples_is_no_effect(make_rig: MakeRig, tmp_path: Path) -> None:
    """Each side serves as many samples as fit into its time; those that both served are equal."""
    skip_unless_met("onnxruntime")
    some = f'np.savez(message.outputs, *(array[: 11 if "{ORT_FAST_MATH}" in job.settings else None] for array in outputs))'
    rig = make_rig(root=changed(tmp_path, "worker.py", "np.savez(message.outputs, *outputs)", some))

    assert f"{NO_DIFFERENCE}11 samples" in refused(rig, recipe(rig, "onnxruntime_fast_math", requires=()), VIT)


@pytest.mark.slow
def test_a_run_without_the_setting_is_done_once_a_step(make_rig: MakeRig) -> None:
    """Fresh pairs of the step compare with what was found first."""
    skip_unless_met("onnxruntime")
    rig = make_rig()
    broken = recipe(rig, "onnxruntime_fast_math", requires=())
    for _ in range(2):
        with suppress(ServingError):
            [serving] = rig.serve(broken, model=VIT)
            serving.workers.close()

    assert len(rig.without) == 1


@pytest.mark.slow
def test_onnxruntime_without_graph_optimizations(make_rig: MakeRig, tmp_path: Path) -> None:
    """The level is asked for, and nothing is fused: the operators of the file run one by one."""
    skip_unless_met("onnxruntime")
    root = changed(tmp_path, "runtimes/onnxruntime.py", "GraphOptimizationLevel.ORT_ENABLE_ALL", "GraphOptimizationLevel.ORT_DISABLE_ALL")
    rig = make_rig(root=root)

    assert "operators are fused: all " in refused(rig, recipe(rig, "onnxruntime"))


@pytest.mark.slow
def test_a_batch_of_which_one_sample_is_computed(make_rig: MakeRig, tmp_path: Path) -> None:
    """The model receives all eight, and its kernels work on one."""
    root = changed(tmp_path, "runtimes/torch_session.py", "return self._function(*placed)", ONE_SAMPLE)
    rig = make_rig(root=root)

    assert "the batch size is in force: batch 8; 0 of " in refused(rig, recipe(rig, "batch_8", requires=()))


def test_openvino_fp32_that_was_not_told(make_rig: MakeRig) -> None:
    """Where the device prefers another precision, its kernels say so."""
    skip_unless_met("openvino", "openvino_fp32")
    rig = make_rig()

    assert "run in f32 (at least 95% of their time): " in refused(rig, recipe(rig, "openvino_fp32", settings={}))


@pytest.mark.slow
def test_throughput_hint_with_one_stream(make_rig: MakeRig) -> None:
    """The hint is in force, and serves one request at a time: that is no other step than the one below."""
    skip_unless_met("openvino_throughput")
    rig = make_rig()
    settings = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": "1", "PERFORMANCE_HINT_NUM_REQUESTS": "1"}
    message = refused_as(rig, recipe(rig, "openvino_throughput", settings=settings), NothingChangedError)

    assert "nothing changed: 1 streams, 1 requests" in message


ONE_SCALE = {
    "onnxruntime_int8": (
        "runtimes/onnxruntime.py",
        "        per_channel=True,\n        reduce_range=_saturates(),\n        activation",
        "        reduce_range=_saturates(),\n        activation",
    ),
    "openvino_int8": (
        "runtimes/openvino.py",
        "AdvancedQuantizationParameters(",
        "AdvancedQuantizationParameters(\n"
        "weights_quantization_params=nncf.quantization.advanced_parameters.QuantizationParameters(per_channel=False),",
    ),
    "pt2e_int8": (
        "runtimes/quantization.py",
        "x86_inductor_quantizer.get_default_x86_inductor_quantization_config(is_dynamic=is_dynamic)",
        "arm_inductor_quantizer.get_default_arm_inductor_quantization_config()",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", [pytest.param(step, marks=[] if "onnx" in step else pytest.mark.nightly) for step in ONE_SCALE])
def test_weights_with_one_scale_for_all_channels(make_rig: MakeRig, tmp_path: Path, step: str) -> None:
    """Each tool takes that without a word; for PT2E it is the default of torchao's quantizer for Arm."""
    skip_unless_met(step)
    rig = make_rig(root=changed(tmp_path, *ONE_SCALE[step]), cache=tmp_path / "artifacts")
    model = VIT if step == "pt2e_int8" else msgspec.structs.replace(RESNET, image=square(32))  # that default cannot pool
    message = refused(rig, recipe(rig, step), model)

    assert "weights are quantized per channel: 0% of the layers with weights have a scale for each output channel" in message


@pytest.mark.nightly
def test_dynamo_without_inductor(make_rig: MakeRig, tmp_path: Path) -> None:
    """One graph without a break, run operator by operator as before."""
    skip_unless_met("compile")
    compiled = 'torch.compile(model, dynamic="dynamic_shapes" in job.transforms'
    root = changed(tmp_path, "runtimes/inductor.py", compiled, f'{compiled}, backend="eager"')
    rig = make_rig(root=root, cache=tmp_path / "artifacts")

    assert "Inductor's own code serves: 0 graphs compiled by Inductor" in refused(rig, recipe(rig, "compile"))


@pytest.mark.nightly
def test_autotuning_that_keeps_onednn(make_rig: MakeRig) -> None:
    """With its own templates switched off Inductor times products and keeps what the step below has."""
    skip_unless_met("compile_max_autotune")
    rig = make_rig()
    broken = recipe(rig, "compile_max_autotune", environment={"TORCHINDUCTOR_MAX_AUTOTUNE_GEMM_BACKENDS": "ATEN"})
    message = refused_as(rig, broken, (NothingChangedError, ProofError), VIT)

    assert "matrix products autotuned, 0 of them run in Inductor's own templates" in message


@pytest.mark.nightly
def test_quantizer_that_annotates_nothing(make_rig: MakeRig, tmp_path: Path) -> None:
    """PT2E then runs through without a word, and compiles the model as it was."""
    skip_unless_met("pt2e_int8")
    rig = make_rig(
        root=changed(tmp_path, "runtimes/quantization.py", "quantizer.set_global(config)", "quantizer"), cache=tmp_path / "artifacts"
    )
    message = refused(rig, recipe(rig, "pt2e_int8"))

    assert "convolutions and matrix products run int8 kernels" in message
    assert "0 int8 kernels for 21 layers with weights" in message
    assert "weights are packed ahead of time: qconv_weight_prepack_matcher_count: 0" in message
