"""What a deployment's check makes of what its workers tell."""

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
from fixtures.protocol import ModelSpec
from fixtures.runtimes.openvino import READ_BACK
from reports.deploy.emit import CARRIED, EMITTED, _carry, _write_sample
from reports.text.image_shape import square
from tests.benches import job_of
from tests.deploy.test_serve_text import TEMPLATE, TOKENIZER

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
SQNR = "import check, numpy as np; print(check._sqnr_db(np.array([[1.01]]), np.array([[1.0]])))"
LOOK = "import check, json; print(json.dumps(check._look_at_tokenizer()))"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the check, with a model that cannot be loaded and says so at length."""
    for module in CARRIED:
        _carry(module, tmp_path)
    for name in ("deployed.py", "check.py"):
        shutil.copy(EMITTED / name, tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "deployment.json").write_text(json.dumps({"model": "m", "step": "s", "run": "1", "machine": "x", "workers": 1}))
    return tmp_path


def examined(folder: Path, name: str, deployment: dict[str, Any], *seen: dict[str, Any]) -> list[list[Any]]:
    """What one of the checks finds: name, whether it holds, and what was seen."""
    command = [sys.executable, "-c", EXAMINE, name, json.dumps(deployment), json.dumps(seen)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    found: list[list[Any]] = json.loads(done.stdout)
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
    """That of 1 and 3 is 1. A sample near their mean would have hardly any, and right outputs would seem wrong."""
    reference = Reference(outputs={"output": np.array([[1.0], [3.0]], np.float32)}, inputs=None)
    _write_sample(job_of(ModelSpec(name="timm:any", image=square(8)), runtime="eager"), reference, folder / "sample.npz")

    done = subprocess.run([sys.executable, "-c", SQNR], cwd=folder, capture_output=True, text=True, timeout=60, check=True)

    assert 40.0 == pytest.approx(float(done.stdout))


def test_the_tokenizer_and_its_template_are_loaded(folder: Path) -> None:
    """A server that cannot load them ends when it starts."""
    pytest.importorskip("tokenizers", reason="tokenizers is not installed -> pip install tokenizers")
    for name in ("texts", "chat_template", "openai_protocol"):
        shutil.copy(EMITTED / "generation" / f"{name}.py", folder)

    def seen(chat: str | None = None) -> Any:
        if chat is not None:
            (folder / "tokenizer" / "chat.json").write_text(json.dumps({"template": chat, "special": {}}))
        done = subprocess.run([sys.executable, "-c", LOOK], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    assert seen() is None
    (folder / "tokenizer").mkdir()
    subprocess.run([sys.executable, "-c", TOKENIZER, str(folder / "tokenizer" / "tokenizer.json")], check=True, timeout=60)
    assert [True, "takes texts"] == seen()
    assert [True, "takes texts and chats"] == seen(TEMPLATE)
    holds, said = broken = seen("{% nonsense %}")
    assert (False, True) == (holds, said.startswith("TemplateSyntaxError: Encountered unknown tag 'nonsense'")), said
    whole = {"tokenizer": [True, "takes texts"]}
    assert [["tokenizer", False, said]] == examined(folder, "_tokenizer", {}, whole, {"tokenizer": broken})
    assert [] == examined(folder, "_tokenizer", {}, {"tokenizer": None})


def test_a_deployment_reads_back_what_the_suite_recorded() -> None:
    """What it does not read is not in force."""
    code = ast.parse((EMITTED / "runtime_openvino.py").read_text())
    [own] = [node.value for node in code.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "READ_BACK"]

    assert set(READ_BACK) <= set(ast.literal_eval(own))
