"""The loop that a user would deploy, for each runtime: one process, one model, calls back to back. The suite gives it the model only.

Its argument is JSON, a `Loop`. It reads on stdin for how many seconds to run, and answers on stdout with samples per second, one line each.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

import msgspec
import numpy as np

from fixtures.protocol import ModelSpec

WARM_UP_S = 2.0


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve: a model of images by torch, or the file `model.onnx`, `model.xml` or `model.pt2` in the folder `artifact`."""

    model: ModelSpec
    runtime: str
    transforms: tuple[str, ...]
    settings: dict[str, str]
    batch_size: int
    threads: int
    artifact: str | None


def main(loop: Loop) -> None:
    """Serve until stdin closes."""
    images = np.random.default_rng(7).standard_normal((loop.batch_size, *loop.model.image.dimensions), dtype=np.float32)
    if loop.runtime == "onnxruntime":
        runtime = _onnxruntime(loop, images)
    elif loop.runtime == "openvino":
        runtime = _openvino(loop, images)
    else:
        runtime = _torch(loop, images)
    with runtime as run:
        run(WARM_UP_S)
        for line in sys.stdin:
            print(run(float(line)) * loop.batch_size, flush=True)


Run = Callable[[float], float]  # for so many seconds; returns calls per second


def _back_to_back(call: Callable[[], Any]) -> Run:
    def run(seconds: float) -> float:
        calls, begin_s = 0, time.perf_counter()
        while time.perf_counter() - begin_s < seconds or not calls:
            call()
            calls += 1
        return calls / (time.perf_counter() - begin_s)

    return run


@contextmanager
def _torch(loop: Loop, images: np.ndarray) -> Iterator[Run]:
    import torch

    from fixtures import models

    torch.set_num_threads(loop.threads)
    inputs = torch.from_numpy(images)
    function: Any
    if loop.runtime == "aot_inductor":
        function = torch._inductor.aoti_load_package(f"{loop.artifact}/model.pt2")
    elif "pt2e_int8" in loop.transforms:
        import_module("torch.ao.quantization.fx._decomposed")  # registers the operators of the quantized graph
        function = torch.export.load(f"{loop.artifact}/model.pt2").module()
    else:
        function = models.create(loop.model).eval().requires_grad_(True)
    if "channels_last" in loop.transforms:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        if isinstance(function, torch.nn.Module):
            function = function.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if loop.runtime == "inductor":
        from torch._inductor import config

        config.freezing = bool({"freezing", "pt2e_int8"} & set(loop.transforms))
        config.max_autotune = "max_autotune" in loop.transforms
        function = torch.compile(function, dynamic=False)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16) if "bf16_autocast" in loop.transforms else nullcontext()
    with torch.no_grad(), autocast:
        yield _back_to_back(lambda: function(inputs))


@contextmanager
def _onnxruntime(loop: Loop, images: np.ndarray) -> Iterator[Run]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as in what the suite emits
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = loop.threads
    for name, value in loop.settings.items():
        options.add_session_config_entry(name, value)
    session = onnxruntime.InferenceSession(f"{loop.artifact}/model.onnx", options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images}
    yield _back_to_back(lambda: session.run(None, feed))


@contextmanager
def _openvino(loop: Loop, images: np.ndarray) -> Iterator[Run]:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": str(loop.threads)} | {name: value for name, value in loop.settings.items() if value}
    if "asynchronous" not in loop.transforms:
        compiled = openvino.Core().compile_model(f"{loop.artifact}/model.xml", "CPU", settings)
        yield _back_to_back(lambda: compiled(images, share_inputs=True))
        return
    compiled = openvino.Core().compile_model(f"{loop.artifact}/model.xml", "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"} | settings)
    queue = openvino.AsyncInferQueue(compiled)

    def run(seconds: float) -> float:
        calls, begin_s = 0, time.perf_counter()
        while time.perf_counter() - begin_s < seconds or not calls:
            queue.start_async(images)
            calls += 1
        queue.wait_all()
        return calls / (time.perf_counter() - begin_s)

    yield run


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Loop))
