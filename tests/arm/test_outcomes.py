"""Every step ends as it must on this CPU: proved, or skipped for a reason that is known."""

from fixtures.bench.proofs import Proofs, StepProof
from fixtures.machine import this_machine
from fixtures.machine.allocators import torch_allocator
from fixtures.steps import requirements as need
from fixtures.steps.optimizations import ORT_FAST_MATH, ORT_FP16
from tests.arm.conftest import Seen

NEEDS_BF16 = {"bf16_autocast", "fast_math", "onnxruntime_fast_math"}
ALREADY_THE_DEFAULT = {"primitive_cache"}
REPLACES_MALLOC = {"tcmalloc", "huge_pages", "jemalloc"}
NOT_UNDER_EMULATION = {"huge_pages", "mimalloc_huge_pages", "openmp_runtime"}
# Steps on demand, which a run has only where it names them: torch has no fp16 kernels on Arm, and f16 is OpenVINO's default there.
NOT_ON_ARM = {"torch_fp16", "openvino_fp16", "generate_int4"}
NOT_AMONG_THE_WHEELS = {"executorch", "executorch_int8", "onnxruntime_genai_generate", "onnxruntime_genai_generate_int4"}
OTHERS_THAT_MAY_CHANGE_NOTHING = {"compile_max_autotune", "flush_denormals", "small_products", "onnxruntime_no_spinning"}


def test_steps_that_are_skipped_are_those_that_cannot_apply(proofs: Proofs) -> None:
    """A step that is skipped for any other reason was not tried."""
    has_bf16 = "bf16" in proofs.fingerprint["features"]
    emulated = proofs.fingerprint["emulated"]
    known = ALREADY_THE_DEFAULT | NOT_ON_ARM | (NOT_UNDER_EMULATION if emulated else set())
    known |= NOT_AMONG_THE_WHEELS if emulated else set()
    known |= set() if has_bf16 else NEEDS_BF16 | {"bf16_weights", "generate_bf16", "generate_compile_bf16"}
    known |= set() if need.onnxruntime_knows(*ORT_FP16).unmet(this_machine()) is None else {"onnxruntime_fp16"}
    known |= {"mimalloc_huge_pages"} if torch_allocator() == "malloc" else REPLACES_MALLOC
    skipped = {(step.model, step.step) for step in proofs.steps if step.outcome == "skipped" and not _changes_nothing(step)}

    assert {(step.model, step.step) for step in proofs.steps if step.step in known} == skipped


def test_a_layout_changes_nothing_of_a_vit(vit: Seen) -> None:
    """Its patch embedding is its only convolution."""
    step = vit.step("channels_last")

    assert ("skipped", True) == (step.outcome, "nothing changed: convolutions are 1." in (step.reason or ""))


def _changes_nothing(step: StepProof) -> bool:
    """A layout on a ViT; autotuning that keeps what is there, as it may: it chooses by times, which mean nothing under emulation.

    And steps on demand for models that have not what they change.
    """
    other = step.step in OTHERS_THAT_MAY_CHANGE_NOTHING and (step.reason or "").startswith("nothing changed")
    return other or (step.step == "channels_last" and "vit" in step.model)


def test_without_bf16_the_reason_is_bf16(either: Seen, proofs: Proofs) -> None:
    """Graviton2 has no bf16: autocast and fast math are skipped, and say so."""
    for name in sorted(NEEDS_BF16):
        step = either.step(name)
        if "bf16" in proofs.fingerprint["features"]:
            assert step.outcome != "skipped"
        else:
            assert (step.outcome, "has no bf16" in (step.reason or "")) == ("skipped", True)


def test_with_an_allocator_of_torchs_own_the_reason_is_that(either: Seen) -> None:
    """The aarch64 wheels bring mimalloc from 2.10 on: what replaces malloc reaches no tensor."""
    own = torch_allocator()
    for name in sorted(REPLACES_MALLOC):
        step = either.step(name)
        told = step.outcome == "skipped" and f"this torch allocates tensors by {own}" in (step.reason or "")
        assert told == (own != "malloc"), step.reason


# What runs without doing what the step claims, by model and step: how the suite refuses it, and the feature of the CPUs where it happens
# (docs/graviton.md). Without freezing, which is refused, there is nothing to tune. Anywhere else, and for any other reason, a failed
# step is a fault.
REFUSED = {
    ("resnet", "pt2e_int8"): ("reference kernels (", None),
    ("vit", "pt2e_int8"): ("reference kernels (", "bf16"),
    ("resnet", "openvino"): ("reference kernels (ref_any_f16) run", "sve"),  # the stem
    ("vit", "compile_freezing"): ("reference kernels (ref:any) run", "bf16"),
    ("vit", "compile_max_autotune"): ("0 matrix products autotuned", "bf16"),
    ("vit", "aot_inductor"): ("reference kernels (ref:any) run", "bf16"),
    ("resnet", "onnxruntime_fast_math"): ("outputs differ from those of the same artifact without the setting: SQNR", "bf16"),
    ("resnet", "openvino_int8"): ("int8 kernels for", None),
}


def test_what_runs_without_effect_is_refused(proofs: Proofs) -> None:
    """And nothing else is: each refusal is one that is known, with its reason."""
    failed = {(step.model, step.step): step.reason or "" for step in proofs.steps if step.outcome == "failed"}
    expected = {
        (step.model, step.step): reason
        for step in proofs.steps
        for (kind, name), (reason, feature) in REFUSED.items()
        if kind in step.model and name == step.step and (feature is None or feature in proofs.fingerprint["features"])
    }

    assert set(expected) == set(failed), failed
    for key, reason in failed.items():
        assert "was not in force" in reason
        assert expected[key] in reason


def test_fast_math_reaches_the_products_of_a_vit(vit: Seen) -> None:
    """The option is in force, and the outputs show it: op names in the profile would not."""
    step = vit.proved("onnxruntime_fast_math")

    assert step.settings[ORT_FAST_MATH] == "1"
    assert step.relative_error is not None
    assert step.relative_error > 1e-5
