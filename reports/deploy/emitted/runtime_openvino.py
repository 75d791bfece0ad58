# SPDX-License-Identifier: Apache-2.0
"""OpenVINO, as it was measured: one request, or as many in flight as the throughput hint asks for."""

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino
from deployed import Untold
from openvino import opset13

LAYERS = {"Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNSeq", "RNNCell"}
HEAVY = LAYERS | {"ScaledDotProductAttention", "ScaledAttn", "MHA"}
PRECISIONS = {"i8": "int8", "u8": "int8", "i4": "int4", "u4": "int4"}
PRODUCTS_IN_FLIGHT = 4
READ_BACK = ("INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT", "NUM_STREAMS", "INFERENCE_NUM_THREADS", "OPTIMAL_NUMBER_OF_INFER_REQUESTS")


class Session(Untold):  # type: ignore[misc] # a file of the deployment, of which mypy knows nothing
    """A compiled model; `run` may be called by as many threads as there are requests."""

    read_back: tuple[str, ...] = READ_BACK

    def __init__(self, artifact: Path, deployment: dict[str, Any]) -> None:
        self.asynchronous = "asynchronous" in deployment["transforms"]
        config = {"INFERENCE_NUM_THREADS": str(deployment["threads"])} | deployment["settings"]
        if self.asynchronous:
            config = {"PERFORMANCE_HINT": "THROUGHPUT"} | config
        self._config = config
        self._compiled = openvino.Core().compile_model(artifact / "model.xml", "CPU", config)
        self._settings = tuple(dict.fromkeys((*self.read_back, *config)))
        self.requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) if self.asynchronous else 1
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.requests):
            self._idle.put(self._compiled.create_infer_request())

    def place(self, inputs: tuple[np.ndarray, ...]) -> list[Any]:
        return [openvino.Tensor(np.ascontiguousarray(array), shared_memory=True) for array in inputs]

    def run(self, placed: list[Any]) -> np.ndarray:
        request = self._idle.get()
        try:
            for index, tensor in enumerate(placed):
                request.set_input_tensor(index, tensor)
            output: np.ndarray = request.infer()[0]
        finally:
            self._idle.put(request)
        return output.astype(np.float32, copy=False)

    def run_many(self, placed: list[Any], count: int) -> None:
        """Run `count` batches with all requests in flight."""
        queue = openvino.AsyncInferQueue(self._compiled)
        for request in queue:
            for index, tensor in enumerate(placed):
                request.set_input_tensor(index, tensor)
        for _ in range(count):
            queue.start_async()
        queue.wait_all()

    def facts(self, _placed: list[Any]) -> dict[str, Any]:
        """Return what is in force; the share of each precision is that of the convolutions and products, by their number."""
        precisions = []
        for operation in self._compiled.get_runtime_model().get_ordered_ops():
            info = operation.get_rt_info()
            if info["layerType"].astype(str) in HEAVY:
                name = info["runtimePrecision"].astype(str)
                precisions.append(PRECISIONS.get(name, name))
        settings = {name: _text(self._compiled.get_property(name)) for name in self._settings}
        share = {name: precisions.count(name) / len(precisions) for name in set(precisions)}
        return {"settings": settings, "precision_share": share}

    def large_product(self, side: int) -> Callable[[], object]:
        """Return products in a second model that is compiled with the properties of the first, all its requests in flight."""
        parameter = opset13.parameter([side, side], np.float32)
        product = openvino.Model([opset13.matmul(parameter, parameter, False, False)], [parameter], "product")
        queue = openvino.AsyncInferQueue(openvino.Core().compile_model(product, "CPU", self._config))
        feed = np.ones((side, side), np.float32)

        def run() -> None:
            for _ in range(PRODUCTS_IN_FLIGHT * len(queue)):
                queue.start_async({0: feed})
            queue.wait_all()

        return run


def _text(value: Any) -> str:
    return value.to_string() if hasattr(value, "to_string") else str(value)
