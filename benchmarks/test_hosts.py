"""The pinned workers of several hosts at once, one torchrun over all of them (docs/hosts.md).

On demand: on every host `torchrun --nnodes 2 --rdzv-backend c10d --rdzv-endpoint FIRST_HOST:29500 -m benchmarks.hosts`.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.hosts.measure_hosts import MeasureHosts
from fixtures.protocol import ModelSpec


@pytest.mark.on_demand
@pytest.mark.family("hosts")
def test_hosts(benchmark: BenchmarkFixture, measure_hosts: MeasureHosts, model: ModelSpec, step: str) -> None:
    """Measure one step on all hosts at once, in turns with the first host alone."""
    measure_hosts(benchmark, model, step)
