"""Quantized kernels beside fp32 with the same weights: right ones agree, and a wrong one is refused that is near enough to fp32's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from fixtures import runtimes
from fixtures.generation import generation_claims as generated
from fixtures.generation.generation_session import relative_change
from fixtures.generation.generation_steps import generation_steps
from fixtures.generation.gguf_file import GGUF_FILE
from fixtures.generation.openvino_weights import dequantize
from fixtures.generation.same_weights import DEQUANTIZED, dequantized
from fixtures.generation.torch_weights import quantized
from fixtures.inputs import samples
from fixtures.machine import this_machine
from fixtures.models import plain
from fixtures.protocol import Job, ModelSpec
from fixtures.steps.accuracy import Agreement, compare
from fixtures.steps.evidence import Claim, Proof
from fixtures.steps.optimizations import Optimization, catalogue
from fixtures.steps.recipe import resolve
from tests.conftest import MakeRig, skip_unless_met
from tests.generation.conftest import job_of
from tests.machines import X86
from tests.steps.test_broken_steps import changed, refused

STEPS = {step.name: step for step in generation_steps(1) if step.proved_by_same_weights}
ON_X86 = pytest.mark.skipif(X86.architecture != this_machine().architecture, reason="PyTorch's kernel of 4 bits is x86's")
BY_TORCHAO = [
    pytest.param("generate_int8", "mlp.down_proj.weight.scale"),
    pytest.param("generate_int4", "mlp.down_proj.weight.scale_and_zero", marks=ON_X86),
]


class Both:
    """A step and fp32 with its weights, side by side, on two texts of the small model."""

    def __init__(self, step: Optimization, decode: ModelSpec, drawn: Path, folder: Path | None) -> None:
        model = msgspec.structs.replace(decode, batch_size=2)
        runtime = runtimes.get(step.runtime or "torch_generation")
        words = ("bf16_weights", *step.transforms) if step.builds_on == "generate_compile_bf16" else step.transforms
        job = msgspec.structs.replace(job_of(model, *words, inputs=drawn), runtime=step.runtime or "torch_generation")
        if folder is not None:
            runtime.prepare(job, folder)
        self._claim = next(claim for claim in step.claims if claim.subject == "arithmetic")
        self._least_db, self._job = step.least_sqnr_db, job

        def load(wanted: Job) -> Any:
            return runtime.load(wanted, folder)

        self._load = load
        self.session, same = load(job), load(dequantized(job))
        self._batch = samples.batch(job)
        self._same = self._logits(same)
        self._reference = samples.load_named(drawn / "outputs.npz")["logits"]

    def reload(self) -> None:
        """Serve the step anew, and leave fp32 as it is."""
        self.close()
        self.session = self._load(self._job)

    def close(self) -> None:
        """Let go of the folder that ONNX Runtime profiles into."""
        if (scratch := getattr(self.session, "_scratch", None)) is not None:
            scratch.cleanup()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """All is right before what is done in this context, and after it the claim on the kernels alone refuses."""
        assert (True, True) == self.judged()[:2]
        yield
        is_near, holds, told = self.judged()
        assert (True, False) == (is_near, holds), told

    def _logits(self, session: Any) -> np.ndarray:
        found: np.ndarray = session.to_numpy(session.scores(session.place(self._batch)))[0]
        return found

    def judged(self) -> tuple[bool, Any, str]:
        """Whether the outputs are near enough to fp32's own weights', and whether the claim on the kernels holds, with what it shows."""
        logits = self._logits(self.session)
        near = compare(logits, self._reference)
        assert self._least_db is not None
        proof = Proof(job=self._job, ranks=[], agreement=near, same_weights=compare(logits, self._same))
        return near.keeps(self._least_db), *self._claim.check(proof)


@pytest.fixture
def both(decode: ModelSpec, drawn: Path) -> Iterator[Callable[..., Both]]:
    """A function that serves a step eagerly, and the same weights in fp32."""
    served: list[Both] = []

    def serve(name: str, folder: Path | None = None) -> Both:
        served.append(Both(STEPS[name], decode, drawn, folder))
        return served[-1]

    yield serve
    for each in served:
        each.close()


@pytest.mark.parametrize(("name", "scales"), BY_TORCHAO)
def test_a_scale_that_is_wrong_in_one_layer_is_refused(both: Callable[..., Both], name: str, scales: str) -> None:
    """torchao's weights of one of the small model's layers are half as large again as they should be."""
    pytest.importorskip("torchao")
    served = both(name)
    scale = served.session.model.model.layers[0]
    for part in scales.split("."):
        scale = getattr(scale, part)

    with served.refusing():
        scale.mul_(1.5)


@pytest.mark.parametrize(
    ("name", "package"),
    [("onnxruntime_generate_int4", "onnxruntime"), ("onnxruntime_genai_generate_int4", "onnxruntime_genai")],
)
def test_a_block_s_scale_that_is_wrong_in_one_product_is_refused(
    both: Callable[..., Both], tmp_path: Path, name: str, package: str
) -> None:
    """ONNX Runtime is given a file that changed after fp32 took its weights from it."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip(package)
    served = both(name, tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    product = [node for node in model.graph.node if node.op_type == "MatMulNBits"][2]
    scales = next(each for each in model.graph.initializer if each.name == product.input[2])
    scales.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scales) * np.float32(1.5), scales.name))

    with served.refusing():
        onnx.save_model(model, tmp_path / "model.onnx")
        served.reload()


@pytest.mark.parametrize(("name", "block_bytes"), [("llama_cpp_generate_q8_0", 34), ("llama_cpp_generate_q4_0", 18)])
def test_a_block_s_scale_that_is_wrong_in_one_matrix_is_refused(
    both: Callable[..., Both], tmp_path: Path, name: str, block_bytes: int
) -> None:
    """llama.cpp is given a file that changed after fp32 took its weights from it. A block begins with its scale."""
    gguf = pytest.importorskip("gguf")
    pytest.importorskip("llama_cpp")
    served = both(name, tmp_path)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / GGUF_FILE, "r+").tensors}
    data = tensors["blk.0.ffn_down.weight"].data
    scales = data.reshape(-1, block_bytes)[:, :2].view(np.float16)

    with served.refusing():
        scales *= np.float16(1.5)
        data.flush()
        served.reload()


@pytest.mark.parametrize("name", ["openvino_generate_int8", "openvino_generate_int4"])
def test_weights_of_nncf_are_what_openvino_multiplies(both: Callable[..., Both], name: str, tmp_path: Path) -> None:
    pytest.importorskip("nncf")

    assert (True, True) == both(name, tmp_path).judged()[:2]


@pytest.mark.parametrize(("word", "least_db"), [("int8_dynamic", 35), ("int8_weights", 35), ("int4_weights", 17), ("int4_kleidiai", 17)])
def test_numbers_are_the_model_s_own_weights_rounded(decode: ModelSpec, word: str, least_db: float) -> None:
    """Arm's, too, which are rounded before anything is packed for its kernels."""
    pytest.importorskip("torchao")
    own, rounded = plain(decode), quantized(job_of(decode, word, DEQUANTIZED), plain(decode))
    found = {
        name: -20 * np.log10(relative_change([module.weight.numpy(), rounded.get_submodule(name).weight.numpy()]))
        for name, module in own.named_modules()
        if isinstance(module, torch.nn.Linear)
    }

    assert 15 == len(found)
    assert least_db <= min(found.values()) < max(found.values()) < least_db + 15


def test_a_claim_without_the_same_weights_does_not_hold(decode: ModelSpec) -> None:
    near = Agreement(sqnr_db=15.0, centred_cosine=1.0, cosine=1.0, max_abs_error=0.0, relative_error=0.0, samples=2)

    def holds(claim: Claim, same: Agreement | None) -> object:
        return claim.check(Proof(job=job_of(decode), ranks=[], agreement=near, same_weights=same))[0]

    assert [True, False, False] == [holds(generated.kernels_agree(least), same) for least, same in ((14, near), (16, near), (0, None))]


def test_constants_in_few_bits_without_scales_are_told(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    opset = openvino.opset13
    weights = opset.convert(opset.constant(np.ones((4, 4), np.int8)), "f32")
    tokens = opset.parameter([1, 4], np.float32)

    with pytest.raises(RuntimeError, match="are not multiplied by scales as nncf wrote them"):
        dequantize(openvino.Model([opset.matmul(tokens, weights, False, True)], [tokens], "m"))


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_a_worker_with_a_wrong_scale_in_one_layer_is_refused(make_rig: MakeRig, decode: ModelSpec, tmp_path: Path) -> None:
    """All else that is claimed of the step holds, and its logits are within the tolerance."""
    skip_unless_met("generate_int8")
    old = "        quantize_(model, config, filter_fn=fits)\n    return model"
    new = old.replace("\n    return", "\n        model.model.layers[0].mlp.down_proj.weight.scale.mul_(1.5)\n    return")
    rig = make_rig(root=changed(tmp_path, "generation/torch_weights.py", old, new))
    message = refused(rig, resolve("generate_int8", catalogue(1), rig.machine), decode)

    assert "was not in force; logits are what fp32 computes with the same quantized weights: SQNR" in message
