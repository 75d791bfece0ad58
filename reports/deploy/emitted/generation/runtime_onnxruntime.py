# SPDX-License-Identifier: Apache-2.0
"""A step of decoding by ONNX Runtime, as it was measured: keys and values are outputs, and the next step's inputs."""

from pathlib import Path
from typing import Any

import numpy as np
from greedy import Greedy
from runtime_onnxruntime import Session as Opened
from runtime_onnxruntime import onnxruntime  # by way of the file that keeps it silent

OrtValue = onnxruntime.OrtValue


class Session(Greedy, Opened):  # type: ignore[misc] # a file of the deployment, of which mypy knows nothing
    """An InferenceSession whose cache stays in ONNX Runtime's own memory."""

    def __init__(self, artifact: Path, deployment: dict[str, Any]) -> None:
        super().__init__(artifact, deployment)
        self._outputs = [node.name for node in self._session.get_outputs()]
        _, heads, _, width = self._session.get_inputs()[1].shape
        self._nothing = np.zeros((1, heads, 0, width), np.float32)
        self._past: list[Any] = []

    def take(self, tokens: np.ndarray) -> np.ndarray:
        given = [OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tokens)), *self._past]
        logits, *self._past = self._session.run_with_ort_values(self._outputs, dict(zip(self._inputs, given, strict=True)))
        found: np.ndarray = logits.numpy()
        return found

    def empty_cache(self) -> None:
        self._past = [OrtValue.ortvalue_from_numpy(self._nothing) for _ in self._inputs[1:]]

    def keep_cache(self) -> list[Any]:
        return list(self._past)  # every step makes new ones

    def restore_cache(self, kept: list[Any]) -> None:
        self._past = list(kept)
