"""What a deployment's check counts as a layer: the same as the suite does."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.protocol import kernels
from reports.deploy.emit import CARRIED, EMITTED, REPORTED_KERNELS, _carry, _kernels
from tests.protocol.test_kernels import AMX_CONVOLUTION, LSTM
from tests.reports.saved_runs import measurement

OF_ONNXRUNTIME = """
from runtime_onnxruntime import precision_share
def event(operator, took):
    return {"name": f"{operator}_kernel_time", "dur": took, "args": {"op_name": operator, "input_type_shape": [{"float": [50, 8, 40]}]}}
events = [event("LSTM", 6), event("DynamicQuantizeLSTM", 1), event("MatMulIntegerToFloat", 1), event("Softmax", 9)]
print(sorted(precision_share(events).items()))
"""
OF_ONEDNN = """
import os, sys
import onednn
print(sorted(onednn.precision_share(lambda: os.write(1, f"{sys.argv[1]}\\n".encode())).items()))
"""


def said(folder: Path, program: str, *arguments: str) -> str:
    """Return the last line that a program prints which imports a deployment's files."""
    for module in CARRIED:
        _carry(module, folder)
    _carry(kernels, folder, REPORTED_KERNELS)
    for name in ("deployed.py", "onednn.py", "runtime_onnxruntime.py"):
        shutil.copy(EMITTED / name, folder)
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_recurrent_layers_count_by_onnxruntimes_profile(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")

    assert "[('f32', 0.75), ('int8', 0.25)]" == said(tmp_path, OF_ONNXRUNTIME)


@pytest.mark.parametrize(
    ("line", "precision"),
    [(LSTM, "f32"), (LSTM.replace("_layer:f32", "_layer:bf16"), "bf16"), (AMX_CONVOLUTION, "bf16")],
    ids=["recurrent", "recurrent, which has a name of its own for what it reads", "fast math"],
)
def test_layers_count_by_onednns_lines(tmp_path: Path, line: str, precision: str) -> None:
    """As they do where recipes are measured: fast math in AMX kernels is bf16."""
    assert f"[('{precision}', 1.0)]" == said(tmp_path, OF_ONEDNN, line)


def kernel(operation: str, precision: str, time_s: float, count: int) -> dict[str, Any]:
    return {"operation": operation, "implementation": "any", "precision": precision, "time_s": time_s, "count": count}


def test_the_precision_of_layers_is_expected() -> None:
    """Not that of what takes longer beside them, which the check does not see; of generated text it is that of most products."""
    seen = [kernel("softmax", "f32", 9.0, 1), kernel("convolution", "int8", 3.0, 1), kernel("matmul", "f32", 1.0, 5)]
    text = {"phase": "decode", "tokens": 8, "new_tokens": 8}

    assert {"precision": "int8", "least_share": 0.375} == _kernels(measurement(kernels=seen))
    assert {"precision": "f32", "least_share": 0.5} == _kernels(measurement(kernels=seen, generation=text))
    assert _kernels(measurement(kernels=seen[:1])) is None
