"""Training by PyTorch/XLA, on Inferentia or Trainium where there is one, else on the CPU: `tox -e xla` (docs/training.md).

What helps most is to hand the device more work at a time, in bf16; recorded are training samples per second.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.on_demand
@pytest.mark.family("xla_training")
def test_xla_training(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
