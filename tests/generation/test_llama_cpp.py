"""llama.cpp: what holds of its steps on small models, of one text and of several, and broken ones that are refused."""

import shutil
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fixtures.generation import generation_claims as generated
from fixtures.generation import greedy, llama_cpp_library
from fixtures.generation import llama_cpp_generation as runtime
from fixtures.generation.generation_steps import BYTES_DB, INT4_DB
from fixtures.generation.gguf_file import GGUF_FILE
from fixtures.generation.llama_cpp_generation import LlamaCppSession
from fixtures.generation.llama_cpp_nodes import ComputedNode, large_product, mean_nodes
from fixtures.generation.same_weights import dequantized
from fixtures.inputs import samples
from fixtures.protocol import ModelSpec
from fixtures.runtimes import UnsupportedModelError
from fixtures.steps import evidence as prove
from fixtures.steps.accuracy import compare
from fixtures.steps.optimizations import HALF_DB
from tests.generation.conftest import CONFIG, job_of, of_config
from tests.generation.looked_at import TakesAnew, observed, proved, refused, scores_of

pytest.importorskip("llama_cpp", reason="llama.cpp is not installed -> pip install -c constraints.txt -e '.[llama-cpp]'")
pytest.importorskip("gguf", reason="gguf is not installed -> pip install -c constraints.txt -e '.[llama-cpp]'")

OF_THE_CACHE = (
    generated.cache_grows(),
    generated.cache_is_read(),
    generated.tokens_follow(),
    generated.attention_holds_cache("flash_attn_ext"),
)
IN_F16 = (prove.kernels_in("f16", at_least=prove.NEARLY_ALL), generated.weights_take(2))
IN_8_BITS = (generated.products_read("int8", "mul_mat:q8_0"), generated.weights_take(1))
IN_4_BITS = (generated.products_read("int4", "mul_mat:q4_0"), generated.weights_take(0.5, scales=0.3))
CLAIMS = {"f16": IN_F16, "q8_0": IN_8_BITS, "q4_0": IN_4_BITS}
SLOWER = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama with biases": {"attention_bias": True, "mlp_bias": True},
    "llama with one table": {"tie_word_embeddings": True},
    "llama turned slower": {"rope_parameters": SLOWER | {"original_max_position_embeddings": 64}},
    "llama with wide heads": {"head_dim": 64},
    "mistral": {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": None},
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
    "qwen3": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 64},
}
UNKNOWN: dict[str, dict[str, Any]] = {
    "is a gemma, of which this suite writes no file": {"model_type": "gemma", "architectures": ["GemmaForCausalLM"]},
    "have the activation gelu, where llama.cpp computes silu": {"hidden_act": "gelu"},
    "attends to a window of its last tokens": {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 16},
    r"turned in a way \(dynamic": {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
    "which llama.cpp knows of Llama's models alone": KINDS["qwen2"] | KINDS["llama turned slower"],
    "has rows of 360 weights, where Q4_0 gives a scale to each 32": {"intermediate_size": 360},
}


@pytest.fixture(scope="module")
def built(decode: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the small model by the type of its weights."""
    folders = {word: tmp_path_factory.mktemp(word) for word in CLAIMS}
    for word, folder in folders.items():
        runtime.prepare(job_of(decode, word), folder)
    return folders


@pytest.mark.parametrize("texts", [1, 2])
@pytest.mark.parametrize(("phase", "tokens"), [("decode", 20), ("decode", 0), ("prefill", 20)])
def test_what_is_claimed_holds(decode: ModelSpec, built: dict[str, Path], tmp_path: Path, phase: str, tokens: int, texts: int) -> None:
    """And what the library was built for is kept."""
    model = msgspec.structs.replace(decode, phase=phase, sequence_length=tokens, batch_size=texts)
    seen = proved(runtime, model, built["f16"], tmp_path, (*OF_THE_CACHE, *IN_F16, prove.batch_in_force()), HALF_DB)

    assert 1 == seen.threads
    assert "1" == seen.settings["REPACK"]
    assert all(value.isdigit() for value in seen.settings.values())


@pytest.mark.parametrize("kind", KINDS)
def test_models_are_written_as_llama_cpp_computes_them(decode: ModelSpec, tmp_path: Path, kind: str) -> None:
    """Logits are near those of fp32, and in fp32 the same weights agree with them."""
    model = of_config(tmp_path, decode, CONFIG | KINDS[kind])
    greedy.write(job_of(model), 2, tmp_path)
    expected = samples.load_named(tmp_path / "outputs.npz")["logits"]
    for word, claims in CLAIMS.items():
        job, folder = job_of(model, word, inputs=tmp_path), tmp_path / word
        folder.mkdir()
        runtime.prepare(job, folder)
        session = runtime.load(job, folder)
        logits = scores_of(session, job)
        same = scores_of(runtime.load(dequantized(job), folder), job)

        assert [] == refused((*OF_THE_CACHE, *claims), job, observed(session))
        assert compare(logits, expected).keeps(INT4_DB if word == "q4_0" else HALF_DB), word
        assert compare(logits, same).keeps(BYTES_DB), word


@pytest.mark.parametrize("told", UNKNOWN)
def test_a_model_that_is_not_written_is_told(decode: ModelSpec, tmp_path: Path, told: str) -> None:
    model = of_config(tmp_path, decode, CONFIG | UNKNOWN[told])

    with pytest.raises(UnsupportedModelError, match=f"{told}.*measure "):
        runtime.prepare(job_of(model, "q4_0"), tmp_path)


def test_a_file_in_f16_in_place_of_4_bits_is_refused(decode: ModelSpec, drawn: Path, built: dict[str, Path]) -> None:
    job = job_of(decode, "q4_0", inputs=drawn)

    assert [] == refused((*OF_THE_CACHE, *IN_4_BITS), job, observed(runtime.load(job, built["q4_0"])))
    of_kernels, of_weights = refused(IN_4_BITS, job, observed(runtime.load(job, built["f16"])))
    assert of_kernels.startswith("0 mul_mat:q4_0 for 15 layers with weights (others: mul_mat:f16:")
    assert of_weights.endswith("2.00 bytes a weight")


class Recomputing(TakesAnew, LlamaCppSession):
    """Takes the whole text anew for each token."""


def test_a_text_that_is_taken_anew_is_refused(decode: ModelSpec, drawn: Path, built: dict[str, Path]) -> None:
    """Its tokens are right, and its cache grows."""
    job = job_of(decode, inputs=drawn)
    seen = observed(Recomputing(job, runtime.load(job, built["f16"])._model))

    assert [] == refused((generated.tokens_follow(),), job, seen)
    of_the_cache, in_use = refused(OF_THE_CACHE, job, seen)
    assert of_the_cache.startswith("20 -> 28 positions by 8 tokens; layers multiply 2")
    assert "the logits change by 0 of their size" in in_use


class Forgetting(LlamaCppSession):
    """Loses the first half of its texts with each token."""

    def advance(self) -> np.ndarray:
        library, memory = self._context._library, self._context._memory
        library.llama_memory_seq_rm(memory, -1, 0, 10)
        chosen: np.ndarray = super().advance()
        return chosen


def test_a_cache_that_forgets_is_refused(decode: ModelSpec, drawn: Path, built: dict[str, Path]) -> None:
    job = job_of(decode, inputs=drawn)
    seen = observed(Forgetting(job, runtime.load(job, built["f16"])._model))

    assert [
        "10 -> 18 positions by 8 tokens; what was in it is not the same any more; layers multiply 1 rows in an iteration, of 1"
    ] == refused((generated.cache_grows(),), job, seen)


def test_a_cache_in_another_form_is_told() -> None:
    state = struct.pack("<IiII", llama_cpp_library.STATE_MAGIC, 0, 1, 0)

    assert [] == llama_cpp_library._arrays(state, 2)
    with pytest.raises(RuntimeError, match="is not in the form of llama-cpp-python"):
        llama_cpp_library._arrays(state + b"more", 2)


def test_llama_cpp_says_nothing_by_itself(
    decode: ModelSpec, drawn: Path, built: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    observed(runtime.load(job_of(decode, inputs=drawn), built["q8_0"]))

    assert ("", "") == capfd.readouterr()


def test_a_damaged_file_is_one_paragraph(decode: ModelSpec, built: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(built["f16"], tmp_path / "damaged")
    content = (folder / GGUF_FILE).read_bytes()
    (folder / GGUF_FILE).write_bytes(content[: len(content) // 2])

    with pytest.raises(RuntimeError) as told:
        runtime.load(job_of(decode), folder)

    assert "\n" not in str(told.value)
    assert "did not load" in str(told.value)
    assert "not within the file bounds" in str(told.value)


def test_devices_beside_the_cpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithBlas:
        def ggml_backend_dev_count(self) -> int:
            return 2

        def ggml_backend_dev_get(self, place: int) -> int:
            return place

        def ggml_backend_dev_name(self, device: int) -> bytes:
            return (b"BLAS", b"CPU")[device]

    monkeypatch.setattr(llama_cpp_library, "ggml", WithBlas)

    with pytest.raises(RuntimeError, match="built with the devices BLAS, CPU, where the CPU alone is expected"):
        llama_cpp_library._require_cpu_alone()


def test_nodes_are_profiled(decode: ModelSpec, drawn: Path, built: dict[str, Path]) -> None:
    job = job_of(decode, inputs=drawn)
    session = runtime.load(job, built["f16"])
    profile = session.profile(session.place(samples.batch(job)), 3, None)

    assert 3 == profile.inferences
    assert 2 == {operator.name: operator.calls for operator in profile.operators}["flash_attn_ext:f16"]


def test_a_large_product_multiplies() -> None:
    assert 0 == large_product(64, 2)()


def test_times_of_nodes_are_means() -> None:
    def of(time_s: float) -> ComputedNode:
        return ComputedNode(operator="ADD", type="f32", time_s=time_s)

    assert [of(2.0), of(4.0)] == mean_nodes([[of(1.0), of(4.0)], [of(3.0), of(4.0)]])
