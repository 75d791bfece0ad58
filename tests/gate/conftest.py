"""A repository to gate: this suite as it stands, and heads that each change one thing."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import checkouts

ROOT = Path(__file__).parents[2]
GIT = ("git", "-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")


@dataclass(frozen=True)
class Repository:
    """A repository with its working folder."""

    folder: Path

    def git(self, *arguments: str) -> str:
        return subprocess.run([*GIT, "-C", self.folder, *arguments], capture_output=True, text=True, check=True).stdout

    def commit(self, message: str, files: Mapping[str, str | bytes] | None = None) -> None:
        """Write these files, and commit everything that lies in the working folder."""
        for path, content in (files or {}).items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def branch(self, name: str, changes: dict[str, tuple[str, str]] | None = None, *, without: str | None = None) -> str:
        """Commit one change on a branch of its own: texts replaced by file, or a path removed."""
        self.git("switch", "--quiet", "--create", name, "main")
        for path, (old, new) in (changes or {}).items():
            file = self.folder / path
            text = file.read_text()
            assert old in text, f"{path} no longer contains {old!r}"
            file.write_text(text.replace(old, new))
        if without is not None:
            self.git("rm", "-r", "--quiet", without)
        self.git("commit", "--quiet", "--all", "--message", f"Change: {name}")
        self.git("switch", "--quiet", "main")
        return name

    @property
    def worktrees(self) -> list[str]:
        return self.git("worktree", "list").splitlines()


def committed(folder: Path, *versions: Mapping[str, str | bytes]) -> Repository:
    """Return a new repository with a commit for each version of its files."""
    made = Repository(folder)
    folder.mkdir(exist_ok=True)
    made.git("init", "--quiet", "--initial-branch", "main")
    for number, files in enumerate(versions, 1):
        made.commit(f"Version {number}", files)
    return made


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The suite's fixtures and reports in a repository of their own, uncommitted changes included."""
    folder = tmp_path_factory.mktemp("gated") / "repository"
    checkouts.copied(folder)
    made = committed(folder)
    made.commit("Everything <b>as it stands</b>", {".gitignore": "__pycache__/\n.cache/\n"})
    return made
