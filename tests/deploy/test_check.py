"""What a deployment's check makes of what its workers tell, and what they look at."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.bench.rig import Reference
from fixtures.protocol import ModelSpec, kernels
from fixtures.runtimes.openvino import READ_BACK
from reports.deploy.emit import CARRIED, EMITTED, REPORTED_KERNELS, _carry, _kernels, _write_sample
from reports.text.image_shape import square
from tests.benches import job_of
from tests.conftest import skip_unless_met
from tests.deploy.test_serve_text import TEMPLATE, TOKENIZER
from tests.protocol.test_kernels import AMX_CONVOLUTION, LSTM
from tests.reports.saved_runs import measurement

MODEL = """
import sys
Model = sample = None
def load():
    sys.stderr.write("a warning\\n" * 30_000)
    raise RuntimeError("no kernel for this")
"""
EXAMINE = """
import json, sys
import check
examine, deployment, seen = getattr(check, sys.argv[1]), *map(json.loads, sys.argv[2:])
print(json.dumps([[each.name, each.holds, each.seen] for each in examine(deployment, seen)]))
"""
SQNR = """
import sys
from types import SimpleNamespace
import check, numpy as np
first, second = ([[float(each)]] for each in sys.argv[1:])
model = SimpleNamespace(batch_size=1, infer=lambda images: np.array(second))
print(check._sqnr_db(model, np.array(first), np.array([[1.0]])))
"""
LOOK = "import check, json; print(json.dumps(check._look_at_tokenizer()))"
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
RUNNING_SUM = """
import sys
import onnx
helper, types = onnx.helper, onnx.TensorProto
shaped = [helper.make_tensor_value_info(name, types.FLOAT, [1, 64, 56, 56]) for name in "xy"]
node = helper.make_node("CumSum", ["x", "axis"], ["y"])
graph = helper.make_graph([node], "g", shaped[:1], shaped[1:], [helper.make_tensor("axis", types.INT64, [], [3])])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), sys.argv[1])
"""
WATCH = """
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
ARCHITECTURE = """
import torch
class Dict(torch.nn.Linear):
    def forward(self, images):
        return {"nothing": None, "outputs": (super().forward(images), images)}
def create(_described):
    return Dict(2, 3)
"""
OPENED = """
from pathlib import Path
import numpy as np
import safetensors.torch, torch
from architecture import create
from runtime_torch import Session
safetensors.torch.save_file(create(None).state_dict(), "weights.safetensors")
deployment = {"transforms": [], "runtime": "eager", "threads": 1, "architecture": None}
session = Session(Path(), deployment)
outputs = session.run(session.place((np.ones((1, 2), np.float32),)))
Session(Path(), deployment | {"runtime": "inductor"})
print(outputs.shape, torch.backends.mha.get_fastpath_enabled())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the check, with a model that cannot be loaded and says so at length."""
    for module in CARRIED:
        _carry(module, tmp_path)
    _carry(kernels, tmp_path, REPORTED_KERNELS)
    for name in ("deployed.py", "check.py", "onednn.py", "runtime_onnxruntime.py"):
        shutil.copy(EMITTED / name, tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "deployment.json").write_text(json.dumps({"model": "m", "step": "s", "run": "1", "machine": "x", "workers": 1}))
    return tmp_path


def said(folder: Path, program: str, *arguments: str) -> str:
    """Return the last line that a program prints which imports a deployment's files."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def examined(folder: Path, name: str, deployment: dict[str, Any], *seen: dict[str, Any]) -> list[list[Any]]:
    """What one of the checks finds: name, whether it holds, and what was seen."""
    found: list[list[Any]] = json.loads(said(folder, EXAMINE, name, json.dumps(deployment), json.dumps(seen)))
    return found


def test_a_worker_that_writes_much_is_told_by_its_last_line(folder: Path) -> None:
    """More than a pipe holds: a worker would wait for a reader for ever."""
    done = subprocess.run([sys.executable, str(folder / "check.py")], capture_output=True, text=True, timeout=60, check=False)

    assert (1, "") == (done.returncode, done.stderr)
    assert "NOT IN FORCE worker: worker 0 ended with status 1: RuntimeError: no kernel for this" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("second", "holds", "seen"),
    [
        ({"STREAMS": "1"}, True, "1"),
        ({"STREAMS": "2"}, False, "2, measured with 1"),
        ({}, False, "not told, measured with 1"),
    ],
)
def test_a_setting_is_in_force_where_every_worker_tells_it(folder: Path, second: dict[str, str], holds: bool, seen: str) -> None:
    found = examined(folder, "_settings", {"settings_in_force": {"STREAMS": "1"}}, {"settings": {"STREAMS": "1"}}, {"settings": second})

    assert [["STREAMS", holds, seen]] == found


def test_versions_and_kernels_are_those_of_every_worker(folder: Path) -> None:
    """What is shown is of a worker for which they are others."""
    first = {"versions": {"numpy": "2"}, "precision_share": {"int8": 1.0}}
    wanted = {"versions": {"numpy": "2"}, "kernels": {"precision": "int8", "least_share": 0.5}}

    assert [["versions", True, "numpy 2"]] == examined(folder, "_versions", wanted, first, first)
    other = [examined(folder, "_versions", wanted, first, first | {"versions": versions}) for versions in ({"numpy": "3"}, {})]
    assert [[["versions", False, f"numpy {found}, measured with 2"]] for found in ("3", "missing")] == other
    seen = "f32 75%, int8 25%; at least 50% int8 is expected"
    last = first | {"precision_share": {"f32": 0.75, "int8": 0.25}}
    assert [["kernels", False, seen]] == examined(folder, "_kernels", wanted, first, last)


def test_one_sample_is_held_against_the_power_of_all(folder: Path) -> None:
    """That of 1 and 3 is 1. A sample near their mean would have hardly any, and right outputs would seem wrong; a constant has no dB."""
    reference = Reference(outputs={"output": np.array([[1.0], [3.0]], np.float32)}, inputs=None)
    _write_sample(job_of(ModelSpec(name="timm:any", image=square(8)), runtime="eager"), reference, folder / "sample.npz")

    assert 40.0 == pytest.approx(float(said(folder, SQNR, "1.01", "3.01")))
    assert 0.0 == pytest.approx(float(said(folder, SQNR, "2", "2")))


def test_the_tokenizer_and_its_template_are_loaded(folder: Path) -> None:
    """A server that cannot load them ends when it starts."""
    pytest.importorskip("tokenizers", reason="tokenizers is not installed -> pip install tokenizers")
    for name in ("texts", "chat_template", "openai_protocol"):
        shutil.copy(EMITTED / "generation" / f"{name}.py", folder)

    def seen(chat: str | None = None) -> Any:
        if chat is not None:
            (folder / "tokenizer" / "chat.json").write_text(json.dumps({"template": chat, "special": {}}))
        return json.loads(said(folder, LOOK))

    assert seen() is None
    (folder / "tokenizer").mkdir()
    subprocess.run([sys.executable, "-c", TOKENIZER, str(folder / "tokenizer" / "tokenizer.json")], check=True, timeout=60)
    assert [True, "takes texts"] == seen()
    assert [True, "takes texts and chats"] == seen(TEMPLATE)
    holds, why = broken = seen("{% nonsense %}")
    assert (False, True) == (holds, why.startswith("TemplateSyntaxError: Encountered unknown tag 'nonsense'")), why
    whole = {"tokenizer": [True, "takes texts"]}
    assert [["tokenizer", False, why]] == examined(folder, "_tokenizer", {}, whole, {"tokenizer": broken})
    assert [] == examined(folder, "_tokenizer", {}, {"tokenizer": None})


def test_a_deployment_reads_back_what_the_suite_recorded() -> None:
    """What it does not read is not in force."""
    code = ast.parse((EMITTED / "runtime_openvino.py").read_text())
    [own] = [node.value for node in code.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "READ_BACK"]

    assert set(READ_BACK) <= set(ast.literal_eval(own))


def test_recurrent_layers_count_by_onnxruntimes_profile(folder: Path) -> None:
    pytest.importorskip("onnxruntime")

    assert "[('f32', 0.75), ('int8', 0.25)]" == said(folder, OF_ONNXRUNTIME)


@pytest.mark.parametrize(
    ("line", "precision"),
    [(LSTM, "f32"), (LSTM.replace("_layer:f32", "_layer:bf16"), "bf16"), (AMX_CONVOLUTION, "bf16")],
    ids=["recurrent", "recurrent, which has a name of its own for what it reads", "fast math"],
)
def test_layers_count_by_onednns_lines(folder: Path, line: str, precision: str) -> None:
    """As they do where recipes are measured: fast math in AMX kernels is bf16."""
    assert f"[('{precision}', 1.0)]" == said(folder, OF_ONEDNN, line)


def kernel(operation: str, precision: str, time_s: float, count: int) -> dict[str, Any]:
    return {"operation": operation, "implementation": "any", "precision": precision, "time_s": time_s, "count": count}


def test_the_precision_of_layers_is_expected() -> None:
    """Not that of what takes longer beside them, which the check does not see; of generated text it is that of most products."""
    seen = [kernel("softmax", "f32", 9.0, 1), kernel("convolution", "int8", 3.0, 1), kernel("matmul", "f32", 1.0, 5)]
    text = {"phase": "decode", "tokens": 8, "new_tokens": 8}

    assert {"precision": "int8", "least_share": 0.375} == _kernels(measurement(kernels=seen))
    assert {"precision": "f32", "least_share": 0.5} == _kernels(measurement(kernels=seen, generation=text))
    assert _kernels(measurement(kernels=seen[:1])) is None


def test_a_thread_that_only_spins_has_not_worked(folder: Path) -> None:
    """A running sum is one thread's: the other one, which spins beside it, is none that computes."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    skip_unless_met("workers_pinned")
    subprocess.run([sys.executable, "-c", RUNNING_SUM, str(folder / "model.onnx")], check=True)

    assert "1 False" == said(folder, WATCH, str(folder))


@pytest.mark.slow
def test_a_model_of_pytorch_is_served_as_it_was_measured(folder: Path) -> None:
    """By the first tensor of its output; compiled without attention in one operator, which would be neither frozen nor packed."""
    for name in ("runtime_torch.py", "tensors.py"):
        shutil.copy(EMITTED / name, folder)
    (folder / "architecture.py").write_text(ARCHITECTURE)

    assert "(1, 3) False" == said(folder, OPENED)
