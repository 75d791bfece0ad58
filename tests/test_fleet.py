"""The fleet's scripts, run as the workflow would run them: runs of several machines merge, and are compared with the reference."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fixtures.machine import this_machine
from reports.__main__ import main
from reports.saved.load import read_run
from reports.saved.record import Measurement, Run
from reports.saved.storage import Storage
from tests.conftest import LEAN
from tests.reports.html import Element, parse
from tests.reports.saved_runs import FINGERPRINT, ladder, save, saved_run

ROOT = Path(__file__).parent.parent
TINY = """
import torch
from torch import nn

def create():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    return nn.Sequential(*layers)
"""


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
    collect(folder, name)


def collect(folder: Path, name: str) -> None:
    """Name what a job has saved by its machine, and lay it beside the others' as the artifacts are merged."""
    job = folder / f"job-{name}"
    assert 0 == run(script("Name the saved runs"), job, MACHINE=name).returncode
    for file in (job / "fleet").rglob("*.json"):
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


def measure(folder: Path, name: str, cpus: Collection[int], environment: Mapping[str, str]) -> None:
    """Measure two steps of a tiny model as a job of the fleet does, on these CPUs and with these variables."""
    job = folder / f"job-{name}"
    job.mkdir()
    places = [f"--benchmark-storage=file://{job / '.benchmarks'}", f"--artifact-cache={folder / 'artifacts'}"]
    (folder / "tiny.py").write_text(TINY)
    small = [f"--model={folder / 'tiny.py'}:create", "--image-size=32", "--batch-size=2", "--pairs=1", "--no-peaks"]
    steps = ["--step=baseline", "--step=batch_2", "--benchmark-autosave"]
    code = f"import os, sys; os.sched_setaffinity(0, {sorted(cpus)}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    command = [sys.executable, "-c", code, "-m", "pytest", *LEAN, "benchmarks/", *small, *places, *steps]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout[-4000:]
    collect(folder, name)


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three machines, made of this one: of two CPUs, of one, and of two whose oneDNN knows SSE 4.1 only."""
    cpus = sorted(this_machine().allowed_cpus)[:2]
    if len(cpus) == 1:
        pytest.skip("one allowed CPU cannot be restricted -> allow two")
    if platform.machine() != "x86_64":
        pytest.skip("ONEDNN_MAX_CPU_ISA=SSE41 names an x86 instruction set -> run on x86")
    folder = tmp_path_factory.mktemp("restricted")
    measure(folder, "one", cpus[:1], {})
    measure(folder, "old", cpus, {"ONEDNN_MAX_CPU_ISA": "SSE41"})
    measure(folder, "two", cpus, {})
    return folder


@pytest.fixture(scope="module")
def page_of_three(restricted: Path) -> Element:
    """Their page, the run on two CPUs being in question."""
    out = restricted / "page.html"
    runs = ["one/1", "old/1", "two/1"]
    assert 0 == main(["page", *runs, "--out", str(out), "--storage", str(restricted / "fleet")])
    return parse(out.read_text())


def newest(folder: Path, name: str) -> Run[Measurement]:
    return read_run(Storage(str(folder / "fleet")).find(f"{name}/1"))


@pytest.mark.nightly
def test_the_restrictions_are_in_the_records(restricted: Path) -> None:
    """Otherwise the page would compare a machine with itself."""
    one, old, two = (newest(restricted, name) for name in ("one", "old", "two"))

    assert [1, 2, 2] == [run.fingerprint["vcpus"] for run in (one, old, two)]
    implementations = [{kernel.implementation for m in run.measurements for kernel in m.kernels} for run in (old, two)]
    assert any("sse41" in name for name in implementations[0])
    assert not any("avx" in name for name in implementations[0])
    assert any("avx" in name for name in implementations[1])


@pytest.mark.nightly
def test_runs_of_restricted_machines_merge_into_one_page(page_of_three: Element) -> None:
    """Each has its best recipe and its ladder, and the page is that of the run named last."""
    bests = page_of_three.one("table", class_="bests").all("tbody")

    assert 3 == len(bests)
    assert 3 == len(page_of_three.all("table", class_="ladder"))
    assert ["2 vCPUs", "2 vCPUs", "1 vCPUs"] == [re.findall(r"\d vCPUs", each.text)[0] for each in bests]
    assert page_of_three.one("h1").text.endswith("2 vCPUs")


@pytest.mark.nightly
def test_a_restricted_machine_is_another_one_and_a_restricted_library_is_told(page_of_three: Element) -> None:
    """Fewer CPUs are compared by speedups; the variable of one machine's run stands beside each of its figures."""
    against_one, old_against_one = page_of_three.one("section", id="comparisons").all("section")

    for section in (against_one, old_against_one):
        assert "Speedups over each run's own baseline" in section.text
        assert "vcpus went from 1 to 2" in section.text
    assert "ONEDNN_MAX_CPU_ISA" in old_against_one.text
    assert "ONEDNN_MAX_CPU_ISA" not in against_one.text
    machines = page_of_three.one("table", class_="machines")
    assert "differs: vcpus 1 2 2" in machines.text
