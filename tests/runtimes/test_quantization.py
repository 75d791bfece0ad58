"""What of an exported graph counts as quantized."""

import torch

from fixtures.runtimes.quantization import Quantized, count_quantized


def test_what_is_no_operator_of_pytorch_is_passed_over() -> None:
    """An exported graph calls Python's own functions too, on sizes for example."""
    graph = torch.fx.Graph()
    samples, weight = graph.placeholder("samples"), graph.placeholder("weight")
    graph.call_function(max, (1, 2))
    graph.call_function(torch.ops.aten.linear.default, (samples, weight))
    graph.call_function(torch.ops.aten.relu.default, (samples,))

    assert Quantized(layers=1, quantized=0, per_channel=0) == count_quantized(graph)
