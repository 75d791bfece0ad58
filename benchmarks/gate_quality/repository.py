"""The repository that is gated: this suite as it stands, with branches whose models differ in their number of blocks."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.gate_quality import blocks as model
from benchmarks.gate_quality.kinds import branch
from fixtures.launch import ROOT

MODEL = "synthetic:blocks"
SOURCES = "SOURCES = {"
AUTHOR = ("-c", "user.name=gate quality", "-c", "user.email=gate-quality@localhost", "-c", "commit.gpgsign=false")


def make(folder: Path, blocks: Iterable[int]) -> None:
    """Make the repository anew in `folder`, a branch for each number of blocks. Raises OSError and CalledProcessError."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("fixtures", "reports"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("__pycache__/\n")
    _replace(folder / "fixtures" / "models" / "__init__.py", SOURCES, f'{SOURCES}"synthetic": "torch", ')
    source = folder / "fixtures" / "models" / "synthetic_models.py"
    shutil.copyfile(model.__file__, source)
    _git(folder, "init", "--quiet", "--initial-branch", branch(model.BLOCKS))
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", f"The suite and a model of {model.BLOCKS} blocks")
    for number in sorted({*blocks} - {model.BLOCKS}):
        _git(folder, "switch", "--quiet", "--create", branch(number), branch(model.BLOCKS))
        _replace(source, f"\nBLOCKS = {model.BLOCKS}\n", f"\nBLOCKS = {number}\n")
        _git(folder, "commit", "--quiet", "--all", "--message", f"{number} blocks")
    _git(folder, "switch", "--quiet", branch(model.BLOCKS))


def clean_environment() -> Mapping[str, str]:
    """Return this process's environment without what would lead git, Python or a report elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITHUB_", "PYTHON"))}


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if text.count(old) != 1:
        raise ValueError(f"{file.name} has {old!r} {text.count(old)} times, expected once: the study's repository cannot be made")
    file.write_text(text.replace(old, new))


def _git(folder: Path, *arguments: str) -> None:
    command = ["git", *AUTHOR, "-C", str(folder), *arguments]
    subprocess.run(command, env=clean_environment(), check=True)  # noqa: S603 - git, with the study's own arguments
