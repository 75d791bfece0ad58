"""What a side is: a revision in a worktree of its own, or the working folder as it stands, with an interpreter."""

import hashlib
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from reports.gate.benchmarks import GateError
from reports.gate.git import GitError, git, top_of
from reports.gate.local_objects import fill
from reports.gate.worktrees import worktree

SUITE = Path(__file__).resolve().parents[2]
Fixtures = Literal["its own", "the gate's, with its own workers", "the gate's"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """One side's code and interpreter. `commit` is empty for the working folder.

    `digest` is of the fixtures that no commit tells: the working folder's, and the gate's where these serve. `fixtures` says whose recipes,
    claims and workers the side runs. `top` is the top of the side's worktree and `repository` that of the user's, both None outside git;
    `folder` is where the side's relative paths start. `sources` are the folders in which its packages lie, `notes` what a reader must know
    of how it was checked out, `packages` the packages installed there by requirements.
    """

    side: Literal["base", "head"]
    revision: str
    commit: str
    subject: str
    digest: str
    folder: Path
    python: str
    fixtures: Fixtures
    top: Path | None = None
    repository: Path | None = None
    sources: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def code_root(self) -> Path:
        """Where the side's own process starts."""
        return self.folder if self.fixtures == "its own" else SUITE

    @property
    def worker_root(self) -> Path | None:
        """The checkout whose workers run, where it is not the side's own process that decides."""
        return self.folder if self.fixtures == "the gate's, with its own workers" else None

    @property
    def digest_now(self) -> str:
        """What `digest` would be by now."""
        return _uncommitted(self.folder, self.commit, self.fixtures)

    def own(self, path: Path) -> Path:
        """Return the side's own version of an absolute path of the user's repository, and any other path as it is."""
        if self.top is not None and self.repository is not None:
            for each in (path, path.resolve()):
                if each.is_relative_to(self.repository):
                    return self.top / each.relative_to(self.repository)
        return path

    def module_path(self, inherited: str | None) -> str:
        """Return the side's PYTHONPATH: its own folders, before the inherited ones, of which it has its own versions."""
        kept = [str(self.own(Path(entry).absolute())) for entry in (inherited or "").split(os.pathsep) if entry]
        return os.pathsep.join(dict.fromkeys([*map(str, self.sources), *kept]))


@contextmanager
def checked_out(
    side: Literal["base", "head"], revision: str | None, python: str | None, folder: Path, sources: Sequence[str] = ()
) -> Iterator[Checkout]:
    """Make the side's worktree in `folder`, and remove it at the end. Raises GateError for what does not exist."""
    interpreter = _interpreter(python)
    here = Path.cwd()
    top = top_of(here)
    if revision is None:
        made = _checkout(side, here, interpreter, top, revision="working folder", commit="", subject="uncommitted changes included")
        yield replace(made, top=top, sources=source_folders(here, sources))
        return
    if top is None:
        git(here, "rev-parse", "--show-toplevel")  # raises with git's own reason
        raise GateError(
            f"{here} is in no working folder of git: start the gate in one, or name two environments with --base-python and --head-python"
        )
    prefix = git(here, "rev-parse", "--show-prefix")
    try:
        commit = git(here, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except GitError as error:
        raise GateError(f"{revision!r} names no commit in {here}; fetch it first (in CI: actions/checkout with fetch-depth: 0)") from error
    subject = git(here, "show", "--no-patch", "--format=%s", commit)
    with worktree(top, folder, commit):
        missing = fill(folder, top)
        made = _checkout(side, folder / prefix, interpreter, top, revision=revision, commit=commit, subject=subject)
        yield replace(made, top=folder, sources=source_folders(folder / prefix, sources), notes=tuple(missing))


def source_folders(folder: Path, named: Sequence[str]) -> tuple[Path, ...]:
    """Return the folders in which a checkout's packages lie: those named, else those that its layout tells, then `folder` itself.

    Raises GateError for a named folder that no side could have.
    """
    for name in named:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise GateError(f"--source {name}: expected a folder of the repository, relative to where the gate is started, such as src")
    found = [folder / name for name in named or _told_by_layout(folder)]
    return (*found, folder)


def _told_by_layout(folder: Path) -> list[str]:
    names: list[object] = []
    try:
        setuptools = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["setuptools"]
        names.append(setuptools.get("package-dir", {}).get("", ""))
        names += setuptools.get("packages", {}).get("find", {}).get("where", [])
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        pass  # no such file, or one of another build backend
    source = folder / "src"
    if source.is_dir() and not (source / "__init__.py").exists():
        names.append("src")
    told = dict.fromkeys(name for name in names if isinstance(name, str))  # whoever wrote the file may have meant anything
    return [name for name in told if name and name != "." and (folder / name).is_dir()]


def _checkout(
    side: Literal["base", "head"], folder: Path, python: str, repository: Path | None, *, revision: str, commit: str, subject: str
) -> Checkout:
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
        digest=_uncommitted(folder, commit, fixtures),
        folder=folder,
        python=python,
        fixtures=fixtures,
        repository=repository,
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


def _uncommitted(folder: Path, commit: str, fixtures: Fixtures) -> str:
    code = ([] if commit else [folder / "fixtures"]) + ([] if fixtures == "its own" else [SUITE / "fixtures"])
    return "".join(map(_digest, code))


def _digest(folder: Path) -> str:
    files = sorted(folder.rglob("*.py"))
    return hashlib.sha256(b"".join(os.fsencode(f"{file.relative_to(folder)}\0") + file.read_bytes() for file in files)).hexdigest()[:16]
