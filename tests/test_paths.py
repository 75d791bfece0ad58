"""Checkouts, temporary folders and caches in places with spaces, quotes and letters beyond ASCII: real builds of every compiler."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fixtures.bench.launch import ROOT
from fixtures.machine import own_folder
from tests import checkouts
from tests.conftest import skip_unless_met

AWKWARD = 'Meine "Größe" o\'clock'
STEPS = ("compile_freezing", "aot_inductor", "onnxruntime", "openvino_fp32")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what measures, in a folder whose path has a space, both quotes and a letter beyond ASCII."""
    folder = tmp_path / AWKWARD / "ladder"
    checkouts.copied(folder, "benchmarks")
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, folder)
    return folder


def measure(checkout: Path, *options: str) -> tuple[int, str]:
    """Run the steps there, with a temporary folder as awkward and longer than a socket's address may be."""
    temporary = checkout.parent / ("temporary " * 12) / "'ö'"
    temporary.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | {"TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "pytest", "benchmarks/", "--model=torchvision:resnet18", "--image-size=64", "--pairs=1"]
    command += ["--no-peaks", "--benchmark-autosave", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, check=False
    )
    return done.returncode, done.stdout


@pytest.mark.nightly
def test_compilers_build_below_awkward_paths(checkout: Path, tmp_path: Path) -> None:
    """Only the cache has no space and no quote, which torch's compile commands do not bear; all steps are measured and saved."""
    for step in STEPS:
        skip_unless_met(step)
    wanted = [word for step in ("baseline", *STEPS) for word in ("--step", step)]

    code, output = measure(checkout, f"--artifact-cache={tmp_path / 'Größe'}", *wanted)

    assert (0, True) == (code, re.search(rf"\b{len(STEPS) + 1} passed", output) is not None), output
    assert [] == list(checkout.glob("temporary *"))
    assert 1 == len(list((checkout / ".benchmarks").rglob("0001_*.json")))


@pytest.mark.nightly
def test_a_cache_that_torch_would_take_apart_is_refused_with_the_remedy(checkout: Path) -> None:
    """The default one of a checkout in such a folder, before anything is built."""
    code, output = measure(checkout, "--step", "baseline")

    assert code != 0
    assert "has a space, quote or backslash in its path" in output
    assert "name another folder with --artifact-cache, for example" in output
    assert not (checkout / ".cache").exists()


def test_inductor_leaves_a_temporary_folder_that_torch_would_take_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch preprocesses headers there, by a command whose words are split at spaces; a folder without one stays."""
    awkward, usual, other = tmp_path / AWKWARD, tmp_path / "usual", tmp_path / "other"
    for folder in (awkward, usual, other):
        folder.mkdir()
    monkeypatch.setattr(own_folder, "USUAL_TEMPORARY", (str(tmp_path / "missing"), str(other)))
    left = []
    for folder in (usual, awkward):
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        own_folder.leave_a_temporary_folder_that_is_taken_apart()
        left.append(tempfile.gettempdir())

    assert [str(usual), str(other)] == left


def test_without_another_temporary_folder_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_folder, "USUAL_TEMPORARY", (str(tmp_path / "missing"),))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / AWKWARD))

    with pytest.raises(RuntimeError, match=r"has a space, quote or backslash .* name another temporary folder \(TMPDIR=DIR\)"):
        own_folder.leave_a_temporary_folder_that_is_taken_apart()
