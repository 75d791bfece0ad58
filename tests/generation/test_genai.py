"""ONNX Runtime GenAI: what holds of its steps on a small model, of one text and of several, and broken ones that are refused."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fixtures.generation import generation_claims as generated
from fixtures.generation import greedy
from fixtures.generation import onnxruntime_genai_generation as runtime
from fixtures.generation.generation_steps import BYTES_DB
from fixtures.generation.onnxruntime_genai_generation import LEAST_POSITIONS, GenaiSession, positions
from fixtures.generation.same_weights import dequantized
from fixtures.protocol import ModelSpec
from fixtures.runtimes import UnsupportedModelError
from fixtures.steps import evidence as prove
from fixtures.steps.accuracy import compare
from fixtures.steps.optimizations import FP32_DB
from tests.generation.conftest import CONFIG, GPT2, job_of, of_config
from tests.generation.looked_at import TakesAnew, observed, proved, refused, scores_of
from tests.runtimes.test_telemetry import begins_to_tell

pytest.importorskip("onnxruntime_genai", reason="ONNX Runtime GenAI is not installed -> pip install onnxruntime-genai")

OF_THE_CACHE = (
    generated.cache_grows(),
    generated.cache_is_read(),
    generated.tokens_follow(),
    generated.attention_holds_cache("GroupQueryAttention"),
)
IN_FP32 = (prove.kernels_in("f32", at_least=prove.NEARLY_ALL), generated.weights_take(4))
IN_4_BITS = (generated.products_read("int4", "MatMulNBits"), generated.weights_take(0.5, scales=0.3))


@pytest.fixture(scope="module")
def built(decode: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the small model in fp32 and in 4 bits."""
    folders = {word: tmp_path_factory.mktemp(word) for word in ("fp32", "int4")}
    for word, folder in folders.items():
        runtime.prepare(job_of(decode, *(["int4"] if word == "int4" else [])), folder)
    return folders


@pytest.mark.parametrize("texts", [1, 2])
@pytest.mark.parametrize(("phase", "tokens"), [("decode", 20), ("decode", 0), ("prefill", 20)])
def test_what_is_claimed_holds(decode: ModelSpec, built: dict[str, Path], tmp_path: Path, phase: str, tokens: int, texts: int) -> None:
    model = msgspec.structs.replace(decode, phase=phase, sequence_length=tokens, batch_size=texts)
    proved(runtime, model, built["fp32"], tmp_path, (*OF_THE_CACHE, *IN_FP32, prove.batch_in_force()), FP32_DB)


def test_a_file_in_fp32_in_place_of_4_bits_is_refused(decode: ModelSpec, drawn: Path, built: dict[str, Path], tmp_path: Path) -> None:
    job = job_of(decode, "int4", inputs=drawn)
    swapped = shutil.copytree(built["int4"], tmp_path / "swapped")
    for file in swapped.glob("model.onnx*"):
        file.unlink()
    for file in built["fp32"].glob("model.onnx*"):
        shutil.copy(file, swapped)

    assert [] == refused((*OF_THE_CACHE, *IN_4_BITS), job, observed(runtime.load(job, built["int4"])))
    [told] = refused(IN_4_BITS, job, observed(runtime.load(job, swapped)))
    assert told.startswith("0 MatMulNBits for ")


class Recomputing(TakesAnew, GenaiSession):
    def advance(self) -> np.ndarray:
        self.step(self._next)
        self._taken += 1
        return self._choose_next()


def test_a_text_that_is_taken_anew_is_refused(decode: ModelSpec, drawn: Path, built: dict[str, Path]) -> None:
    """Its tokens are right, and its cache grows."""
    job = job_of(decode, inputs=drawn)
    right = runtime.load(job, built["fp32"])
    seen = observed(Recomputing(job, right._built, right._model))

    assert [] == refused((generated.tokens_follow(),), job, seen)
    of_the_cache, in_use = refused(OF_THE_CACHE, job, seen)
    assert of_the_cache.startswith("20 -> 28 positions by 8 tokens; layers multiply 2")
    assert "the logits change by 0 of their size" in in_use


def test_a_last_layer_that_is_the_table_of_embeddings_too(decode: ModelSpec, tmp_path: Path) -> None:
    """In 4 bits both read the same weights."""
    model = of_config(tmp_path, decode, CONFIG | {"tie_word_embeddings": True})
    greedy.write(job_of(model), 2, tmp_path)
    for words, claims in (((), IN_FP32), (("int4",), IN_4_BITS)):
        job = job_of(model, *words, inputs=tmp_path)
        folder = tmp_path / "-".join(["built", *words])
        folder.mkdir()
        runtime.prepare(job, folder)
        assert [] == refused((*OF_THE_CACHE, *claims), job, observed(runtime.load(job, folder)))

    kernels, same = (scores_of(runtime.load(each, folder), job) for each in (job, dequantized(job)))
    assert compare(kernels, same).keeps(BYTES_DB)


def test_nobody_is_told_of_what_runs(built: dict[str, Path], tmp_path: Path) -> None:
    """GenAI has telemetry of its own; what switches that of ONNX Runtime off silences both."""
    program = f"import fixtures.generation.onnxruntime_genai_generation, onnxruntime_genai; onnxruntime_genai.Model({str(built['fp32'])!r})"

    assert not begins_to_tell(tmp_path, program)


def test_an_end_of_text_ends_no_turn(decode: ModelSpec, built: dict[str, Path]) -> None:
    for folder in built.values():
        assert [] == json.loads((folder / runtime.SETTINGS_FILE).read_text())["model"]["eos_token_id"]


def test_a_model_that_the_builder_does_not_know_is_told(decode: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"knows no GPT2LMHeadModel, which .* is: measure onnxruntime_generate"):
        runtime.prepare(job_of(of_config(tmp_path, decode, GPT2)), tmp_path)


def test_a_build_serves_points_of_usual_lengths(decode: ModelSpec) -> None:
    def of(depth: int) -> int:
        return positions(msgspec.structs.replace(decode, sequence_length=depth))

    assert [LEAST_POSITIONS, LEAST_POSITIONS, 8192] == [of(0), of(2048), of(5000)]
