# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on its CPU provider, as it was measured."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from deployed import Untold

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it tells its maker which models are run; read when it is imported
import onnxruntime

ERRORS_ONLY = 3
SPINNING = "session.intra_op.allow_spinning"
INT8_SETTINGS = {"optimization.disable_specified_optimizers": "MatMulAddFusion"}
RECURRENT = {"LSTM", "DynamicQuantizeLSTM", "GRU", "RNN"}
QUANTIZED_IN_CALL = {"DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
PRECISIONS = {"uint8": "int8", "int8": "int8", "bfloat16": "bf16", "float16": "f16", "float": "f32"}


class Session(Untold):  # type: ignore[misc] # a file of the deployment, of which mypy knows nothing
    """An InferenceSession."""

    def __init__(self, artifact: Path, deployment: dict[str, Any]) -> None:
        self._artifact = artifact
        self._deployment = deployment
        self._threads: int = deployment["threads"]
        self._settings: dict[str, str] = (INT8_SETTINGS if "int8" in deployment["transforms"] else {}) | deployment["settings"]
        onnxruntime.set_default_logger_severity(ERRORS_ONLY)
        self._session = self._open("model.onnx", None)
        self._inputs = [node.name for node in self._session.get_inputs()]

    def _open(self, file: str, profile: str | None) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = ERRORS_ONLY
        for key, value in self._settings.items():
            options.add_session_config_entry(key, value)
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        return onnxruntime.InferenceSession(str(self._artifact / file), options, providers=["CPUExecutionProvider"])

    def without_spinning(self) -> "Session":
        """Return the model in a second session, whose threads sleep while they wait: spinning is CPU time too, and no work."""
        return type(self)(self._artifact, self._deployment | {"settings": self._settings | {SPINNING: "0"}})

    def place(self, inputs: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
        return dict(zip(self._inputs, map(np.ascontiguousarray, inputs), strict=True))

    def run(self, placed: dict[str, np.ndarray]) -> np.ndarray:
        output: np.ndarray = self._session.run(None, placed)[0]
        return output.astype(np.float32, copy=False)

    def facts(self, placed: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return what is in force, the kernels by the profile of a second session."""
        with tempfile.TemporaryDirectory() as folder:
            serving, self._session = self._session, self._open("model.onnx", str(Path(folder, "profile")))
            try:
                self.run(placed)
                events = json.loads(Path(self._session.end_profiling()).read_text())
            finally:
                self._session = serving
        options = self._session.get_session_options()
        return {
            "settings": {key: options.get_session_config_entry(key) for key in self._settings},
            "precision_share": precision_share(events),
        }

    def large_product(self, _side: int) -> Callable[[], object]:
        """Return a product in a second session with the options of the first, its threads its own."""
        session = self._open("product.onnx", None)
        [matrix] = session.get_inputs()
        feed = {matrix.name: np.ones(matrix.shape, np.float32)}
        return lambda: session.run(None, feed)


def precision_share(events: list[dict[str, Any]]) -> dict[str, float]:
    """Return the share of each precision in the time of a profile's products, convolutions and recurrent layers."""
    time_of: dict[str, float] = {}
    for event in events:
        name = event.get("args", {}).get("op_name", "")
        is_heavy = name in RECURRENT or any(part in name for part in ("Conv", "MatMul", "Gemm"))
        if event["name"].endswith("_kernel_time") and is_heavy:
            precision = _precision(name, event["args"].get("input_type_shape") or [])
            time_of[precision] = time_of.get(precision, 0.0) + event["dur"]
    total = sum(time_of.values()) or 1.0
    return {name: value / total for name, value in time_of.items()}


def _precision(name: str, types: list[dict[str, Any]]) -> str:
    if name == "MatMulNBits":
        return "int4"
    if "Integer" in name or name in QUANTIZED_IN_CALL:
        return "int8"
    kinds = [kind for tensor in types for kind in tensor]
    return PRECISIONS.get(kinds[0], kinds[0]) if kinds else "f32"
