"""Batch size: several images in one call share the cost of dispatch and of reading the weights.

It helps throughput as long as activations stay in the caches, and costs latency. All later steps build on one of these sizes.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.family("batch_size")
def test_batch_size(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
