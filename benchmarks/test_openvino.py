"""OpenVINO: in fp32, in its own choice of precision, quantized by NNCF, and tuned for throughput.

It helps on x86 and Arm CPUs alike; its default precision is 16 bits, never fp32, so each precision is a step.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.family("openvino")
def test_openvino(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
