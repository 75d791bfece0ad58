"""The fleet's scripts, run as the workflow would run them: runs of several machines merge, and are compared with the reference."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reports.saved.storage import Storage
from tests.reports.saved_runs import FINGERPRINT, ladder, save, saved_run

ROOT = Path(__file__).parent.parent


def script(name: str) -> str:
    """The script of the step whose name begins with `name`."""
    workflow: dict[str, Any] = YAML(typ="safe").load(ROOT / ".github/workflows/fleet.yml")
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    [found] = [step["run"] for step in steps if step.get("name", "").startswith(name)]
    return str(found)


def run(text: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)} | variables
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def machine(folder: Path, name: str, gain: float, **fingerprint: Any) -> None:
    """What one machine's job leaves: a run in pytest-benchmark's folder, which has the same name on all, moved to its own."""
    job = folder / f"job-{name}"
    save(job / ".benchmarks", 1, saved_run(ladder("baseline", "compile", gain=gain), fingerprint=FINGERPRINT | fingerprint))
    assert 0 == run(script("Name the saved runs"), job, MACHINE=name).returncode
    for file in (job / "fleet").rglob("*.json"):  # as the artifacts are merged
        target = folder / "fleet" / file.relative_to(job / "fleet")
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the jobs of two machines leave, merged."""
    folder = tmp_path_factory.mktemp("two")
    machine(folder, "x86", 1.2, architecture="x86_64", cpu_model="EPYC")
    machine(folder, "c8g", 1.5)
    return folder


def test_runs_of_all_machines_merge_into_one_storage(two: Path) -> None:
    """Each run keeps its machine's name, by which it is found."""
    storage = Storage(str(two / "fleet"))

    assert 2 == len(storage.shelf.runs)
    assert two / "fleet/c8g/0001_run.json" == storage.find("c8g/1")


def test_every_machine_is_compared_with_the_reference(two: Path, tmp_path: Path) -> None:
    """By speedups over the own baseline; a machine whose job failed is simply not there."""
    done = run(script("Compare each machine"), two, REFERENCE="x86", GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))
    summary = (tmp_path / "summary.md").read_text()

    assert (0, "") == (done.returncode, done.stderr)
    assert ["## c8g", "## x86"] == [line for line in summary.splitlines() if line.startswith("## ")]
    more = re.search(r"`?compile`? .*\|\s*\\?\+(2\d)\\?\.", summary.split("## x86")[0])
    assert more is not None, summary  # 1.5 / 1.2: what compile gives there more than on the reference


def test_run_that_cannot_be_read_fails_the_merge_and_hides_nothing(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "fleet/x86", tmp_path / "fleet/x86")
    (tmp_path / "fleet/c6g").mkdir()
    (tmp_path / "fleet/c6g/0001_x.json").write_text("{")
    done = run(script("Compare each machine"), tmp_path, REFERENCE="x86", GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))

    assert 2 == done.returncode
    assert "## x86" in (tmp_path / "summary.md").read_text()
