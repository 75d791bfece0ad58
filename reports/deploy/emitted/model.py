# SPDX-License-Identifier: Apache-2.0
"""The deployed model: `load()` it once in a process, then `infer()` batches. Needs what requirements.txt names, and nothing else."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from cpus import Cpus

FOLDER = Path(__file__).resolve().parent
WORKER_VARIABLE = "WORKER"


class Model:
    """The model in the recipe's runtime, precision, threads and CPUs, warm from its first inference."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.deployment: dict[str, Any] = json.loads((folder / "deployment.json").read_text())
        self.batch_size: int = self.deployment["batch_size"]
        if self.deployment["pinned"]:
            _pin(int(os.environ.get(WORKER_VARIABLE, "0")), self.deployment["workers"], self.deployment["threads"])
        from runtime import Session  # the runtime's threads inherit the CPUs that this one may use

        self.session = Session(folder / "artifact", self.deployment)

    def infer(self, *inputs: np.ndarray) -> np.ndarray:
        """Return float32 outputs for a batch of at most `batch_size` samples; a smaller batch is filled up and cut again."""
        count = len(inputs[0])
        if not 1 <= count <= self.batch_size:
            raise ValueError(f"this deployment takes 1 to {self.batch_size} samples in a call, found {count}")
        filled = tuple(np.concatenate([each, np.repeat(each[-1:], self.batch_size - count, axis=0)]) for each in inputs)
        outputs: np.ndarray = self.session.run(self.session.place(filled))[:count]
        return outputs


def load(folder: Path = FOLDER) -> Model:
    """Return the model, built and run once on the sample that came with it."""
    model = Model(folder)
    model.infer(*sample(folder)[0])
    return model


def sample(folder: Path = FOLDER) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return a batch of inputs, and fp32 PyTorch's outputs for it."""
    with np.load(folder / "sample.npz", allow_pickle=False) as arrays:
        inputs = tuple(arrays[name] for name in sorted(arrays.files) if name.startswith("input_"))
        return inputs, arrays["expected"]


def _pin(worker: int, workers: int, threads: int) -> None:
    """Bind this process to the cores of worker number `worker`, of those that it may use."""
    cpus = Cpus.read()
    if len(cpus.allowed) >= workers * threads:  # else it is bound already, by taskset or a container: check.py looks at what holds
        own = cpus.share(workers, threads)[worker]
        for task in Path("/proc/self/task").iterdir():  # numpy may have started threads of its own
            os.sched_setaffinity(int(task.name), own)
