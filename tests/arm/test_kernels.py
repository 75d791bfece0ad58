"""Which kernels Arm's libraries choose, as the proofs of the steps have seen them."""

import pytest

from fixtures.proofs import KernelUse, StepProof
from tests.arm.conftest import Seen

BF16_FAMILIES = ("acl", "brgconv", "brgemm", "kleidiai")


def heavy(step: StepProof, precision: str) -> list[KernelUse]:
    return [use for use in step.kernels if use.precision == precision]


def is_reference(use: KernelUse) -> bool:
    return "ref" in use.implementation.replace("_", ":").split(":")


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


def test_compiled_and_frozen_bf16_needs_no_reference_kernel_unnoticed(either: Seen) -> None:
    """pytorch#180447: where reference kernels run, the step says so and with what share of the time."""
    step = either.proved("compile_freezing")
    slow = [use for use in step.kernels if is_reference(use)]

    told = [finding for finding in step.findings if "runs the reference kernel" in finding]
    assert len(told) >= len({use.implementation for use in slow})


def test_int8_runs_int8_kernels_and_tells_of_reference_ones(either: Seen) -> None:
    """The per-channel config is packed; a reference GEMM among its kernels is a finding with its share of the time."""
    step = either.proved("pt2e_int8")
    slow = {use.implementation for use in heavy(step, "int8") if is_reference(use)}

    assert heavy(step, "int8")
    for implementation in slow:
        assert any(implementation in finding and "% of heavy kernel time" in finding for finding in step.findings)


@pytest.mark.parametrize(("name", "precision"), [("openvino", "f16"), ("openvino_fp32", "f32")])
def test_openvino_computes_in_f16_unless_told(either: Seen, name: str, precision: str) -> None:
    """Its default on Arm is half precision, never fp32."""
    step = either.proved(name)

    assert step.settings["INFERENCE_PRECISION_HINT"] == precision
    assert max(step.precision_share, key=step.precision_share.__getitem__) == precision


def test_workers_have_cores_of_their_own(either: Seen) -> None:
    """torchrun starts one worker for each core, and each keeps to its own."""
    step = either.proved("workers_pinned")

    assert len(step.cpus) > 1
    assert all(len(cpus) == 1 for cpus in step.cpus)
    assert len({cpus[0] for cpus in step.cpus}) == len(step.cpus)
