"""The Open Inference Protocol as the emitted server reads it: what fits the model becomes arrays, the rest is refused with a reason."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.deploy.emitted.inference_protocol import Asked, Interface, Refused, Tensor
from tests.fuzzing import inputs, texts, values

TWO = Interface(
    model="m",
    platform="numpy",
    batch_size=4,
    inputs=(Tensor("ids", "INT64", (2,)), Tensor("mask", "BOOL", ())),
    output=Tensor("output_0", "FP32", (2,)),
)
ONE = Interface(model="m", platform="numpy", batch_size=4, inputs=(Tensor("x", "FP32", (2, 2)),), output=Tensor("output_0", "FP32", (2,)))


def request(*tensors: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": tensors} | more).encode()


def x(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": "FP32", "shape": [1, 2, 2], "data": [1, 2.5, 3, 4]} | changes


@pytest.mark.parametrize("data", [[1, 2.5, 3, 4], [[[1, 2.5], [3, 4]]]])
def test_numbers_come_as_one_list_or_nested(data: list[Any]) -> None:
    [array] = ONE.read(request(x(data=data)), None).inputs

    assert ("float32", [[[1, 2.5], [3, 4]]]) == (array.dtype.name, array.tolist())


def test_inputs_come_in_any_order_as_json_or_bytes() -> None:
    """Bytes follow in the order of the request, arrays in that of the model."""
    ids = np.array([[1, 2], [3, 4]], "<i8")
    mask = {"name": "mask", "datatype": "BOOL", "shape": [2], "data": [True, False]}
    given_ids = {"name": "ids", "datatype": "INT64", "shape": [2, 2], "parameters": {"binary_data_size": 32}}
    json_only = request(mask, given_ids)

    found = TWO.read(json_only + ids.tobytes(), len(json_only))

    assert [[[1, 2], [3, 4]], [True, False]] == [each.tolist() for each in found.inputs]


@pytest.mark.parametrize(
    ("more", "binary"),
    [
        ({}, False),
        ({"parameters": {"binary_data_output": True}}, True),
        ({"outputs": [{"name": "output_0"}]}, False),
        ({"outputs": [{"name": "output_0", "parameters": {"binary_data": True}}]}, True),
        ({"outputs": [{"name": "output_0", "parameters": {"binary_data": False}}], "parameters": {"binary_data_output": True}}, False),
    ],
)
def test_the_caller_chooses_how_outputs_travel(more: dict[str, Any], binary: bool) -> None:
    asked = ONE.read(request(x(), id="7", **more), None)
    outputs = np.array([[1.5, 2]], np.float32)

    body, head = ONE.answer(asked, outputs)

    described = json.loads(body[:head])
    assert ("7", "m", binary) == (described["id"], described["model_name"], head is not None)
    assert (body[head:] == outputs.tobytes()) if binary else (described["outputs"][0]["data"] == [1.5, 2])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_outputs_that_json_cannot_hold_are_no_answer(number: float) -> None:
    """They would come as null, with a status of success; as bytes they are what they are."""
    outputs = np.array([[1.5, number]], np.float32)
    as_json, as_bytes = (ONE.read(request(x(), parameters={"binary_data_output": binary}), None) for binary in (False, True))

    with pytest.raises(Refused, match="NaN or infinite") as refused:
        ONE.answer(as_json, outputs)
    assert 500 == refused.value.status
    body, head = ONE.answer(as_bytes, outputs)
    assert outputs.tobytes() == body[head:]


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (x(name="y"), "the model's inputs are x; found [y]"),
        (x(datatype="FP64"), "x is FP32; found 'FP64'"),
        (x(shape=[2, 2]), "x has the shape [1 to 4, 2, 2]; found [2, 2]"),
        (x(shape=[5, 2, 2]), "x has the shape [1 to 4, 2, 2]; found [5, 2, 2]"),
        (x(shape=[0, 2, 2], data=[]), "x has the shape"),
        (x(shape=[-1, 2, 2]), "x has the shape"),
        (x(shape=[]), "x has the shape"),
        (x(shape=[10**30, 2, 2]), "x has the shape [1 to 4, 2, 2]; found [1000"),
        (x(data=[1, 2, 3]), "x has 4 numbers by its shape; found 3"),
        (x(data=[[[1, 2, 3, 4]]]), "x has the shape [1, 2, 2]; found lists of [1, 1, 4]"),
        (x(data=[[[1, 2], [3]]]), "the data of x cannot be read"),
        (x(data=["1", "2", "3", "4"]), "the data of x cannot be read"),
        (x(data=[True, False, True, True]), "the data of x cannot be read"),
        (x(data=None), "the data of x cannot be read"),
        ({"name": "x", "datatype": "FP32", "shape": [1, 2, 2]}, "the data of x cannot be read"),
        (x(parameters={"binary_data_size": 16}), "x has 16 bytes; found binary_data_size [16] and 0 bytes of the body"),
        (x(parameters={"binary_data_size": True}), "x has 16 bytes"),
        (x(parameters={"shared_memory_region": "a"}), "parameters that are not served here: [shared_memory_region]"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(tensor: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        ONE.read(request(tensor), None)

    assert (400, True) == (refused.value.status, reason in str(refused.value)), str(refused.value)


@pytest.mark.parametrize(
    ("body", "json_bytes", "reason"),
    [
        (b"", None, "not one of the Open Inference Protocol"),
        (b"\xff", None, "not one of the Open Inference Protocol"),
        (b"[" * 100_000, None, "not one of the Open Inference Protocol"),
        (b'{"inputs": []}', None, "the model's inputs are x; found []"),
        (request(x(), x()), None, "the model's inputs are x"),
        (request(x(), outputs=[{"name": "logits"}]), None, "the model's output is output_0; found 'logits'"),
        (request(x(), outputs=[{"name": "output_0", "parameters": {"classification": 3}}]), None, "not served here: [classification]"),
        (request(x(), parameters={"mine": [1]}), None, "not one of the Open Inference Protocol"),
        (request(x(), parameters={"mine": {"a": 1}}), None, "not one of the Open Inference Protocol"),
        (request(x()), 10_000, "Inference-Header-Content-Length is 10000"),
        (request(x()) + b"1234", len(request(x())), "4 bytes follow the last tensor"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(body: bytes, json_bytes: int | None, reason: str) -> None:
    with pytest.raises(Refused, match=reason.replace("[", r"\[")):
        ONE.read(body, json_bytes)


@pytest.mark.parametrize(
    "body",
    [
        request(x(data=[0] * 100_000)),
        request(x(shape=[0] * 100_000)),
        request(x(parameters={"a": [0] * 100_000})),
        request(x(), outputs=[{"name": ""}] * 100_000),
        request(x(), parameters=dict.fromkeys(map(str, range(60_000)), 0)),
    ],
    ids=["data", "shape", "parameter", "outputs", "parameters"],
)
def test_too_many_values_are_refused_before_they_are_made(body: bytes) -> None:
    """What is torn would be malformed to whoever reads it to its end."""
    with pytest.raises(Refused, match="more values than 4 samples, of 16 numbers together"):
        ONE.read(body[:-1], None)


def test_bytes_of_tensors_are_no_values() -> None:
    large = replace(ONE, inputs=(Tensor("x", "UINT8", (100_000,)),))
    head = request(x(datatype="UINT8", shape=[1, 100_000], parameters={"binary_data_size": 100_000}))

    [array] = large.read(head + b'"' * 100_000, len(head)).inputs

    assert {ord('"')} == set(array[0].tolist())


def test_a_whole_batch_fits_beside_parameters_of_others() -> None:
    """Parameters of a request that mean nothing here are passed over, as Triton's clients send some."""
    body = request(x(shape=[4, 2, 2], data=[0] * 16), parameters={"priority": 1, "share": 0.5, "name": "a,b", "binary_data_output": False})

    assert (4, 2, 2) == ONE.read(body, None).inputs[0].shape


def test_inputs_of_different_batches_are_refused() -> None:
    ids = {"name": "ids", "datatype": "INT64", "shape": [2, 2], "data": [1, 2, 3, 4]}
    mask = {"name": "mask", "datatype": "BOOL", "shape": [1], "data": [True]}

    with pytest.raises(Refused, match="different numbers of samples"):
        TWO.read(request(ids, mask), None)


JSON = values(texts(5) | st.sampled_from(["x", "FP32", "output_0", "binary_data_size", "binary_data"]))
TENSORS = st.fixed_dictionaries(
    {
        "name": st.just("x") | JSON,
        "datatype": st.just("FP32") | JSON,
        "shape": st.just([1, 2, 2]) | JSON,
        "parameters": st.just({}) | st.just({"binary_data_size": 16}) | JSON,
    },
    optional={"data": st.just([1, 2, 3, 4]) | JSON},
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, min_size=1, max_size=2) | JSON}, optional={"id": JSON, "parameters": JSON, "outputs": JSON}
)


@inputs(500)
@given(
    body=st.binary(max_size=200) | REQUESTS.map(lambda words: json.dumps(words).encode()),
    more=st.binary(max_size=20),
    json_bytes=st.none() | st.integers(-5, 500),
)
def test_whatever_is_sent_is_understood_or_refused(body: bytes, more: bytes, json_bytes: int | None) -> None:
    """No other exception, and what is understood has the model's shape."""
    for length in (json_bytes, len(body)):
        try:
            asked = ONE.read(body + more, length)
        except Refused as refused:
            str(refused).encode()
        else:
            assert isinstance(asked, Asked)
            assert ((1, 2, 2), "float32") == (asked.inputs[0].shape, asked.inputs[0].dtype.name)
