"""Which kernels Arm's libraries choose, as the proofs of the steps have seen them."""

import pytest

from fixtures.bench.proofs import KernelUse, Proofs, StepProof
from fixtures.protocol.kernels import Kernel
from tests.arm.conftest import Seen

LAYERS_OF_LLAMA = 15  # with weights: seven in each of its two blocks, and the head
BF16_FAMILIES = ("acl", "brgconv", "brgemm", "kleidiai")


def heavy(step: StepProof, precision: str) -> list[KernelUse]:
    return [use for use in step.kernels if use.precision == precision]


def is_reference(use: KernelUse) -> bool:
    return Kernel(operation=use.operation, implementation=use.implementation, precision=use.precision, time_s=0.0).is_reference


def test_baseline_runs_arm_kernels(either: Seen) -> None:
    """oneDNN's Arm build, not its portable reference code."""
    step = either.proved("baseline")

    assert step.kernels
    assert not [use for use in step.kernels if is_reference(use)]


def test_autocast_picks_arms_own_bf16_kernels(either: Seen) -> None:
    """Compute Library, KleidiAI or oneDNN's SVE kernels."""
    uses = heavy(either.proved("bf16_autocast"), "bf16")

    assert uses
    assert [use.implementation for use in uses if not any(family in use.implementation for family in BF16_FAMILIES)] == []


def reference_findings(step: StepProof) -> list[str]:
    return [finding for finding in step.findings if "runs the reference kernel" in finding]


def test_a_frozen_resnet_has_its_head_alone_in_a_reference_kernel(resnet: Seen, proofs: Proofs) -> None:
    """pytorch#180447: products of bf16. The head is under 5 % of the FLOPs, which is a finding."""
    step = resnet.proved("compile_freezing")
    slow = [(use.operation, use.implementation, use.count) for use in step.kernels if is_reference(use)]

    assert slow == ([("matmul", "ref:any", 1)] if "bf16" in proofs.fingerprint["features"] else [])
    assert len(slow) == len(reference_findings(step))


def test_int8_by_reference_kernels_is_a_patch_embedding_at_most(either: Seen) -> None:
    """Where they run more the step is refused (test_outcomes.py), elsewhere a finding names them with their share of the time."""
    step = either.step("pt2e_int8")
    if step.outcome == "failed":
        assert "reference kernels (" in (step.reason or "")
        return
    slow = [use for use in heavy(step, "int8") if is_reference(use)]

    assert heavy(step, "int8")
    assert sum(use.count for use in slow) <= 1
    for use in slow:
        assert any(use.implementation in finding and "% of heavy kernel time" in finding for finding in reference_findings(step))


@pytest.mark.parametrize(("name", "precision"), [("openvino", "f16"), ("openvino_fp32", "f32")])
def test_openvino_computes_in_f16_unless_told(either: Seen, name: str, precision: str) -> None:
    """Its default on Arm is half precision, never fp32."""
    step = either.step(name)
    if step.outcome == "failed":
        assert f"{precision} 100.0%" in (step.reason or "")
        return
    step = either.proved(name)

    assert step.settings["INFERENCE_PRECISION_HINT"] == precision
    assert max(step.precision_share, key=step.precision_share.__getitem__) == precision


def test_openvino_gives_three_channels_to_a_reference_kernel_with_sve(vit: Seen, proofs: Proofs) -> None:
    """The patch embedding, 2 % of the FLOPs: a finding."""
    slow = [use for use in vit.proved("openvino").kernels if is_reference(use)]

    assert [(use.operation, use.count) for use in slow] == ([("convolution", 1)] if "sve" in proofs.fingerprint["features"] else [])


def test_4_bit_weights_of_torch_are_packed_for_kleidiai(llama: Seen) -> None:
    """Half a byte each. PyTorch's own reference loop of the same name takes two (ATen/native/cpu/int4mm_kernel.cpp)."""
    step = llama.proved("generate_int4_kleidiai")

    assert [("aten::_dyn_quant_matmul_4bit", LAYERS_OF_LLAMA)] == [(use.implementation, use.count) for use in heavy(step, "int4")]
    assert "the layers' weights take 0.5 bytes each" in {item.claim for item in step.evidence}


def test_workers_have_cores_of_their_own(either: Seen) -> None:
    """torchrun starts one worker for each core, and each keeps to its own."""
    step = either.proved("workers_pinned")

    assert len(step.cpus) > 1
    assert all(len(cpus) == 1 for cpus in step.cpus)
    assert len({cpus[0] for cpus in step.cpus}) == len(step.cpus)
