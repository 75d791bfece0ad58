"""Texts whose lengths vary: what padding costs, and what buckets, sorting and dynamic shapes win back.

It runs where it is named: `pytest benchmarks/test_variable_lengths.py`, or `--lengths 16:0.5,64:0.3,256:0.2` (tokens and shares), or
`--lengths FILE` (one length a line). BERT unless `--model` names other text models of transformers (docs/lengths.md).
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.measure import Measure
from fixtures.protocol import ModelSpec


@pytest.mark.lengths
def test_variable_lengths(benchmark: BenchmarkFixture, measure: Measure, model: ModelSpec, step: str) -> None:
    """Measure one step over all texts, in turns with the step that it builds on; a sample is a text."""
    measure(benchmark, model, step)
