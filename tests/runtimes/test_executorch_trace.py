"""What ExecuTorch's trace says of a kernel: names as executorch 1.5.1 writes them."""

import pytest

from fixtures.protocol.kernels import merge
from fixtures.runtimes.executorch import EXECUTE, is_kernel, kernel_of, kernels_of


@pytest.mark.parametrize(
    ("name", "operation", "implementation", "precision", "is_layer"),
    [
        ("Convolution (NHWC, F32) IGEMM #1", "convolution", "xnnpack:igemm", "f32", True),
        ("Fully Connected (NC, F32) GEMM #2", "matmul", "xnnpack:gemm", "f32", True),
        ("Convolution (NHWC, QC8) IGEMM #3", "convolution", "xnnpack:igemm", "int8", True),
        ("Fully Connected (NC, QS8, QC8W) GEMM #1", "matmul", "xnnpack:gemm", "int8", True),
        ("GELU (NC) #1", "gelu", "xnnpack:gelu", "f32", False),
        ("native_call_convolution.out", "convolution", "portable:ref", "f32", True),
        ("native_call_bmm.out", "matmul", "portable:ref", "f32", False),
        ("native_call_native_layer_norm.out", "native_layer_norm", "portable:ref", "f32", False),
    ],
)
def test_a_kernel_is_read_from_its_name(name: str, operation: str, implementation: str, precision: str, *, is_layer: bool) -> None:
    found = kernel_of(name, 1.0)

    assert is_kernel(name)
    assert (operation, implementation, precision, is_layer) == (found.operation, found.implementation, found.precision, found.has_weights)


@pytest.mark.parametrize("name", ["DELEGATE_CALL", "Method::execute", "Execute", "Program::load_method"])
def test_what_holds_kernels_is_none(name: str) -> None:
    assert not is_kernel(name)


def test_kernels_of_several_parts_of_a_program_count_each() -> None:
    """Two parts were lowered, and each numbers its kernels from 1: three int8 layers and two portable ones are five, not three."""
    layer, portable = "Convolution (NHWC, QC8) IGEMM #1", "native_call_convolution.out"
    inference = [(EXECUTE, 9.0), (layer, 1.0), ("Convolution (NHWC, QC8) IGEMM #2", 1.0), (portable, 2.0), (layer, 3.0), (portable, 2.0)]

    found = {each.implementation + each.precision: (each.count, each.time_s) for each in merge(kernels_of([inference, inference]))}
    assert {"xnnpack:igemmint8": (3, 5.0), "portable:reff32": (2, 4.0)} == found
