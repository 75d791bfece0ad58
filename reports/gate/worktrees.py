"""A worktree of the user's repository for as long as a gate needs it: locked while used, removed by name, no other one touched."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reports.gate.benchmarks import GateError
from reports.gate.git import GitError, git

REASON = "in use by a performance gate"
OURS = {f"locked {REASON}", "locked initializing"}  # git's own word while it fills a worktree: a gate was killed then
LOCK = "lock"


@contextmanager
def worktree(top: Path, folder: Path, commit: str) -> Iterator[None]:
    """Check `commit` out in `folder`. Raises GateError, also for a folder that holds something that no gate put there."""
    known = _locked(top)
    for each in known:
        if each == folder.resolve() or _is_free(each.parent / LOCK):
            _remove(top, each)
    if folder.exists() and any(folder.iterdir()):
        raise GateError(f"{folder} is in use, and no gate made it: name another --out, or remove it")
    try:
        git(top, "worktree", "add", "--quiet", "--detach", "--lock", "--reason", REASON, str(folder), commit)
        yield
    finally:
        _remove(top, folder)


def _remove(top: Path, folder: Path) -> None:
    with suppress(GitError):
        git(top, "worktree", "unlock", str(folder))
    with suppress(GitError):
        git(top, "worktree", "remove", "--force", str(folder))
    shutil.rmtree(folder, ignore_errors=True)


def _locked(top: Path) -> list[Path]:
    """Return the worktrees that gates have locked, those of killed gates included."""
    entries = [entry.splitlines() for entry in git(top, "worktree", "list", "--porcelain").split("\n\n")]
    return [Path(lines[0].removeprefix("worktree ")) for lines in entries if OURS & {*lines[1:]}]


def _is_free(lock: Path) -> bool:
    """Whether the gate that locked a worktree is gone: its lock file is here and nobody holds it. (Another container has its own files.)"""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
