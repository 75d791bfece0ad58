# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol (KServe v2) over HTTP, with its binary tensor extension: requests to arrays, outputs to answers. Pure.

Sources: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md and extension_binary_data.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import msgspec
import numpy as np

VERSION = "1"
HEAD_BYTES = 65536  # of a request's own words, without the numbers; so many commas and quotes they have at most
JSON_BYTES_OF_A_NUMBER = 32
DATATYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "INT8": np.int8,
    "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
NAMES = {np.dtype(kind): name for name, kind in DATATYPES.items()}
ELEMENTS = {"b": bool, "u": int, "i": int, "f": float}
Parameters = dict[str, bool | int | float | str | None]


class Refused(Exception):
    """A request that is not answered by the model; `status` is HTTP's."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status

    def body(self) -> dict[str, Any]:
        """Return the answer."""
        return {"error": str(self)}


@dataclass(frozen=True)
class Tensor:
    """One input or output of the model: its name, the protocol's datatype, and the shape of one sample."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def like(cls, name: str, batch: np.ndarray) -> "Tensor":
        """Describe the tensor of which `batch` has some samples."""
        return cls(name, NAMES[batch.dtype], batch.shape[1:])

    @property
    def numbers(self) -> int:
        """How many numbers a sample has."""
        return math.prod(self.shape)

    def metadata(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.shape]}


@dataclass(frozen=True)
class Asked:
    """A request that was understood: arrays in the model's order, the caller's id, and whether outputs are wanted as bytes."""

    inputs: tuple[np.ndarray, ...]
    id: str
    binary: bool


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: msgspec.Raw = msgspec.Raw(b"")


class _Output(msgspec.Struct):
    name: str
    parameters: Parameters = {}


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str = ""
    parameters: Parameters = {}
    outputs: list[_Output] = []


_REQUESTS = msgspec.json.Decoder(_Request)


@dataclass(frozen=True)
class Interface:
    """What a model takes and gives; it answers at most `batch_size` samples in a call."""

    model: str
    platform: str
    batch_size: int
    inputs: tuple[Tensor, ...]
    output: Tensor

    @property
    def most_numbers(self) -> int:
        """How many numbers the largest batch has."""
        return self.batch_size * sum(each.numbers for each in self.inputs)

    @property
    def most_json_bytes(self) -> int:
        """The longest request in JSON."""
        return HEAD_BYTES + JSON_BYTES_OF_A_NUMBER * self.most_numbers

    @property
    def most_binary_bytes(self) -> int:
        """The longest request whose tensors follow as bytes."""
        return HEAD_BYTES + self.batch_size * sum(each.numbers * np.dtype(DATATYPES[each.datatype]).itemsize for each in self.inputs)

    def metadata(self) -> dict[str, Any]:
        """Return the answer to GET /v2/models/NAME."""
        return {
            "name": self.model,
            "versions": [VERSION],
            "platform": self.platform,
            "inputs": [each.metadata() for each in self.inputs],
            "outputs": [self.output.metadata()],
        }

    def read(self, body: bytes | bytearray, json_bytes: int | None) -> Asked:
        """Return what a request asks for; `json_bytes` of the body are JSON where bytes of tensors follow. Raises Refused."""
        if json_bytes is not None and not 0 <= json_bytes <= len(body):
            raise Refused(400, f"Inference-Header-Content-Length is {json_bytes}, and the body has {len(body)} bytes")
        self._check_count(body, len(body) if json_bytes is None else json_bytes)
        try:
            request = _REQUESTS.decode(memoryview(body)[:json_bytes])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(400, f"the request is not one of the Open Inference Protocol: {error}") from error
        given = {each.name: each for each in request.inputs}
        names = [each.name for each in self.inputs]
        if sorted(names) != sorted(each.name for each in request.inputs):
            raise Refused(400, f"the model's inputs are {', '.join(names)}; found {_shown(list(given))}")
        for output in request.outputs:
            _allow(f"output {output.name[:100]!r}", output.parameters, "binary_data")
            if output.name != self.output.name:
                raise Refused(400, f"the model's output is {self.output.name}; found {output.name[:100]!r}")
        rest = memoryview(body)[len(body) if json_bytes is None else json_bytes :]
        arrays: dict[str, np.ndarray] = {}
        for each in request.inputs:  # in the caller's order, which is that of the bytes
            tensor = next(known for known in self.inputs if known.name == each.name)
            arrays[each.name], rest = self._array(tensor, each, rest)
        if len(rest):
            raise Refused(400, f"{len(rest)} bytes follow the last tensor")
        counts = {len(array) for array in arrays.values()}
        if len(counts) > 1:
            raise Refused(400, f"the inputs have different numbers of samples: {_shown(sorted(counts))}")
        return Asked(tuple(arrays[name] for name in names), request.id, _wants_bytes(request))

    def _check_count(self, body: bytes | bytearray, json_bytes: int) -> None:
        """Refuse more values than fit a batch before they are made: each is larger than its text. Raises Refused.

        Commas part the values of lists and objects; all but numbers have quotes.
        """
        if body.count(b",", 0, json_bytes) > HEAD_BYTES + self.most_numbers or body.count(b'"', 0, json_bytes) > HEAD_BYTES:
            raise Refused(400, f"the request has more values than {self.batch_size} samples, of {self.most_numbers} numbers together")

    def _array(self, tensor: Tensor, given: _Input, rest: memoryview) -> tuple[np.ndarray, memoryview]:
        """Return the array of an input, and the bytes that follow its own. Raises Refused."""
        if given.datatype != tensor.datatype:
            raise Refused(400, f"{tensor.name} is {tensor.datatype}; found {given.datatype[:100]!r}")
        if tuple(given.shape[1:]) != tensor.shape or not given.shape or not 1 <= given.shape[0] <= self.batch_size:
            expected = [f"1 to {self.batch_size}", *tensor.shape]
            raise Refused(400, f"{tensor.name} has the shape [{', '.join(map(str, expected))}]; found {_shown(given.shape)}")
        _allow(f"input {tensor.name!r}", given.parameters, "binary_data_size")
        kind = np.dtype(DATATYPES[tensor.datatype])
        size = given.parameters.get("binary_data_size")
        if size is None:
            return _numbers(tensor.name, given, kind), rest
        expected_bytes = math.prod(given.shape) * kind.itemsize
        if type(size) is not int or size != expected_bytes or size > len(rest):
            found = f"binary_data_size {_shown([size])} and {len(rest)} bytes of the body"
            raise Refused(400, f"{tensor.name} has {expected_bytes} bytes; found {found}")
        return np.frombuffer(rest[:size], kind.newbyteorder("<")).astype(kind, copy=False).reshape(given.shape), rest[size:]

    def answer(self, asked: Asked, outputs: np.ndarray) -> tuple[bytes, int | None]:
        """Return the answer's body, and how many bytes of it are JSON where bytes of tensors follow. Raises Refused."""
        if not asked.binary and not np.isfinite(outputs).all():
            raise Refused(500, "the outputs have NaN or infinite numbers, which JSON has no words for: ask for bytes (binary_data_output)")
        described: dict[str, Any] = {"name": self.output.name, "datatype": self.output.datatype, "shape": list(outputs.shape)}
        answer: dict[str, Any] = {"model_name": self.model, "model_version": VERSION, "outputs": [described]}
        if asked.id:
            answer["id"] = asked.id
        if not asked.binary:
            described["data"] = outputs.ravel().tolist()
            return msgspec.json.encode(answer), None
        content = np.ascontiguousarray(outputs, outputs.dtype.newbyteorder("<")).tobytes()
        described["parameters"] = {"binary_data_size": len(content)}
        head = msgspec.json.encode(answer)
        return head + content, len(head)


def _numbers(name: str, given: _Input, kind: np.dtype[Any]) -> np.ndarray:
    """Return the array that stands in the JSON, as one list or as nested ones. Raises Refused."""
    element: Any = ELEMENTS[kind.kind]
    nested = reduce(lambda inner, _: list[inner], given.shape, element)  # type: ignore[valid-type]
    try:
        try:
            values = msgspec.json.decode(given.data, type=list[element])
        except msgspec.ValidationError:
            values = msgspec.json.decode(given.data, type=nested)
        with np.errstate(over="ignore"):
            array = np.array(values, kind)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        raise Refused(400, f"the data of {name} cannot be read: {str(error)[:200]}") from error
    if array.size != math.prod(given.shape) or array.ndim not in {1, len(given.shape)}:
        raise Refused(400, f"{name} has {math.prod(given.shape)} numbers by its shape; found {array.size}")
    if array.ndim > 1 and list(array.shape) != given.shape:
        raise Refused(400, f"{name} has the shape {given.shape}; found lists of {list(array.shape)}")
    return array.reshape(given.shape)


def _wants_bytes(request: _Request) -> bool:
    """The output's own wish, else the request's."""
    wishes = [output.parameters["binary_data"] for output in request.outputs if "binary_data" in output.parameters]
    return bool(wishes[-1] if wishes else request.parameters.get("binary_data_output", False))


def _allow(place: str, parameters: Parameters, known: str) -> None:
    """Refuse what would be asked for in vain: shared memory, classification. Raises Refused."""
    if unknown := sorted(parameters.keys() - {known}):
        raise Refused(400, f"{place} has parameters that are not served here: {_shown(unknown)}; known: {known}")


def _shown(values: Sequence[object]) -> str:
    shown = f"[{', '.join(str(value)[:40] for value in values[:8])}{', …' if len(values) > 8 else ''}]"
    return shown.encode(errors="replace").decode()
