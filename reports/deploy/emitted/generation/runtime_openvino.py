# SPDX-License-Identifier: Apache-2.0
"""A step of decoding by OpenVINO, as it was measured: the cache is the state of one request."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
from greedy import Greedy
from runtime_openvino import Session as Opened

BEAMS = "beam_idx"


class Session(Greedy, Opened):  # type: ignore[misc] # a file of the deployment, of which mypy knows nothing
    """A compiled model with one request."""

    read_back: tuple[str, ...] = (*Opened.read_back, "KV_CACHE_PRECISION")

    def __init__(self, artifact: Path, deployment: dict[str, Any]) -> None:
        super().__init__(artifact, deployment)
        self._request = self._idle.get()  # the only one
        self._beams = openvino.Tensor(np.zeros(1, dtype=np.int32))

    def take(self, tokens: np.ndarray) -> np.ndarray:
        self._request.set_tensor("input_ids", openvino.Tensor(np.ascontiguousarray(tokens)))
        self._request.set_tensor(BEAMS, self._beams)
        self._request.infer()
        found: np.ndarray = self._request.get_output_tensor(0).data.copy()
        return found

    def empty_cache(self) -> None:
        self._request.reset_state()

    def keep_cache(self) -> list[np.ndarray]:
        return [np.array(state.state.data) for state in self._request.query_state()]

    def restore_cache(self, kept: list[np.ndarray]) -> None:
        if not kept[0].shape[2]:
            self.empty_cache()
            return
        for state, array in zip(self._request.query_state(), kept, strict=True):
            state.state = openvino.Tensor(array)
