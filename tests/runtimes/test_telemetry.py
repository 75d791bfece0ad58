"""Nobody is told which models are measured or served: ONNX Runtime's builds for Linux would, from 1.29 on."""

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fixtures.bench.launch import ROOT
from reports.deploy.emit import EMITTED

SUPPRESSED_BY = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
SESSION_FILE = ".ses"  # which its uploader begins with, in the temporary folder
FIRST = (1, 29)


def begins_to_tell(folder: Path, program: str) -> bool:
    """Run a program that imports ONNX Runtime, where nothing else keeps it silent; return whether the uploader began."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed -> pip install onnxruntime")
    machine = ROOT / "fixtures" / "machine"
    for file in (EMITTED / "runtime_onnxruntime.py", EMITTED / "deployed.py", machine / "cpus.py", machine / "memory.py"):
        shutil.copy(file, folder)
    temporary = folder / "temporary"
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in SUPPRESSED_BY}
    environment |= {"TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, timeout=120, check=True)
    return (temporary / SESSION_FILE).exists()


@pytest.mark.parametrize(
    "program",
    ["import fixtures.runtimes.onnxruntime, onnxruntime", "import runtime_onnxruntime"],
    ids=["what is measured", "what is emitted"],
)
def test_the_uploader_does_not_begin(tmp_path: Path, program: str) -> None:
    assert not begins_to_tell(tmp_path, program)


def test_without_the_setting_it_does(tmp_path: Path) -> None:
    """So that the file above tells something."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed -> pip install onnxruntime")
    if tuple(map(int, version("onnxruntime").split(".")[:2])) < FIRST or platform.machine() != "x86_64":
        pytest.skip("it was seen of onnxruntime 1.29 and newer for x86_64 only -> run this test there")

    assert begins_to_tell(tmp_path, "import onnxruntime")
