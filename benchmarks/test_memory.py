"""Memory: layout, precision, allocator, page size and caches, one on top of the other.

These steps change no line of the model. They help most where kernels wait for memory, and cost little to deploy.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.family("memory")
def test_memory(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
