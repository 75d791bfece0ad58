# SPDX-License-Identifier: Apache-2.0
"""A language model of transformers in eager PyTorch, as it was measured: a cache that grows by a copy at each token."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from greedy import Greedy
from runtime_torch import Session as Opened
from transformers import DynamicCache


class Session(Greedy, Opened):  # type: ignore[misc] # a file of the deployment, of which mypy knows nothing
    """The module, and a cache of its own."""

    def __init__(self, artifact: Path, deployment: dict[str, Any]) -> None:
        super().__init__(artifact, deployment)
        known = inspect.signature(type(self._module).forward).parameters
        self._cache_argument = "past_key_values" if "past_key_values" in known else "cache"  # transformers has renamed it
        self._takes_positions = "cache_position" in known
        self._keeps_logits = "logits_to_keep" in known
        self._length = 0
        self._cache: Any = None

    def take(self, tokens: np.ndarray) -> np.ndarray:
        given: dict[str, Any] = {self._cache_argument: self._cache, "use_cache": True}
        if self._keeps_logits:
            given["logits_to_keep"] = 1
        if self._takes_positions:
            given["cache_position"] = torch.arange(self._length, self._length + tokens.shape[1])
        with torch.no_grad():
            logits = self._module(input_ids=torch.from_numpy(np.ascontiguousarray(tokens)), **given).logits
        self._length += tokens.shape[1]
        found: np.ndarray = logits[:, -1].float().numpy()
        return found

    def empty_cache(self) -> None:
        self._length = 0
        self._cache = DynamicCache(config=self._module.config)

    @property
    def _layers(self) -> list[Any]:
        return [layer for layer in self._cache.layers if getattr(layer, "is_initialized", True) and layer.keys is not None]

    def keep_cache(self) -> tuple[int, list[tuple[Any, Any]]]:
        return self._length, [(layer.keys, layer.values) for layer in self._layers]  # every step makes new ones

    def restore_cache(self, kept: tuple[int, list[tuple[Any, Any]]]) -> None:
        length, pairs = kept
        if not pairs:
            self.empty_cache()
        for layer, (keys, values) in zip(self._layers, pairs, strict=False):
            layer.keys, layer.values = keys, values
        self._length = length
