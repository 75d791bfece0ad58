# SPDX-License-Identifier: Apache-2.0
"""A language model of transformers in PyTorch, as it was measured: eager, its cache growing by a copy at each token or in room of its own.

Where the recipe says so, the step of one token is compiled; prompts are taken by the eager module.
"""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from greedy import Greedy
from runtime_torch import Session as Opened
from runtime_torch import inductor_options, keep_compiled_code_apart

Kept = tuple[int, list[tuple[Any, Any]]]  # the cache's length, and keys and values of each layer


class Session(Greedy, Opened):  # type: ignore[misc] # a file of the deployment, of which mypy knows nothing
    """The module, and a cache of its own."""

    def __init__(self, artifact: Path, deployment: dict[str, Any]) -> None:
        compiles = "compile" in deployment["transforms"]
        if compiles:
            keep_compiled_code_apart()
        super().__init__(artifact, deployment)
        known = inspect.signature(type(self._module).forward).parameters
        self._cache_argument = "past_key_values" if "past_key_values" in known else "cache"  # transformers has renamed it
        self._takes_positions = "cache_position" in known
        self._keeps_logits = "logits_to_keep" in known
        self._is_static = "static_cache" in self._transforms
        self._room: int = deployment["context"]
        self._length = 0
        self._cache: Any = None
        self._step: Any = self._module
        if compiles:
            config = inductor_options()
            config.freezing = "freezing" in self._transforms
            self._step = torch.compile(self._module, dynamic=False)

    def take(self, tokens: np.ndarray) -> np.ndarray:
        return self._logits(self._module, tokens)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        return self._logits(self._step, tokens)

    def _logits(self, function: Any, tokens: np.ndarray) -> np.ndarray:
        given: dict[str, Any] = {self._cache_argument: self._cache, "use_cache": True}
        if self._keeps_logits:
            given["logits_to_keep"] = 1
        if self._takes_positions:
            given["cache_position"] = torch.arange(self._length, self._length + tokens.shape[1])
        with torch.no_grad():
            # Tokens of one text have whatever strides they were cut out with, and Dynamo compiles a graph for each.
            alike = torch.from_numpy(tokens).clone(memory_format=torch.contiguous_format)
            logits = function(input_ids=alike, **given).logits
        self._length += tokens.shape[1]
        found: np.ndarray = logits[:, -1].float().numpy()
        return found

    def empty_cache(self) -> None:
        from transformers import DynamicCache, StaticCache

        if not self._is_static:
            self._length, self._cache = 0, DynamicCache(config=self._module.config)
            return
        if self._cache is None:
            self._cache = StaticCache(config=self._module.config, max_cache_len=self._room)
            self.take(np.zeros((1, 1), dtype=np.int64))  # so that every layer has its memory
        self._set_length(0)

    def _set_length(self, length: int) -> None:
        """Let a cache of fixed size hold its first `length` positions alone."""
        for layer in self._layers:
            layer.keys[:, :, length:].zero_()
            layer.values[:, :, length:].zero_()
            if hasattr(layer, "cumulative_length"):
                layer.cumulative_length.fill_(length)
        self._length = length

    @property
    def _layers(self) -> list[Any]:
        return [layer for layer in self._cache.layers if getattr(layer, "is_initialized", True) and layer.keys is not None]

    def keep_cache(self) -> Kept:
        length = self._length
        if self._is_static:
            return length, [(layer.keys[:, :, :length].clone(), layer.values[:, :, :length].clone()) for layer in self._layers]
        return length, [(layer.keys, layer.values) for layer in self._layers]  # every step makes new ones

    def restore_cache(self, kept: Kept) -> None:
        length, pairs = kept
        if self._is_static:
            for layer, (keys, values) in zip(self._layers, pairs, strict=True):
                layer.keys[:, :, :length].copy_(keys)
                layer.values[:, :, :length].copy_(values)
            self._set_length(length)
            return
        if not pairs:
            self.empty_cache()
        for layer, (keys, values) in zip(self._layers, pairs, strict=False):
            layer.keys, layer.values = keys, values
        self._length = length
