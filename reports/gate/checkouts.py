"""What a side is: a revision in a worktree of its own, or the working folder as it stands, with an interpreter."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reports.gate.benchmarks import GateError

SUITE = Path(__file__).resolve().parents[2]
Fixtures = Literal["its own", "the gate's, with its own workers", "the gate's"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """One side's code and interpreter. `commit` is empty for the working folder, whose `digest` stands for its content.

    `fixtures` says whose recipes, claims and workers the side runs.
    """

    side: Literal["base", "head"]
    revision: str
    commit: str
    subject: str
    digest: str
    folder: Path
    python: str
    fixtures: Fixtures

    @property
    def code_root(self) -> Path:
        """Where the side's own process starts."""
        return self.folder if self.fixtures == "its own" else SUITE

    @property
    def worker_root(self) -> Path | None:
        """The checkout whose workers run, where it is not the side's own process that decides."""
        return self.folder if self.fixtures == "the gate's, with its own workers" else None

    def conditions(self) -> dict[str, str]:
        """Return what a resumed gate must share with the one it goes on with."""
        return {"commit": self.commit, "digest": self.digest, "python": self.python}


@contextmanager
def checked_out(side: Literal["base", "head"], revision: str | None, python: str | None, folder: Path) -> Iterator[Checkout]:
    """Make the side's worktree in `folder`, and remove it at the end. Raises GateError for what does not exist."""
    interpreter = _interpreter(python)
    here = Path.cwd()
    if revision is None:
        yield _checkout(side, here, interpreter, revision="working folder", commit="", subject="uncommitted changes included")
        return
    top, prefix = _git(here, "rev-parse", "--show-toplevel"), _git(here, "rev-parse", "--show-prefix")
    commit = _git(here, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", missing=revision)
    subject = _git(here, "show", "--no-patch", "--format=%s", commit)
    _remove(Path(top), folder)
    _git(Path(top), "worktree", "add", "--detach", "--force", str(folder), commit)
    try:
        yield _checkout(side, folder / prefix, interpreter, revision=revision, commit=commit, subject=subject)
    finally:
        _remove(Path(top), folder)


def _checkout(side: Literal["base", "head"], folder: Path, python: str, *, revision: str, commit: str, subject: str) -> Checkout:
    fixtures: Fixtures = "the gate's"
    if (folder / "fixtures" / "side.py").is_file():
        fixtures = "its own"
    elif (folder / "fixtures" / "worker.py").is_file():
        fixtures = "the gate's, with its own workers"
    return Checkout(
        side=side,
        revision=revision,
        commit=commit,
        subject=subject,
        digest="" if commit else _digest(folder / "fixtures"),
        folder=folder,
        python=python,
        fixtures=fixtures,
    )


def _interpreter(python: str | None) -> str:
    """Return the absolute path of an interpreter or of an environment's; links stay, for they lead to the environment."""
    if python is None:
        return sys.executable
    named = Path(python).expanduser()
    if named.is_dir():
        named = named / "bin" / "python"
    found = shutil.which(str(named))
    if found is None:
        raise GateError(f"no Python interpreter at {python}: expected an executable or the folder of a virtual environment")
    return os.path.abspath(found)  # noqa: PTH100 - Path.resolve would follow the link out of the environment


def _digest(folder: Path) -> str:
    files = sorted(folder.rglob("*.py"))
    return hashlib.sha256(b"".join(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() for file in files)).hexdigest()[:16]


def _remove(repository: Path, folder: Path) -> None:
    """Remove a worktree, also one that a killed gate left."""
    shutil.rmtree(folder, ignore_errors=True)
    _git(repository, "worktree", "prune")


def _git(folder: Path, *arguments: str, missing: str | None = None) -> str:
    """Run git, without hooks and without what a hook around this gate would point it at; return what it prints. Raises GateError."""
    environment = {name: value for name, value in os.environ.items() if name not in {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}}
    try:
        ran = subprocess.run(  # noqa: S603 - git, with arguments that are no options
            ["git", "-c", "core.hooksPath=/dev/null", "-C", str(folder), *arguments],  # noqa: S607 - the git on PATH
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
        )
    except OSError as error:
        raise GateError(f"git cannot be run: {error.strerror}") from error
    if ran.returncode:
        if missing is not None:
            raise GateError(f"{missing!r} names no commit in {folder}; fetch it first (in CI: actions/checkout with fetch-depth: 0)")
        raise GateError(f"git {arguments[0]} failed in {folder}: {ran.stderr.strip() or f'status {ran.returncode}'}")
    return ran.stdout.strip("\n")
