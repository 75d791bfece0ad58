"""Worktrees of a gate: everything of their commit is in them, and nothing else of the user's is touched."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from reports.gate.benchmarks import GateError
from reports.gate.checkouts import checked_out
from reports.gate.git import git
from reports.gate.journal import only_gate_in
from reports.gate.worktrees import REASON
from tests.gate.conftest import Repository, committed
from tests.processes import program

LFS_ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


def lfs_pointer(oid: str, size: int) -> str:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"


def keep_lfs(repository: Repository, content: bytes) -> tuple[str, Path]:
    """Keep a content in the clone's own store; return its pointer, and where it lies."""
    oid = hashlib.sha256(content).hexdigest()
    kept = repository.folder / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    return lfs_pointer(oid, len(content)), kept


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = committed(tmp_path / "repository", {"number.txt": "1"}, {"number.txt": "2"})
    monkeypatch.chdir(made.folder)
    return made


def test_worktree_is_locked_while_used_and_gone_afterwards(other: Repository, tmp_path: Path) -> None:
    with checked_out("base", "HEAD~1", None, tmp_path / "base") as made:
        assert "1" == (made.folder / "number.txt").read_text()
        assert f"locked {REASON}" in other.git("worktree", "list", "--porcelain")
    assert 1 == len(other.worktrees)
    assert not (tmp_path / "base").exists()


def test_worktrees_of_the_user_that_are_away_stay_registered(other: Repository, tmp_path: Path) -> None:
    """They lie on a disk that is not mounted, or in another container."""
    away = tmp_path / "users"
    other.git("worktree", "add", "--quiet", "--detach", str(away))
    away.rename(tmp_path / "unmounted")
    with checked_out("base", "HEAD", None, tmp_path / "base"):
        pass
    (tmp_path / "unmounted").rename(away)

    assert "2" == subprocess.run(["git", "-C", away, "show", "HEAD:number.txt"], capture_output=True, text=True, check=True).stdout


def test_worktrees_of_killed_gates_are_removed(other: Repository, tmp_path: Path) -> None:
    """By their lock's reason, and only once no gate holds the folder around them."""
    for name in ("killed", "alive"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").write_text("")
        other.git("worktree", "add", "--quiet", "--detach", "--lock", "--reason", REASON, str(tmp_path / name / "base"))
    with only_gate_in(tmp_path / "alive"), checked_out("base", "HEAD", None, tmp_path / "own"):
        folders = " ".join(other.worktrees)
        assert str(tmp_path / "alive" / "base") in folders
        assert str(tmp_path / "killed" / "base") not in folders
    assert not (tmp_path / "killed" / "base").exists()


def test_a_killed_gates_worktree_is_known_by_a_link_to_its_folder(other: Repository, tmp_path: Path) -> None:
    """git names worktrees by their real paths, and --out may lead over a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    other.git("worktree", "add", "--quiet", "--detach", "--lock", "--reason", REASON, str(tmp_path / "out" / "base"))
    with only_gate_in(tmp_path / "out"), checked_out("base", "HEAD~1", None, tmp_path / "out" / "base") as made:
        assert "1" == (made.folder / "number.txt").read_text()
    assert 1 == len(other.worktrees)


def test_folder_of_somebody_else_is_not_deleted(other: Repository, tmp_path: Path) -> None:
    mine = tmp_path / "base" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    with pytest.raises(GateError, match="no gate made it"), checked_out("base", "HEAD", None, tmp_path / "base"):
        pass
    assert "years of work" == mine.read_text()


def test_git_asks_nobody(other: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A git that would prompt finds no terminal, no input and no hook's repository."""
    fake = program(tmp_path / "bin" / "git", '#!/bin/sh\necho "$GIT_TERMINAL_PROMPT,${GIT_DIR:-none}"\ncat\n')
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_DIR", "/srv/hooked.git")

    assert "0,none" == git(other.folder, "fetch")


def test_git_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = program(tmp_path / "bin" / "git", "#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(GateError, match=r"git fetch in .* had not ended after 0 s"):
        git(tmp_path, "fetch", longest_s=0.2)


def submodule(repository: Repository, *arguments: str) -> None:
    """Have git take submodules from folders."""
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", *arguments)


@pytest.fixture
def with_submodule(other: Repository, tmp_path: Path) -> Repository:
    """The repository with a submodule whose commit differs between the last two commits."""
    library = committed(tmp_path / "library", {"net.py": "N = 1\n"}, {"net.py": "N = 2\n"})
    submodule(other, "add", str(library.folder), "third_party/net")
    for revision in ("HEAD~1", "HEAD"):
        commit = library.git("rev-parse", revision).strip()
        other.git("-C", str(other.folder / "third_party" / "net"), "checkout", "--quiet", commit)
        other.commit(f"Library at {revision}")
    library.folder.rename(tmp_path / "no server any more")
    return other


def test_submodules_are_checked_out_at_each_sides_commit(with_submodule: Repository, tmp_path: Path) -> None:
    for side, revision, expected in (("base", "HEAD~1", "N = 1\n"), ("head", "HEAD", "N = 2\n")):
        with checked_out("base" if side == "base" else "head", revision, None, tmp_path / side) as made:
            assert expected == (made.folder / "third_party" / "net" / "net.py").read_text()
            assert () == made.notes
    assert 1 == len(with_submodule.worktrees)


def test_submodule_that_is_not_here_is_named(with_submodule: Repository, tmp_path: Path) -> None:
    submodule(with_submodule, "deinit", "--force", "--all")
    with checked_out("base", "HEAD", None, tmp_path / "base") as made:
        assert ["submodule third_party/net is not checked out in"] == [
            note.partition(f" {with_submodule.folder}")[0] for note in made.notes
        ]


def test_submodule_whose_commit_was_not_fetched_is_named(with_submodule: Repository, tmp_path: Path) -> None:
    absent = "1" * 40
    with_submodule.git("update-index", "--cacheinfo", f"160000,{absent},third_party/net")
    with_submodule.git("commit", "--quiet", "--message", "A commit of the library that is not here")
    with checked_out("head", "HEAD", None, tmp_path / "head") as made:
        [note] = made.notes
    assert note.startswith(
        f"submodule third_party/net: its commit {absent[:12]} is not in {with_submodule.folder}; git -C third_party/net fetch"
    )


def test_submodules_of_submodules_are_filled_too(other: Repository, tmp_path: Path) -> None:
    """The innermost one has an LFS file whose content is not here: it is named with the submodule's path."""
    inner = committed(tmp_path / "inner", {".gitattributes": LFS_ATTRIBUTES, "w.bin": lfs_pointer("2" * 64, 9), "net.py": "N = 3\n"})
    outer = committed(tmp_path / "outer")
    submodule(outer, "add", str(inner.folder), "inner")
    outer.commit("Submodule")
    submodule(other, "add", str(outer.folder), "outer")
    submodule(other, "update", "--init", "--recursive")
    other.git("commit", "--quiet", "--message", "Submodules")
    with checked_out("head", "HEAD", None, tmp_path / "head") as side:
        assert "N = 3\n" == (side.folder / "outer" / "inner" / "net.py").read_text()
        [note] = side.notes
    assert note.startswith(f"in submodule outer: in submodule inner: LFS file w.bin: its content {'2' * 12} is not in")


def test_lfs_files_come_from_the_clone(other: Repository, tmp_path: Path) -> None:
    """Each side has its commit's content, without git-lfs and without a server; what is not here is named."""
    for content in (b"weights 1", b"weights 2"):
        pointer, kept = keep_lfs(other, content)
        other.commit(content.decode(), {".gitattributes": LFS_ATTRIBUTES, "w.bin": pointer})
    with checked_out("base", "HEAD~1", None, tmp_path / "base") as base, checked_out("head", "HEAD", None, tmp_path / "head") as head:
        assert (b"weights 1", b"weights 2") == ((base.folder / "w.bin").read_bytes(), (head.folder / "w.bin").read_bytes())
    kept.unlink()
    with checked_out("head", "HEAD", None, tmp_path / "head") as head:
        [note] = head.notes
        assert note.startswith("LFS file w.bin: its content")


def test_a_link_with_the_attribute_of_lfs_is_not_followed(other: Repository, tmp_path: Path) -> None:
    """A judged revision must not have a file outside of its worktree written."""
    outside = tmp_path / "outside"
    outside.write_text(pointer := keep_lfs(other, b"chosen by head")[0])
    (other.folder / "w.bin").symlink_to(outside)
    other.commit("A link", {".gitattributes": LFS_ATTRIBUTES})
    with checked_out("head", "HEAD", None, tmp_path / "head") as made:
        assert (made.folder / "w.bin").is_symlink()

    assert pointer == outside.read_text()
