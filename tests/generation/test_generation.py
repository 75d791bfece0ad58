"""Generation as it is proved: what holds of a small model, and steps that are broken on purpose, each refused by its own claim."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from fixtures.bench.turns import PairedMeasurement, Plan
from fixtures.generation import generation_claims as generated
from fixtures.generation import greedy
from fixtures.generation.prompt_lookup import LookupSession, draft
from fixtures.generation.torch_generation import CompiledGenerationSession, TorchGenerationSession, causal_model
from fixtures.generation.torch_generation import greedy as greedy_tokens
from fixtures.generation.torch_weights import quantized
from fixtures.inputs import samples
from fixtures.machine import this_machine
from fixtures.models import ModelError, plain
from fixtures.protocol import GenerationSeen, Job, ModelSpec, Observations
from fixtures.protocol.kernels import Kernel
from fixtures.runtimes import UnsupportedModelError
from fixtures.runtimes.inductor import CompileRecord
from fixtures.steps.evidence import Claim, Proof
from fixtures.steps.optimizations import catalogue, families
from fixtures.steps.recipe import resolve
from tests.conftest import MakeRig, skip_unless_met
from tests.generation.conftest import CONFIG, GPT2, job_of, of_config
from tests.generation.looked_at import AGREES, observed
from tests.machines import X86
from tests.steps.test_broken_steps import changed, refused

RIGHT = GenerationSeen(
    cached_before=(20, 20),
    cached_after=(28, 28),
    taken=8,
    kept=True,
    moved=False,
    change=0.3,
    greedy=[[1, 2, 3, 4]],
    scored=[[1, 2, 3, 4]],
    expected=[[1, 2, 3, 4]],
    weight_bytes=400,
    weight_elements=100,
    cache_bytes=1000,
    cache_positions=28,
)


def judged(claim: Claim, model: ModelSpec, seen: Observations) -> tuple[Any, str]:
    """Whether the claim holds for what was seen of one worker, and what was observed."""
    return claim.check(Proof(job=job_of(model), ranks=[seen], agreement=AGREES))


Observe = Callable[..., Observations]


@pytest.fixture
def observe(decode: ModelSpec, drawn: Path) -> Observe:
    """A function that lets a kind of session observe itself on the small model."""

    def run(kind: Callable[[Job, Any], TorchGenerationSession], *transforms: str) -> Observations:
        job = job_of(decode, *transforms, inputs=drawn)
        return observed(kind(job, causal_model(plain(decode), decode.name)))

    return run


def test_the_reference_scores_its_own_tokens_without_a_cache(decode: ModelSpec, drawn: Path) -> None:
    found = samples.load_named(drawn / samples.SAMPLES)
    logits = samples.load_named(drawn / "outputs.npz")["logits"]

    assert (2, 21) == found[greedy.PROMPTS].shape
    assert (2, 8, 512) == logits.shape
    assert np.array_equal(found[greedy.CONTINUATION], logits.argmax(axis=-1))


def test_a_reference_whose_cache_is_wrong_is_refused() -> None:
    logits = np.zeros((1, 2, 4))
    logits[0, :, 1] = 1.0

    greedy.require_same_tokens("m", logits, np.array([[1, 1]]))
    with pytest.raises(ModelError, match="with its cache fp32 eager chooses another token than without"):
        greedy.require_same_tokens("m", logits, np.array([[1, 3]]))


@pytest.mark.parametrize("transforms", [(), ("static_cache",)], ids=["dynamic", "static"])
def test_a_cache_grows_by_what_is_taken_and_is_read(decode: ModelSpec, observe: Observe, transforms: tuple[str, ...]) -> None:
    seen = observe(TorchGenerationSession, *transforms)
    found = seen.generation

    assert found is not None
    assert ((20, 20), (28, 28), 8) == (found.cached_before, found.cached_after, found.taken)
    assert found.expected == found.greedy == found.scored
    claims = [generated.cache_grows(), generated.cache_is_read(), generated.tokens_follow(), generated.weights_take(4)]
    assert [] == [judged(each, decode, seen) for each in claims if judged(each, decode, seen)[0] is not True]
    assert bool(transforms) == judged(generated.cache_stays(), decode, seen)[0]


class Recomputing(TorchGenerationSession):
    """Grows its cache as it should, and computes each text anew from its first token all the same."""

    def restore_cache(self, kept: Any) -> None:
        super().restore_cache(kept)
        self._texts: Any = None

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        before = torch.from_numpy(samples.batch(self._job)[0])[:, :-1]
        self._texts = torch.cat([before if self._texts is None else self._texts, tokens], dim=1)
        super().step(tokens)
        with torch.no_grad():
            logits: torch.Tensor = self._causal(input_ids=self._texts, use_cache=False).logits[:, -1]
        return logits


def test_a_cache_that_is_recomputed_is_refused(decode: ModelSpec, observe: Observe) -> None:
    """Its logits and tokens are right, and its cache grows."""
    seen = observe(Recomputing)
    holds, observed = judged(generated.cache_is_read(), decode, seen)

    assert judged(generated.tokens_follow(), decode, seen)[0] is True
    assert holds is False
    assert "the logits change by 0 of their size" in observed


class Forgetting(TorchGenerationSession):
    """Writes each new token over the last one that its cache holds."""

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        for layer in self._layers:
            layer.keys, layer.values = layer.keys[:, :, :-1], layer.values[:, :, :-1]
        logits: torch.Tensor = super().step(tokens)
        return logits


def test_a_cache_that_does_not_grow_is_refused(decode: ModelSpec, observe: Observe) -> None:
    holds, observed = judged(generated.cache_grows(), decode, observe(Forgetting))

    assert holds is False
    assert "20 -> 20 positions by 8 tokens" in observed


def test_int8_that_is_fp32_is_refused(decode: ModelSpec, observe: Observe) -> None:
    seen = observe(TorchGenerationSession)

    assert (False, "1.7 MiB, 4.00 bytes a weight") == judged(generated.weights_take(1), decode, seen)
    assert judged(generated.products_read("int8"), decode, seen)[0] is False


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_a_graph_for_each_token_is_refused(decode: ModelSpec, observe: Observe, tmp_path: Path) -> None:
    """A cache that grows has another shape for each token."""

    def compiled(job: Job, model: Any) -> TorchGenerationSession:
        CompileRecord(counters={}, templates=[]).write(tmp_path)
        session = CompiledGenerationSession(job, model, tmp_path, lambda: CompileRecord.read(tmp_path))
        session._compiled = torch.compile(model, dynamic=False, backend="eager")
        return session

    holds, observed = judged(generated.nothing_compiled(), decode, observe(compiled))

    assert holds is False
    assert "graphs compiled during a turn" in observed


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        (generated.cache_grows(), {"cached_after": (28, 29)}),
        (generated.cache_grows(), {"cached_before": (0, 0)}),
        (generated.cache_grows(), {"kept": False}),
        (generated.cache_is_read(), {"change": 1e-6}),
        (generated.cache_stays(), {"moved": True}),
        (generated.tokens_follow(), {"greedy": [[1, 2, 9, 4]]}),
        (generated.weights_take(4), {"weight_bytes": 200}),
        (generated.weights_take(4), {"weight_bytes": 500}),
        (generated.nothing_compiled(), {"compiled": 1}),
    ],
)
def test_claim_holds_where_it_was_seen_and_nowhere_else(decode: ModelSpec, claim: Claim, changes: dict[str, Any]) -> None:
    right = Observations(generation=RIGHT)
    wrong = Observations(generation=msgspec.structs.replace(RIGHT, **changes))

    assert [True, False, False] == [judged(claim, decode, seen)[0] for seen in (right, wrong, Observations())]


def test_texts_may_part_where_the_compared_logits_do() -> None:
    """Two tokens of nearly the same logit: the loop goes on with its own, and nothing after that is compared."""
    seen = Observations(generation=msgspec.structs.replace(RIGHT, greedy=[[1, 2, 9, 7]], scored=[[1, 2, 9, 4]]))

    assert (True, "2 of 4 tokens are fp32's") == judged(generated.tokens_follow(), ModelSpec(name="m"), seen)


def test_steps_of_generation_take_turns_with_the_step_below() -> None:
    steps = {name: step for name, step in catalogue(1).items() if step.family == "generation"}

    assert {"generate_compile": "generate_static_cache", "generate_static_cache": "generate", "generate": None} == {
        name: resolve(name, steps, X86).over for name in ("generate_compile", "generate_static_cache", "generate")
    }


@pytest.mark.nightly
def test_a_turn_of_decode_is_as_many_tokens_from_a_restored_cache(make_rig: MakeRig, decode: ModelSpec) -> None:
    """Both sides alike, whatever each takes for a token."""
    rig = make_rig()
    recipes = [resolve(name, catalogue(1), rig.machine) for name in ("generate_static_cache", "generate")]
    measurement = PairedMeasurement(rig, recipes[0], recipes[1], decode, Plan(pairs=1, budget_s=0.1, warmup_limit_s=0.1))
    measurement.measure()

    assert measurement.over is not None
    for side in (measurement.own, measurement.over):
        assert 1 == side.samples_per_round
        assert {8} == {len(taken.latencies_s) for taken in side.rounds}


@pytest.mark.nightly
def test_a_prompt_is_taken_whole(make_rig: MakeRig, prefill: ModelSpec) -> None:
    rig = make_rig()
    [serving] = rig.serve(resolve("generate", catalogue(2), rig.machine), model=prefill)
    serving.workers.close()

    assert 40 == serving.samples_per_iteration
    assert "0 -> 23 positions by 23 tokens; layers multiply 40 rows in an iteration, of 40" in {item.observed for item in serving.evidence}
    counted = rig.work(serving.job).workload
    assert counted is not None
    # All layers for every token, 128 x 512 for the last one of the prompt.
    layers = 2 * (128 * 128 * 2 + 128 * 64 * 2 + 3 * 128 * 352)
    assert 2 * (layers + 128 * 512 / 20) < counted.flops_per_sample < 1.2 * 2 * (layers + 128 * 512 / 20)


@pytest.mark.nightly
@pytest.mark.parametrize("length", [20, 0])
@pytest.mark.parametrize("name", families()["generation"])
def test_every_step_is_proved_on_a_small_model(make_rig: MakeRig, decode: ModelSpec, name: str, length: int) -> None:
    skip_unless_met(name)
    rig = make_rig()
    [serving] = rig.serve(resolve(name, catalogue(1), rig.machine), model=msgspec.structs.replace(decode, sequence_length=length))
    serving.workers.close()


def product(implementation: str, precision: str, count: int = 15) -> Kernel:
    return Kernel(operation="matmul", implementation=implementation, precision=precision, time_s=1e-3, count=count, has_weights=True)


def test_weights_are_read_by_the_products_themselves(decode: ModelSpec) -> None:
    claim = generated.products_read("int4", "MatMulNBits")

    def seen(*kernels: Kernel) -> Observations:
        return Observations(kernels=list(kernels), quantizable=15)

    told = "15 MatMulNBits for 15 layers with weights (MatMulNBits int4)"
    assert (True, told) == judged(claim, decode, seen(product("MatMulNBits", "int4")))
    told = "0 MatMulNBits for 15 layers with weights (others: MatMul f32)"
    assert (False, told) == judged(claim, decode, seen(product("MatMul", "f32")))
    assert judged(claim, decode, seen(product("MatMulNBits", "int4", count=7)))[0] is False
    assert judged(generated.products_read("int8"), decode, seen(product("ref:any", "int8")))[0] is False
    assert judged(claim, decode, Observations())[0] is False


def test_a_moment_s_times_refuse_no_products_of_integers(decode: ModelSpec) -> None:
    """Products of a small model take microseconds: one of attention that was held up in the run that was looked at outweighs them all."""
    held_up = Kernel(operation="matmul", implementation="mkl:sgemm", precision="f32", time_s=0.05)
    seen = Observations(kernels=[product("gemm_api", "int8"), held_up], quantizable=15)

    assert judged(generated.products_read("int8"), decode, seen)[0] is True


Quantize = Callable[..., TorchGenerationSession]


@pytest.fixture
def quantize(decode: ModelSpec, drawn: Path) -> Quantize:
    """A function that serves the small model in eager mode, its weights quantized as the transforms say."""
    pytest.importorskip("torchao")

    def run(*transforms: str) -> TorchGenerationSession:
        job = job_of(decode, *transforms, inputs=drawn)
        model = causal_model(plain(decode), decode.name)
        return TorchGenerationSession(job, quantized(job, model.to(torch.bfloat16) if "bf16_weights" in transforms else model))

    return run


@pytest.mark.skipif(X86.architecture != this_machine().architecture, reason="PyTorch's kernel of 4 bits is x86's")
def test_int4_is_read_by_its_own_kernel(decode: ModelSpec, quantize: Quantize) -> None:
    seen = observed(quantize("bf16_weights", "int4_weights"))

    told = "15 _weight_int4pack_mm_for_cpu for 15 layers with weights (aten::_weight_int4pack_mm_for_cpu int4)"
    assert (True, told) == judged(generated.products_read("int4", "_weight_int4pack_mm_for_cpu"), decode, seen)
    assert (True, "0.3 MiB, 0.62 bytes a weight") == judged(generated.weights_take(0.5, scales=0.3), decode, seen)
    assert {1} == {kernel.rows for kernel in seen.kernels if kernel.precision == "int4"}


@pytest.mark.skipif(X86.architecture != this_machine().architecture, reason="PyTorch's kernel of 4 bits is x86's")
def test_int4_that_fell_back_to_floating_point_is_refused(decode: ModelSpec, quantize: Quantize) -> None:
    """The weights lie in 4 bits, and the layers multiply with what they were before."""
    session, floating = quantize("bf16_weights", "int4_weights"), causal_model(plain(decode), decode.name).to(torch.bfloat16)
    for layer, before in zip(session._causal.modules(), floating.modules(), strict=True):
        if isinstance(layer, torch.nn.Linear):
            layer.forward = before.forward  # type: ignore[method-assign]
    seen = observed(session)

    assert judged(generated.weights_take(0.5, scales=0.3), decode, seen)[0] is True
    holds, told = judged(generated.products_read("int4", "_weight_int4pack_mm_for_cpu"), decode, seen)
    assert holds is False
    assert told.startswith("0 _weight_int4pack_mm_for_cpu for 15 layers with weights")


def test_int8_multiplies_integers(decode: ModelSpec, quantize: Quantize) -> None:
    seen = observed(quantize("int8_dynamic"))

    holds, told = judged(generated.products_read("int8"), decode, seen)
    assert holds is True
    assert told.startswith("15 int8 for 15 layers with weights (")
    assert judged(generated.weights_take(1), decode, seen)[0] is True


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_int8_weights_beside_fp32_activations_are_refused(make_rig: MakeRig, decode: ModelSpec, tmp_path: Path) -> None:
    """Inductor then folds them into fp32 constants, while the module's own tensors stay in 8 bits."""
    skip_unless_met("generate_int8_weights")
    rig = make_rig(root=changed(tmp_path, "generation/torch_generation.py", "model = model.to(torch.bfloat16)", "pass"))
    message = refused(rig, resolve("generate_int8_weights", catalogue(1), rig.machine), decode)

    assert "0 _weight_int8pack_mm for 15 layers with weights" in message


@pytest.mark.parametrize(
    ("config", "words", "share"),
    [
        (GPT2, ("int8_weights",), "4%"),
        # The rows of the last layer make no whole blocks, and in floating point would take more bytes than is claimed.
        (CONFIG | {"vocab_size": 500}, ("bf16_weights", "int4_weights"), "85%"),
    ],
    ids=["no linear layers", "not whole blocks"],
)
def test_a_model_that_is_quantized_in_part_is_refused(
    decode: ModelSpec, tmp_path: Path, config: dict[str, object], words: tuple[str, ...], share: str
) -> None:
    spec = of_config(tmp_path, decode, config)

    with pytest.raises(UnsupportedModelError, match=rf"holds {share} of the layers' weights of .* in sizes that its kernels take"):
        quantized(job_of(spec, *words), plain(spec))


def test_a_torchao_that_lacks_4_bits_is_told(decode: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchao")
    monkeypatch.setitem(sys.modules, "torchao.prototype.quantization.int4.inference_workflow", None)

    with pytest.raises(UnsupportedModelError, match=r"lacks what this step quantizes with .*: pip install 'torchao=="):
        quantized(job_of(decode, "bf16_weights", "int4_weights"), plain(decode))


def test_attention_that_copies_its_cache_is_refused(decode: ModelSpec) -> None:
    claim = generated.attention_holds_cache()
    fused = Kernel(operation="attention", implementation="avx512_bf16", precision="bf16", time_s=1e-3, count=2)
    apart = Kernel(operation="matmul", implementation="brgemm_avx512_f32", precision="f32", time_s=1e-3, count=4)

    assert judged(claim, decode, Observations(kernels=[fused, product("brgemm_avx512_bf16", "bf16")]))[0] is True
    assert judged(claim, decode, Observations(kernels=[fused, apart]))[0] is False
    assert judged(claim, decode, Observations(kernels=[product("brgemm_avx512_bf16", "bf16")]))[0] is False


def test_a_draft_is_what_followed_the_same_ending() -> None:
    assert [3, 1, 2] == draft([1, 2, 3, 1, 2], 10)
    assert [3] == draft([1, 2, 3, 1, 2], 1)
    assert [7, 5] == draft([5, 7, 5], 10)  # one token alone recurs
    assert [] == draft([1, 2, 3], 10)


@pytest.fixture
def repeating(decode: ModelSpec, tmp_path: Path) -> Job:
    """A text whose tokens recur, and what fp32 adds to it, as the reference would have drawn them."""
    job = job_of(decode, "prompt_lookup", inputs=tmp_path)
    prompt = np.array([[3, 1, 4, 1, 5] * 4 + [3]])
    _, continuation = greedy_tokens(job, causal_model(plain(decode), decode.name), prompt)
    rows = {greedy.PROMPTS: prompt, greedy.CONTINUATION: continuation}
    samples.save(tmp_path, rows, rows)
    return job


class Trusting(LookupSession):
    """Takes every draft as it is."""

    def _pass(self) -> list[int]:
        drafted = draft(self._text, self._job.model.new_tokens - self._taken - 1)
        return super()._pass()[:1] if not drafted else [*drafted, super()._pass()[-1]]


def test_drafts_change_no_token(decode: ModelSpec, repeating: Job) -> None:
    seen = observed(LookupSession(repeating, causal_model(plain(decode), decode.name)))
    found = seen.generation
    proof = Proof(job=repeating, ranks=[seen], agreement=AGREES)

    assert found is not None
    assert found.expected == found.greedy
    assert (8, found.accepted) == (found.taken, found.taken - found.passes)
    assert found.drafted > 0
    claims = [generated.cache_grows(), generated.cache_is_read(), generated.tokens_follow(), generated.drafts_are_verified()]
    assert [True] * 4 == [each.check(proof)[0] for each in claims]
    rows = {kernel.rows for kernel in seen.kernels if kernel.has_weights}
    assert rows <= set(range(2, 2 + generated.MOST_DRAFTED))
    assert rows or this_machine().architecture != X86.architecture  # on Arm no library tells of products that small


class OneByOne(LookupSession):
    """Verifies each drafted token by a pass of its own."""

    def _forward(self, function: Callable[..., Any], tokens: torch.Tensor, keep: int = 1) -> torch.Tensor:
        if keep == 1:
            return super()._forward(function, tokens)
        one = super()._forward
        return torch.cat([one(function, tokens[:, place : place + 1]) for place in range(keep)], dim=1)


def test_drafts_that_are_verified_one_by_one_are_refused(decode: ModelSpec, repeating: Job) -> None:
    """The tokens are right, and every one of them costs a pass."""
    seen = observed(OneByOne(repeating, causal_model(plain(decode), decode.name)))

    assert judged(generated.tokens_follow(), decode, seen)[0] is True
    assert judged(generated.drafts_are_verified(), decode, seen)[0] is False


def test_drafts_that_nobody_verifies_are_refused(decode: ModelSpec, repeating: Job) -> None:
    seen = observed(Trusting(repeating, causal_model(plain(decode), decode.name)))

    assert judged(generated.tokens_follow(), decode, seen)[0] is False


def test_drafts_are_of_one_text(decode: ModelSpec) -> None:
    with pytest.raises(UnsupportedModelError, match="drafts are looked up while one text is decoded"):
        LookupSession(job_of(msgspec.structs.replace(decode, batch_size=2), "prompt_lookup"), None)


def test_after_a_turn_s_tokens_the_cache_is_back_at_its_depth(decode: ModelSpec, drawn: Path) -> None:
    """Workers side by side decode until a moment, whatever the number of tokens."""
    job = job_of(decode, "static_cache", inputs=drawn)
    session = TorchGenerationSession(job, causal_model(plain(decode), decode.name))
    placed = session.place(samples.batch(job))
    tokens = [int(session.infer(placed)[0, 0]) for _ in range(2 * decode.new_tokens + 1)]

    assert tokens[: decode.new_tokens] == tokens[decode.new_tokens : 2 * decode.new_tokens]
    assert (21, 21) == session._filled()


@pytest.mark.nightly
def test_int4_that_is_fp32_is_refused(make_rig: MakeRig, decode: ModelSpec, tmp_path: Path) -> None:
    skip_unless_met("onnxruntime_generate_int4")
    rig = make_rig(root=changed(tmp_path, "generation/onnx_weights.py", "quantizer.process()", "pass"))
    message = refused(rig, resolve("onnxruntime_generate_int4", catalogue(1), rig.machine), decode)

    assert "0 MatMulNBits for 15 layers with weights" in message
    assert "4.00 bytes a weight" in message


def test_a_model_without_a_head_generates_nothing(decode: ModelSpec) -> None:
    model = plain(msgspec.structs.replace(decode, name=f"{decode.name}:ForSequenceClassification"))

    with pytest.raises(ModelError, match="generates no text: name a causal language model"):
        causal_model(model, "m")
