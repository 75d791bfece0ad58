"""torch.compile: one graph, fused by Inductor, with weights frozen and packed, at run time or ahead of time.

It helps models of many small operators most, and costs a build at every cold start unless compiled ahead of time.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.family("compile")
def test_compile(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step of the family on one model, in turns with the step that it builds on."""
    measure(benchmark, model, step)
