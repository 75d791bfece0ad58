"""The loop that a user would deploy, for each runtime: one process, one model, calls back to back. The suite gives it the model only.

Its arguments are a job in JSON, and the folder that `model.onnx`, `model.xml` or `model.pt2` lies in. It reads on stdin for how many
seconds to run, and answers on stdout with samples per second, one line each.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fixtures.protocol import Job

WARM_UP_S = 2.0


def main(job: Job, artifact: Path) -> None:
    """Serve until stdin closes."""
    images = np.random.default_rng(7).standard_normal((job.batch_size, *job.model.image.dimensions), dtype=np.float32)
    if job.runtime == "onnxruntime":
        runtime = _onnxruntime(job, artifact, images)
    elif job.runtime == "openvino":
        runtime = _openvino(job, artifact, images)
    else:
        runtime = _torch(job, artifact, images)
    with runtime as run:
        run(WARM_UP_S)
        for line in sys.stdin:
            print(run(float(line)) * job.batch_size, flush=True)


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
def _torch(job: Job, artifact: Path, images: np.ndarray) -> Iterator[Run]:
    import torch

    from fixtures import models

    torch.set_num_threads(job.threads)
    inputs = torch.from_numpy(images)
    function: Any
    if job.runtime == "aot_inductor":
        function = torch._inductor.aoti_load_package(str(artifact / "model.pt2"))
    elif "pt2e_int8" in job.transforms:
        import_module("torch.ao.quantization.fx._decomposed")  # registers the operators of the quantized graph
        function = torch.export.load(artifact / "model.pt2").module()
    else:
        function = models.create(job.model).eval().requires_grad_(True)
    if "channels_last" in job.transforms:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        if isinstance(function, torch.nn.Module):
            function = function.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if job.runtime == "inductor":
        from torch._inductor import config

        config.freezing = bool({"freezing", "pt2e_int8"} & set(job.transforms))
        config.max_autotune = "max_autotune" in job.transforms
        function = torch.compile(function, dynamic=False)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16) if "bf16_autocast" in job.transforms else nullcontext()
    with torch.no_grad(), autocast:
        yield _back_to_back(lambda: function(inputs))


@contextmanager
def _onnxruntime(job: Job, artifact: Path, images: np.ndarray) -> Iterator[Run]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as in what the suite emits
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    for name, value in job.settings.items():
        options.add_session_config_entry(name, value)
    session = onnxruntime.InferenceSession(str(artifact / "model.onnx"), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images}
    yield _back_to_back(lambda: session.run(None, feed))


@contextmanager
def _openvino(job: Job, artifact: Path, images: np.ndarray) -> Iterator[Run]:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": str(job.threads)} | job.settings
    if "asynchronous" not in job.transforms:
        compiled = openvino.Core().compile_model(artifact / "model.xml", "CPU", settings)
        yield _back_to_back(lambda: compiled(images, share_inputs=True))
        return
    compiled = openvino.Core().compile_model(artifact / "model.xml", "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"} | settings)
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
    main(msgspec.json.decode(sys.argv[1], type=Job), Path(sys.argv[2]))
