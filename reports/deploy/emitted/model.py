# SPDX-License-Identifier: Apache-2.0
"""The deployed model: `load()` it once in a process, then `infer()` batches. Needs what requirements.txt names, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
from deployed import FOLDER, read, sample, session

__all__ = ["Model", "load", "sample"]


class Model:
    """The model in the recipe's runtime, precision, threads and CPUs, warm from its first inference."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.deployment: dict[str, Any] = read(folder)
        self.batch_size: int = self.deployment["batch_size"]
        self.session = session(folder, self.deployment)

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
