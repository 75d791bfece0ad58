"""INT8 by PT2E: weights and activations in 8 bits, run by Inductor's packed oneDNN kernels.

It helps where the CPU has 8-bit dot products (VNNI, i8mm), and costs accuracy, which is measured.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.family("int8")
def test_int8(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
