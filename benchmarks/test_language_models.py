"""Language models through ONNX Runtime, over sequence lengths and batch sizes, against eager PyTorch and compile_freezing.

It runs where it is named: `pytest benchmarks/test_language_models.py`, or `--grid 128x8` (tokens x texts), or `--grid whole`. BERT,
RoBERTa and GPT-2 unless `--model` says otherwise. `python -m reports grid --plot FILE` draws it.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.grid
def test_language_models(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step at one point of the grid, in turns with the step that it builds on."""
    measure(benchmark, model, step)
