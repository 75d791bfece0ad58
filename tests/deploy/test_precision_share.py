"""What a deployment's check counts as a layer: the same as the suite does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.protocol import kernels
from reports.deploy.emit import CARRIED, EMITTED, REPORTED_KERNELS, _carry
from tests.protocol.test_kernels import AMX_CONVOLUTION, LSTM

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
