"""The quick form of text generation, and what its points have in common."""

import msgspec
import pytest

from fixtures.generation import llama_cpp_generation, onnxruntime_genai_generation, onnxruntime_generation, openvino_generation
from fixtures.protocol import Job, ModelSpec
from fixtures.steps.grid import GENERATION as USUAL
from fixtures.steps.grid import QUICK_GENERATION, parse_generation
from fixtures.steps.optimizations import GENERATION, catalogue
from fixtures.steps.recipe import quick_steps, resolve
from tests.conftest import MakeRig
from tests.machines import X86


def test_quick_steps_of_generation_are_for_those_who_name_it() -> None:
    steps = catalogue(1)
    unasked, asked = quick_steps(X86, steps), quick_steps(X86, steps, frozenset({GENERATION}))
    own = [name for name in asked if name not in unasked]

    assert not any(steps[name].family == GENERATION for name in unasked)
    assert ["generate", "generate_bf16", "onnxruntime_generate_int4", "openvino_generate_int4"] == own
    assert {None, "generate"} == {resolve(name, steps, X86, compared=frozenset(asked)).over for name in own}


def test_quick_points_are_shorter() -> None:
    assert QUICK_GENERATION == parse_generation([], QUICK_GENERATION)
    assert max(tokens for _, tokens, _ in QUICK_GENERATION) < max(tokens for _, tokens, _ in USUAL)
    assert (("decode", 512, 1),) == parse_generation(["decode-512x1"], QUICK_GENERATION)


@pytest.mark.nightly
def test_one_export_serves_all_points(make_rig: MakeRig, decode: ModelSpec, prefill: ModelSpec) -> None:
    rig = make_rig()
    recipe = resolve("onnxruntime_generate", catalogue(1), rig.machine)
    points = [decode, msgspec.structs.replace(decode, sequence_length=0), msgspec.structs.replace(prefill, batch_size=1)]
    found = [rig.prepare(recipe, point)[1] for point in points]

    assert None not in found
    assert 1 == len({artifact.folder for artifact in found if artifact is not None})


def test_exports_depend_on_no_length() -> None:
    def artifacts(length: int) -> list[dict[str, object]]:
        model = ModelSpec(name="transformers:llama-150m", sequence_length=length, batch_size=1, phase="decode", new_tokens=16)
        job = Job(model=model, runtime="x", precision="fp32", batch_size=1, threads=2)
        exported = (onnxruntime_generation, onnxruntime_genai_generation, openvino_generation, llama_cpp_generation)
        return [module.artifact(job) for module in exported]

    assert artifacts(0) == artifacts(512)
    assert 4 * [True] == [each["takes_any_length"] for each in artifacts(0)]
