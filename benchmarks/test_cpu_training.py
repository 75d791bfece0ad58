"""The training ladder on whatever device PyTorch itself knows (`torch.accelerator`), else on the CPU (docs/training.md).

On demand: `pytest benchmarks/test_cpu_training.py -m on_demand --model vit`; on Trainium with AWS's PyTorch it trains on the device.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.on_demand
@pytest.mark.family("cpu_training")
def test_cpu_training(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
