"""One pinned worker for each core, started by torchrun, with one OpenMP thread each.

It trades latency for throughput: no thread waits for another, but each image is computed by one core.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.family("workers")
def test_workers(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
