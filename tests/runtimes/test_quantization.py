"""What of an exported graph counts as quantized."""

import platform
from typing import Any

import pytest
import torch

from fixtures.runtimes.quantization import Quantized, count_quantized, quantize


def test_what_is_no_operator_of_pytorch_is_passed_over() -> None:
    """An exported graph calls Python's own functions too, on sizes for example."""
    graph = torch.fx.Graph()
    samples, weight = graph.placeholder("samples"), graph.placeholder("weight")
    graph.call_function(max, (1, 2))
    graph.call_function(torch.ops.aten.linear.default, (samples, weight))
    graph.call_function(torch.ops.aten.relu.default, (samples,))

    assert Quantized(layers=1, quantized=0, per_channel=0) == count_quantized(graph)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("is_dynamic", [False, True])
def test_ranges_are_observed_before_or_found_in_each_call(is_dynamic: bool) -> None:
    """A dynamic quantizer leaves convolutions as they are, and its outputs keep their precision far outside of what was observed."""
    pytest.importorskip("torchao", reason="PT2E quantizes -> pip install torchao")
    torch.manual_seed(0)
    model: Any = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 32), torch.nn.Linear(32, 8)).eval()
    images = torch.randn(4, 3, 8, 8)
    graph: Any = torch.export.export(model, (images,), strict=True).module()
    with torch.no_grad():
        converted: Any = quantize(graph, [(images,)], is_dynamic=is_dynamic)
        exported = torch.export.export(converted, (images,))
        expected, found = model(100 * images), converted(100 * images)
    error = float((found - expected).norm() / expected.norm())

    counted = Quantized(layers=3, quantized=2, per_channel=2, in_call=2) if is_dynamic else Quantized(layers=3, quantized=3, per_channel=3)
    assert counted == count_quantized(exported.graph), platform.machine()
    assert error < 0.05 if is_dynamic else error > 0.5
