# SPDX-License-Identifier: Apache-2.0
"""What lies in this folder: the recipe as data, the sample that came with it, and its runtime on the CPUs that it was measured on."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from cpus import Cpus
from memory import Block

FOLDER = Path(__file__).resolve().parent
WORKER_VARIABLE = "WORKER"


class Untold:
    """What the sessions have in common that answer one request at a time, and whose runtime does not tell where its tensors lie."""

    asynchronous = False
    requests = 1

    def weights(self) -> list[Block]:
        """Return nothing: the weights lie where they lie."""
        return []

    def largest_activation(self) -> Block | None:
        """Return nothing."""
        return None

    def allocate(self, _size: int, _touched: int) -> Block | None:
        """Return nothing: there is no way to ask for a tensor."""
        return None


def read(folder: Path = FOLDER) -> dict[str, Any]:
    """Return the recipe, and what check.py holds it to."""
    deployment: dict[str, Any] = json.loads((folder / "deployment.json").read_text())
    return deployment


def sample(folder: Path = FOLDER) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return a batch of inputs, and fp32 PyTorch's outputs for it."""
    with np.load(folder / "sample.npz", allow_pickle=False) as arrays:
        inputs = tuple(arrays[name] for name in sorted(arrays.files) if name.startswith("input_"))
        return inputs, arrays["expected"]


def session(folder: Path, deployment: dict[str, Any]) -> Any:
    """Return the artifact in its runtime, in this process, which is bound to its CPUs from here on where the recipe pins workers."""
    if deployment["pinned"]:
        _pin(_worker_of(deployment["workers"]), deployment["workers"], deployment["threads"])
    from runtime import Session  # the runtime's threads inherit the CPUs that this one may use

    return Session(folder / "artifact", deployment)


def _worker_of(workers: int) -> int:
    """Return the number that the environment gives this worker. Raises SystemExit for one that the recipe does not have."""
    given = os.environ.get(WORKER_VARIABLE, "0")
    if given not in map(str, range(workers)):
        raise SystemExit(
            f"{WORKER_VARIABLE}={given}: the recipe has {workers} pinned workers; give each a number of its own from 0 to {workers - 1}"
        )
    return int(given)


def _pin(worker: int, workers: int, threads: int) -> None:
    """Bind this process to the cores of worker number `worker`, of those that it may use."""
    cpus = Cpus.read()
    if len(cpus.allowed) >= workers * threads:  # else it is bound already, by taskset or a container: check.py looks at what holds
        own = cpus.share(workers, threads)[worker]
        for task in Path("/proc/self/task").iterdir():  # numpy may have started threads of its own
            os.sched_setaffinity(int(task.name), own)
