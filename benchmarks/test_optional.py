"""Steps that pay on some models or machines only: on demand, one by one.

`pytest benchmarks/ --step flush_denormals` measures one of them, `pytest benchmarks/test_optional.py` all. The table of docs/steps.md says
what each is for. A finding names the step where a model is seen to need it.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.on_demand
@pytest.mark.family("optional")
def test_optional(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
