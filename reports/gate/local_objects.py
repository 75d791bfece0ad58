"""Fills a worktree with what git leaves out of it, submodules and LFS files, from the clone that is here. Asks no server.

What the clone does not hold is returned as a sentence: many a model needs none of it, and where one does, its failure names the file.
"""

import re
import shutil
from pathlib import Path

from reports.gate.git import GitError, git, listed

POINTER = re.compile(rb"version https://git-lfs[^\n]*\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\n")
LONGEST_POINTER = 1024


def fill(worktree: Path, source: Path) -> list[str]:
    """Check out submodules and LFS files of `worktree`, each at its commit, from the working folder `source`; return what is missing.

    Raises GitError.
    """
    missing = _fill_lfs(worktree, source)
    for path, commit in _submodules(worktree):
        missing += _fill_submodule(worktree, source, path, commit)
    return missing


def _submodules(worktree: Path) -> list[tuple[str, str]]:
    entries = [entry.partition("\t") for entry in listed(worktree, "ls-files", "-z", "--stage")]
    return [(path, found.split()[1]) for found, _, path in entries if found.startswith("160000 ")]


def _fill_submodule(worktree: Path, source: Path, path: str, commit: str) -> list[str]:
    try:
        if Path(git(source / path, "rev-parse", "--show-toplevel")).resolve() != (source / path).resolve():
            raise GitError("the folder is not a submodule's")  # git answered for the repository around an empty folder
        kept = git(source / path, "rev-parse", "--path-format=absolute", "--git-common-dir")
    except GitError:
        return [f"submodule {path} is not checked out in {source}, so no side has it; git submodule update --init {path} brings it"]
    try:
        git(Path(kept), "cat-file", "-e", f"{commit}^{{commit}}")
    except GitError:
        return [f"submodule {path}: its commit {commit[:12]} is not in {source}; git -C {path} fetch brings it"]
    git(worktree, "clone", "--quiet", "--no-checkout", "--shared", "--", kept, str(worktree / path))
    git(worktree / path, "checkout", "--quiet", "--detach", commit)
    return [f"in submodule {path}: {each}" for each in fill(worktree / path, source / path)]


def _fill_lfs(worktree: Path, source: Path) -> list[str]:
    files = listed(worktree, "ls-files", "-z", "--", ":(attr:filter=lfs)")
    if not files:
        return []
    store = _lfs_store(source)
    missing = []
    for name in files:
        file = worktree / name
        if file.is_symlink() or not file.is_file() or file.stat().st_size > LONGEST_POINTER:
            continue
        if not (found := POINTER.match(file.read_bytes())):
            continue
        oid = found[1].decode()
        kept = store / oid[:2] / oid[2:4] / oid
        if kept.is_file():
            shutil.copyfile(kept, file)
        else:
            missing.append(f"LFS file {name}: its content {oid[:12]} is not in {store}; git lfs fetch --all brings it")
    return missing


def _lfs_store(source: Path) -> Path:
    common = Path(git(source, "rev-parse", "--path-format=absolute", "--git-common-dir"))
    try:
        named = Path(git(source, "config", "--type=path", "lfs.storage"))
    except GitError:
        named = Path("lfs")
    return common / named / "objects"
