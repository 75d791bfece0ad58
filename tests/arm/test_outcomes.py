"""Every step ends as it must on this CPU: proved, or skipped for a reason that is known."""

from fixtures.allocators import torch_allocator
from fixtures.optimizations import ORT_FAST_MATH
from fixtures.proofs import Proofs
from tests.arm.conftest import Seen

NEEDS_BF16 = {"bf16_autocast", "fast_math", "onnxruntime_fast_math"}
ALREADY_THE_DEFAULT = {"primitive_cache"}
REPLACES_MALLOC = {"tcmalloc", "huge_pages", "jemalloc"}
NOT_UNDER_EMULATION = {"huge_pages", "mimalloc_huge_pages"}


def test_steps_that_are_skipped_are_those_that_cannot_apply(proofs: Proofs) -> None:
    """A step that is skipped for any other reason was not tried."""
    has_bf16 = "bf16" in proofs.fingerprint["features"]
    emulated = proofs.fingerprint["emulated"]
    known = ALREADY_THE_DEFAULT | (set() if has_bf16 else NEEDS_BF16) | (NOT_UNDER_EMULATION if emulated else set())
    known |= {"mimalloc_huge_pages"} if torch_allocator() == "malloc" else REPLACES_MALLOC
    run = {step.step for step in proofs.steps}

    assert known & run == {step.step for step in proofs.steps if step.outcome == "skipped"}


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


# What runs on a ResNet without doing what the step claims, and how the suite refuses it.
NOT_IN_FORCE_ON_CONVOLUTIONS = {
    "onnxruntime_fast_math": "outputs differ from fp32's",
    "openvino_int8": "int8 kernels for",
}


def test_no_step_failed_but_those_that_do_not_reach_convolutions(proofs: Proofs) -> None:
    """ONNX Runtime's fast math leaves a ResNet in fp32; OpenVINO quantizes few of its convolutions (docs/graviton.md)."""
    failed = {(step.model, step.step): step.reason or "" for step in proofs.steps if step.outcome == "failed"}
    known = {key for key in failed if key[1] in NOT_IN_FORCE_ON_CONVOLUTIONS and "resnet" in key[0]}

    assert set(failed) == known, failed
    assert all("was not in force" in reason and NOT_IN_FORCE_ON_CONVOLUTIONS[step] in reason for (_, step), reason in failed.items())


def test_fast_math_reaches_the_products_of_a_vit(vit: Seen) -> None:
    """The option is in force, and the outputs show it: op names in the profile would not."""
    step = vit.proved("onnxruntime_fast_math")

    assert step.settings[ORT_FAST_MATH] == "1"
    assert step.relative_error is not None
    assert step.relative_error > 1e-5
