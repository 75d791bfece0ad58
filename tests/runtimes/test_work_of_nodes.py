"""The arithmetic of a runtime's nodes, by the shapes that it tells: layers that are no plain convolution or product."""

from typing import Any

import pytest

from fixtures.protocol import Job, ModelSpec, Observations
from fixtures.protocol.kernels import merge
from fixtures.runtimes import onnxruntime, openvino
from fixtures.steps.evidence import Proof, int8_kernels
from tests.steps.test_evidence import EXACT

STEPS, SAMPLES, WIDTH, HIDDEN = 50, 8, 40, 768
JOB = Job(model=ModelSpec(name="file:create"), runtime="onnxruntime", precision="int8", batch_size=SAMPLES, threads=1)


def event(operator: str, inputs: list[list[int]], output: list[int], kind: str = "float", took_us: int = 9) -> dict[str, Any]:
    """An event of ONNX Runtime's profiler; weights that it has packed are none of the inputs."""
    shapes = {"input_type_shape": [{kind: each} for each in inputs], "output_type_shape": [{kind: output}]}
    return {"name": f"{operator}_kernel_time", "dur": took_us, "args": {"op_name": operator, **shapes}}


def recurrent(operator: str, output: list[int]) -> dict[str, Any]:
    return event(operator, [[STEPS, SAMPLES, WIDTH], [1, 8 * HIDDEN]], output)


def products(gates: int, directions: int = 1) -> float:
    """The FLOPs of a recurrent layer: two for each weight of each gate, at each step of each sample."""
    return 2.0 * STEPS * SAMPLES * directions * gates * HIDDEN * (WIDTH + HIDDEN)


@pytest.mark.parametrize(
    ("operator", "output", "precision", "flops"),
    [
        ("LSTM", [STEPS, 1, SAMPLES, HIDDEN], "f32", products(4)),
        ("LSTM", [STEPS, 2, SAMPLES, HIDDEN], "f32", products(4, directions=2)),
        ("LSTM", [2, SAMPLES, HIDDEN], "f32", products(4, directions=2)),
        ("DynamicQuantizeLSTM", [STEPS, 1, SAMPLES, HIDDEN], "int8", products(4)),
        ("GRU", [STEPS, 1, SAMPLES, HIDDEN], "f32", products(3)),
        ("RNN", [1, SAMPLES, HIDDEN], "f32", products(1)),
        ("LSTM", [], "f32", 0.0),
    ],
)
def test_onnxruntimes_recurrent_layers_are_layers(operator: str, output: list[int], precision: str, flops: float) -> None:
    """Whether all states are put out or the last ones alone; their weights are packed, and not among the shapes."""
    kernel = onnxruntime.kernel_of(recurrent(operator, output))

    assert ("rnn", precision, True, True) == (kernel.operation, kernel.precision, kernel.is_heavy, kernel.has_weights)
    assert (flops, SAMPLES if flops else 0) == (kernel.flops, kernel.rows)


def test_int8_of_projections_alone_is_none_of_a_recurrent_model() -> None:
    """Three LSTMs in fp32 have most of the arithmetic beside their projections in int8, and little of the time."""
    lstm = recurrent("LSTM", [STEPS, 1, SAMPLES, HIDDEN])
    projection = event("MatMulIntegerToFloat", [[SAMPLES, STEPS, HIDDEN], [HIDDEN, 256]], [SAMPLES, STEPS, 256], "uint8", 900)
    kernels = merge(map(onnxruntime.kernel_of, [lstm, projection] * 3))
    holds, shown = int8_kernels().check(Proof(job=JOB, ranks=[Observations(kernels=kernels, quantizable=3)], agreement=EXACT))

    assert not holds
    assert "3 int8 kernels for 3 layers with weights; 7.3% of the layers' FLOPs" in shown


def node(layer: str, *inputs: list[int], output: list[int], precision: str = "f32") -> openvino.Node:
    return openvino.Node("name", layer, "brgemm_avx2", precision, "", inputs=list(inputs), output=output)


STATE, LENGTHS = [SAMPLES, 1, HIDDEN], [SAMPLES]
OF_GATES = [1, 4 * HIDDEN, WIDTH], [1, 4 * HIDDEN, HIDDEN], [1, 4 * HIDDEN]


@pytest.mark.parametrize(
    ("found", "flops"),
    [
        (node("RNNSeq", [SAMPLES, STEPS, WIDTH], STATE, STATE, LENGTHS, *OF_GATES, output=[SAMPLES, 1, STEPS, HIDDEN]), products(4)),
        (node("RNNSeq", [STEPS, SAMPLES, WIDTH], STATE, LENGTHS, *OF_GATES, output=[STEPS, 1, SAMPLES, HIDDEN]), products(4)),
        (
            node("RNNCell", [SAMPLES, WIDTH], [SAMPLES, HIDDEN], *(each[1:] for each in OF_GATES), output=[SAMPLES, HIDDEN]),
            products(4) / STEPS,
        ),
        (node("RNNSeq", [], STATE, STATE, LENGTHS, *OF_GATES, output=[]), 0.0),
        (node("RNNSeq", [SAMPLES, STEPS, WIDTH], output=[SAMPLES, 1, STEPS, HIDDEN]), 0.0),
    ],
    ids=["lstm", "no cell state, steps first", "cell", "no fixed shape", "no weights told"],
)
def test_openvinos_recurrent_layers_are_layers(found: openvino.Node, flops: float) -> None:
    """Sequences and cells of all kinds; the state tells the samples, wherever they are in the input."""
    kernel = openvino.kernel_of(found, 1.0)

    assert ("rnn", "f32", True, True) == (kernel.operation, kernel.precision, kernel.is_heavy, kernel.has_weights)
    assert (flops, SAMPLES if flops else 0) == (kernel.flops, kernel.rows)


@pytest.mark.parametrize(
    ("operator", "image", "weights", "output"),
    [
        ("Conv", [2, 8, 32, 32], [16, 8, 4, 4], [2, 16, 16, 16]),
        ("ConvTranspose", [2, 16, 16, 16], [16, 8, 4, 4], [2, 8, 32, 32]),
        ("ConvTranspose", [2, 16, 16, 16], [16, 1, 4, 4], [2, 8, 32, 32]),
    ],
    ids=["convolution", "transposed", "transposed, in eight groups"],
)
def test_transposed_convolutions_multiply_at_each_input(operator: str, image: list[int], weights: list[int], output: list[int]) -> None:
    """A convolution that makes 16 x 16 of 32 x 32, and the one that makes 32 x 32 of these again, have the same arithmetic."""
    kernel = onnxruntime.kernel_of(event(operator, [image, weights], output))

    assert (2.0 * 2 * 16 * 16 * 16 * weights[1] * 4 * 4, 2) == (kernel.flops, kernel.rows)
