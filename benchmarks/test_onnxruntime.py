"""ONNX Runtime: the exported graph in fp32, with bf16 fast math on Arm, and statically quantized.

It helps where PyTorch's dispatch or kernel choice is in the way, and needs no PyTorch to serve.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.family("onnxruntime")
def test_onnxruntime(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
