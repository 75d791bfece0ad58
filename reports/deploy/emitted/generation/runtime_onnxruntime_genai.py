# SPDX-License-Identifier: Apache-2.0
"""A step of decoding by ONNX Runtime GenAI, as it was measured: attention writes into a cache that has room for the whole context."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from greedy import Greedy
from runtime_onnxruntime import Session as Opened
from runtime_onnxruntime import precision_share

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # its own too
import onnxruntime_genai

PROFILE = "enable_profiling"  # how the name of a run's file begins, until it is "0"


class Session(Greedy, Opened):  # type: ignore[misc] # a file of the deployment, of which mypy knows nothing
    """A generator of one text, which takes tokens and gives logits; other tokens take its place where they lie."""

    def __init__(self, artifact: Path, deployment: dict[str, Any]) -> None:
        self._artifact, self._deployment = artifact, deployment
        self._threads: int = deployment["threads"]
        self._settings: dict[str, str] = deployment["settings"]
        config = onnxruntime_genai.Config(str(artifact))
        options = {"intra_op_num_threads": self._threads, "inter_op_num_threads": 1} | self._settings
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self._model = onnxruntime_genai.Model(config)
        search = onnxruntime_genai.GeneratorParams(self._model)
        search.set_search_options(max_length=deployment["context"], batch_size=1, do_sample=False)
        self._generator = onnxruntime_genai.Generator(self._model, search)

    def take(self, tokens: np.ndarray) -> np.ndarray:
        self._generator.append_tokens(np.ascontiguousarray(tokens, dtype=np.int32))
        logits: np.ndarray = self._generator.get_logits()
        return logits.reshape(1, -1)

    def empty_cache(self) -> None:
        self._generator.rewind_to(0)

    def keep_cache(self) -> np.ndarray:
        return self._taken_tokens().copy()

    def restore_cache(self, kept: np.ndarray) -> None:
        """Go back to these tokens where they lie; where others lie, take them anew."""
        if np.array_equal(self._taken_tokens()[: kept.size], kept):
            self._generator.rewind_to(kept.size)
            return
        self.empty_cache()
        self.take(kept[np.newaxis])

    def _taken_tokens(self) -> np.ndarray:
        return np.asarray(self._generator.get_sequence(0))

    def facts(self, placed: Any) -> dict[str, Any]:
        """Return what is in force, the kernels by the profile of one step."""
        with tempfile.TemporaryDirectory() as folder:
            self.restore(placed)
            self._generator.set_runtime_option(PROFILE, str(Path(folder, "profile")))
            self.run(placed)
            self._generator.set_runtime_option(PROFILE, "0")
            self.restore(placed)
            events = [event for file in sorted(Path(folder).iterdir()) for event in json.loads(file.read_text())]
        return {"settings": {}, "precision_share": precision_share(events)}
