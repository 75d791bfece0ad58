"""The repository that is gated: this suite, with branches whose models differ in their number of blocks, or in their weights."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.gate_quality.kinds import BLOCKS, Kind, branch
from benchmarks.gate_quality.record import StudyError
from fixtures.bench.launch import ROOT

MODEL = "synthetic:blocks"
NETWORK = Path(__file__).with_name("blocks.py")
SOURCES = "SOURCES = ("
AUTHOR = ("-c", "user.name=gate quality", "-c", "user.email=gate-quality@localhost", "-c", "commit.gpgsign=false")


def make(folder: Path, kinds: Sequence[Kind]) -> None:
    """Make the repository anew in `folder`, with a branch for each model of these kinds. Raises OSError and StudyError."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("fixtures", "reports"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("__pycache__/\n")
    _replace(folder / "fixtures" / "models" / "__init__.py", SOURCES, f'{SOURCES}"synthetic", ')
    source = folder / "fixtures" / "models" / "synthetic_models.py"
    shutil.copyfile(NETWORK, source)
    _git(folder, "init", "--quiet", "--initial-branch", branch(BLOCKS))
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", f"The suite and a model of {BLOCKS} blocks")
    for number in sorted({blocks for kind in kinds for blocks in (kind.base_blocks, kind.head_blocks)} - {BLOCKS}):
        _git(folder, "switch", "--quiet", "--create", branch(number), branch(BLOCKS))
        _replace(source, f"\nBLOCKS = {BLOCKS}\n", f"\nBLOCKS = {number}\n")
        _git(folder, "commit", "--quiet", "--all", "--message", f"{number} blocks")
    for number in sorted({kind.head_blocks for kind in kinds if kind.has_other_weights}):
        _git(folder, "switch", "--quiet", "--create", branch(number, other_weights=True), branch(number))
        _replace(source, "\nGAIN = 1.0\n", "\nGAIN = 1.01\n")
        _git(folder, "commit", "--quiet", "--all", "--message", f"{number} blocks with other weights")
    _git(folder, "switch", "--quiet", branch(BLOCKS))


def clean_environment() -> Mapping[str, str]:
    """Return this process's environment without what would lead git, Python or a report elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITHUB_", "PYTHON"))}


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if text.count(old) != 1:
        raise StudyError(f"{file.name} has {old!r} {text.count(old)} times, expected once: the study's repository cannot be made")
    file.write_text(text.replace(old, new))


def _git(folder: Path, *arguments: str) -> None:
    command = ["git", *AUTHOR, "-C", str(folder), *arguments]
    ran = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)  # noqa: S603 - the study's own
    if ran.returncode:
        raise StudyError(f"the study's repository cannot be made: git {arguments[0]}: {ran.stderr.strip()}")
