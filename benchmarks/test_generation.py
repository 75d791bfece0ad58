"""Text generation with a key-value cache: prompts taken at once (prefill), then token after token (decode), by length and depth.

It runs where it is named: `pytest benchmarks/test_generation.py`, or `--generation decode-512x1` (tokens in the cache x texts), or
`--generation whole`. A Llama-like model of 150 M random weights unless `--model` says otherwise (docs/generation.md).
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.generation
def test_generation(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step at one point of the grid, in turns with the step that it builds on; a sample is a token."""
    measure(benchmark, model, step)
