"""What a deployment's check takes for work of its threads."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reports.deploy.emit import CARRIED, EMITTED, _carry
from tests.conftest import skip_unless_met

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

MODEL = """
import sys
import onnx
helper, types = onnx.helper, onnx.TensorProto
shaped = [helper.make_tensor_value_info(name, types.FLOAT, [1, 64, 56, 56]) for name in "xy"]
node = helper.make_node("CumSum", ["x", "axis"], ["y"])
graph = helper.make_graph([node], "g", shaped[:1], shaped[1:], [helper.make_tensor("axis", types.INT64, [], [3])])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), sys.argv[1])
"""
LOOK = """
import sys
from pathlib import Path
import numpy as np
from runtime_onnxruntime import Session
from thread_work import watch
session = Session(Path(sys.argv[1]), {"threads": 2, "transforms": [], "settings": {}}).without_spinning()
placed = session.place((np.ones((1, 64, 56, 56), np.float32),))
work = watch(lambda: session.run(placed), 2, least_s=0.1)
print(work.working, work.judge(2)[0])
"""


def test_a_thread_that_only_spins_has_not_worked_in_a_deployment(tmp_path: Path) -> None:
    """A running sum is one thread's: the other one, which spins beside it, is none that computes."""
    skip_unless_met("workers_pinned")
    subprocess.run([sys.executable, "-c", MODEL, str(tmp_path / "model.onnx")], check=True)
    for module in CARRIED:
        _carry(module, tmp_path)
    for name in ("deployed.py", "runtime_onnxruntime.py"):
        shutil.copy(EMITTED / name, tmp_path)
    done = subprocess.run([sys.executable, "-c", LOOK, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (0, "1 False\n") == (done.returncode, done.stdout), done.stderr
