"""Artifacts are kept by content, verified before use, and never half-written."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.artifacts.cache import ArtifactCache
from fixtures.artifacts.entry_locks import UnsafeCache
from fixtures.bench.launch import ROOT
from fixtures.machine.versions import toolchain
from fixtures.protocol import Job, ModelSpec
from fixtures.runtimes import aot_inductor, inductor
from reports.saved.files import write_atomically
from tests.processes import program

CONTENT = {"model": "torchvision:resnet18", "options": {"batch_size": 8}, "versions": {"torch": "2.13.0"}}


class Builder:
    """Builds an artifact of two files, and counts how often it had to."""

    def __init__(self, fail: BaseException | None = None) -> None:
        self.builds = 0
        self._fail = fail

    def __call__(self, folder: Path) -> float:
        self.builds += 1
        (folder / "part").mkdir()
        (folder / "model.onnx").write_bytes(b"weights" * 1000)
        if self._fail is not None:
            raise self._fail
        (folder / "part" / "kernel.so").write_bytes(b"code")
        return 12.5


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there" / "yet"


def test_artifact_is_built_once_and_its_build_time_stays_known(root: Path) -> None:
    """Another session finds the artifact of the first, with the seconds and the size of its first build."""
    build = Builder()
    first = ArtifactCache(root).get(CONTENT, build)
    second = ArtifactCache(root).get(CONTENT, build)

    assert build.builds == 1
    assert first == second
    assert (second.build_s, second.size_bytes) == (12.5, 7004)
    assert (second.folder / "part" / "kernel.so").read_bytes() == b"code"


@pytest.mark.parametrize(
    "other", [CONTENT | {"model": "timm:vit"}, CONTENT | {"options": {"batch_size": 4}}, CONTENT | {"versions": {"torch": "2.12.0"}}]
)
def test_other_content_is_another_artifact(root: Path, other: dict[str, object]) -> None:
    """Whatever an artifact depends on is part of its key."""
    cache, build = ArtifactCache(root), Builder()

    assert cache.get(CONTENT, build).folder != cache.get(other, build).folder
    assert build.builds == 2


def replace_by_a_link(folder: Path) -> None:
    elsewhere = folder.parent.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda folder: os.truncate(folder / "model.onnx", 10),
    "altered": lambda folder: (folder / "model.onnx").write_bytes(b"WEIGHTS" * 1000),
    "lost": lambda folder: (folder / "part" / "kernel.so").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "manifest cut": lambda folder: os.truncate(folder / "manifest.json", 40),
    "manifest of another shape": lambda folder: (folder / "manifest.json").write_text('["not", "a", "manifest"]'),
    "manifest without files": lambda folder: (folder / "manifest.json").write_text('{"build_s": 1.0}'),
    "open to others": lambda folder: folder.chmod(0o777),
    "replaced by a link": replace_by_a_link,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_artifact_is_rebuilt_never_trusted(root: Path, damage: Callable[[Path], object]) -> None:
    """Whatever happened to an entry, what is served is what was built."""
    build = Builder()
    folder = ArtifactCache(root).get(CONTENT, build).folder
    damage(folder)
    rebuilt = ArtifactCache(root).get(CONTENT, build)

    assert build.builds == 2
    assert (rebuilt.folder / "model.onnx").read_bytes() == b"weights" * 1000
    assert (rebuilt.folder / "part" / "kernel.so").read_bytes() == b"code"


def test_what_the_manifest_does_not_list_is_deleted_before_use(root: Path) -> None:
    """A library that nobody built is loaded by nobody; what is listed stays as it is."""
    build = Builder()
    folder = ArtifactCache(root).get(CONTENT, build).folder
    (folder / "part" / "more.so").write_bytes(b"code that nobody built")
    (folder / "elsewhere").symlink_to(root.parent)
    ArtifactCache(root).get(CONTENT, build)

    assert build.builds == 1
    assert {file.name for file in folder.rglob("*")} == {"part", "kernel.so", "model.onnx", "manifest.json"}


def test_nothing_is_deleted_where_a_link_in_an_entrys_place_leads(root: Path) -> None:
    build = Builder()
    folder = ArtifactCache(root).get(CONTENT, build).folder
    replace_by_a_link(folder)
    (folder / "thesis.txt").write_text("years of work")
    elsewhere = folder.resolve()
    ArtifactCache(root).get(CONTENT, build)

    assert build.builds == 2
    assert "years of work" == (elsewhere / "thesis.txt").read_text()


@pytest.mark.parametrize("failure", [RuntimeError("no g++"), KeyboardInterrupt()])
def test_failed_build_leaves_no_entry(root: Path, failure: BaseException) -> None:
    """Half an artifact is deleted, also where the user interrupts; the next call builds again."""
    with pytest.raises(type(failure)):
        ArtifactCache(root).get(CONTENT, Builder(fail=failure))

    assert list(root.iterdir()) == []
    assert ArtifactCache(root).get(CONTENT, build := Builder()).build_s == 12.5
    assert build.builds == 1


def test_rest_of_a_killed_build_is_no_entry(root: Path) -> None:
    """A build that was killed leaves files, but no manifest: they are thrown away."""
    build = Builder()
    folder = ArtifactCache(root).get(CONTENT, build).folder
    (folder / "manifest.json").unlink()
    (folder / "half-written").write_text("")
    ArtifactCache(root).get(CONTENT, build)

    assert not (folder / "half-written").exists()


BUILD_UNTIL_TOLD = """
import sys
from pathlib import Path
from fixtures.artifacts.cache import ArtifactCache
name, root = sys.argv[1], Path(sys.argv[2])
def build(folder):
    print("begun", flush=True)
    for part in range(5):
        (folder / f"part{part}").write_text(name)
        if part == 2:
            sys.stdin.readline()
    return 0.5
cache = ArtifactCache(root, progress=lambda text: print(text, flush=True))
found = cache.get({"runtime": "inductor", "model": {"name": "resnet18"}}, build)
print("parts " + "".join(part.read_text() for part in sorted(found.folder.glob("part*"))), flush=True)
sys.stdin.read()
"""


def _start(name: str, root: Path, before: str = "") -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", before + BUILD_UNTIL_TOLD, name, str(root)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _told_to_go_on(process: "subprocess.Popen[str]") -> str:
    """Its next line."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return _line(process)


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_second_process_waits_for_the_first_and_takes_what_it_built(root: Path) -> None:
    """Two processes in one empty cache build once, the second says whom it waits for, and neither gets a mixture."""
    with _start("A", root) as first:
        assert _line(first) == "begun"
        with _start("B", root) as second:
            try:
                said = _line(second)
                assert _told_to_go_on(first) == "parts AAAAA"
                assert _line(second) == "parts AAAAA"
            finally:
                for process in (first, second):
                    process.communicate()
    assert said == f"waiting for process {first.pid}, which builds inductor of resnet18"


PAUSE_BEFORE_ALONE = """
import sys
from fixtures.artifacts import entry_locks
for name in ("alone", "alone_if_free"):
    def paused(*arguments, real=getattr(entry_locks, name)):
        print("sees none", flush=True)
        sys.stdin.readline()
        setattr(entry_locks, real.__name__, real)
        return real(*arguments)
    setattr(entry_locks, name, paused)
"""


def test_who_saw_no_entry_takes_the_one_that_another_process_built_and_goes_on_using(root: Path) -> None:
    """Both find none; the first builds it and keeps its share before the second asks for the lock, which would never be the second's."""
    with _start("B", root, PAUSE_BEFORE_ALONE) as second:
        try:
            assert _line(second) == "sees none"
            with _start("A", root) as first:
                try:
                    assert (_line(first), _told_to_go_on(first)) == ("begun", "parts AAAAA")
                    assert _told_to_go_on(second) == f"waiting for process {first.pid}, which uses inductor of resnet18"
                    assert _line(second) == "parts AAAAA"
                finally:
                    second.kill()
                    first.communicate()
        finally:
            second.communicate()


def test_entry_that_another_process_uses_is_not_rebuilt_under_it(root: Path) -> None:
    """Who finds an entry damaged waits for those who use it, and says so; a process that is killed leaves no lock."""
    with _start("A", root) as first:
        assert (_line(first), _told_to_go_on(first)) == ("begun", "parts AAAAA")
        [folder] = (each for each in root.iterdir() if each.is_dir())
        (folder / "part0").write_text("damaged")
        with _start("B", root) as second:
            try:
                assert _line(second) == f"waiting for process {first.pid}, which uses inductor of resnet18"
                first.kill()
                first.wait()
                assert (_line(second), _told_to_go_on(second)) == ("begun", "parts BBBBB")
            finally:
                for process in (first, second):
                    process.communicate()


@pytest.mark.parametrize(("mode", "found"), [(0o775, "775"), (0o757, "757"), (0o1777, "1777")])
def test_cache_that_others_may_write_to_is_refused(tmp_path: Path, mode: int, found: str) -> None:
    """Code is loaded from a cache, so nobody else may put some there; the message says how to go on."""
    root = tmp_path / "cache"
    root.mkdir()
    root.chmod(mode)
    build = Builder()

    with pytest.raises(UnsafeCache, match=rf"{root} may be written by others \(mode {found}\).*--artifact-cache.*chmod -R go-w"):
        ArtifactCache(root).get(CONTENT, build)
    assert build.builds == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder to another user needs root -> run the tests as root")
def test_cache_of_another_user_is_refused(tmp_path: Path) -> None:
    """Root does not run what another user has left, as pip does not."""
    root = tmp_path / "cache"
    root.mkdir()
    os.chown(root, 12345, -1)

    with pytest.raises(UnsafeCache, match="belongs to user 12345"):
        ArtifactCache(root).get(CONTENT, Builder())


def test_new_cache_is_its_owners_alone(root: Path) -> None:
    """Nobody else may write to the folder or to an entry."""
    folder = ArtifactCache(root).get(CONTENT, Builder()).folder

    assert (root.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o700, 0o700)


def _used_days_ago(folder: Path, days: float) -> None:
    then_s = time.time() - days * 86400
    os.utime(folder / "manifest.json", (then_s, then_s))


def test_entries_that_nobody_used_for_two_weeks_are_dropped_and_said(root: Path) -> None:
    """What was used since stays, and using it counts as much as building it."""
    old, used = (ArtifactCache(root).get({"model": name}, Builder()).folder for name in ("old", "used"))
    _used_days_ago(used, 13)
    ArtifactCache(root).get({"model": "used"}, Builder())
    _used_days_ago(old, 15)
    said: list[str] = []
    ArtifactCache(root, note=said.append).open()

    assert (old.exists(), used.exists(), list(root.glob(f"{old.name}*"))) == (False, True, [])
    assert said == ["1 entry (0.0 GB) not used for 14 days dropped from the artifact cache"]
    assert (used / "manifest.json").stat().st_mtime > time.time() - 3600


def test_beyond_its_size_a_cache_drops_what_was_used_longest_ago(root: Path) -> None:
    """Never what somebody uses at the moment."""
    folders = {}
    for days, name in enumerate(("newest", "older", "in use", "oldest")):
        folders[name] = ArtifactCache(root).get({"model": name}, Builder()).folder
        _used_days_ago(folders[name], days)
    user = ArtifactCache(root)
    user.get({"model": "in use"}, Builder())
    _used_days_ago(folders["in use"], 2)
    said: list[str] = []
    ArtifactCache(root, note=said.append, most_bytes=2 * 8000).open()

    assert {name for name, folder in folders.items() if folder.exists()} == {"newest", "in use"}
    assert said[0].startswith("2 entries (0.0 GB) used longest ago dropped from the artifact cache")


def test_unwritable_cache_is_an_os_error(tmp_path: Path) -> None:
    """The caller learns that the folder cannot be written."""
    (tmp_path / "file").write_text("")

    with pytest.raises(OSError, match=r"file/cache cannot be made \(Not a directory\): name another folder with --artifact-cache"):
        ArtifactCache(tmp_path / "file" / "cache").get(CONTENT, Builder())


def test_read_only_cache_is_refused_before_anything_is_measured(small_disk: Path) -> None:
    """A run would measure for minutes until the first step that needs an artifact."""
    ArtifactCache(small_disk).get(CONTENT, Builder())
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    with pytest.raises(UnsafeCache, match=r"disk cannot be written \(Read-only file system\): name another folder with --artifact-cache"):
        ArtifactCache(small_disk).open()


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    """The new text is there, readable by others, and no temporary file remains."""
    file = tmp_path / "run.json"
    file.write_text("old")
    write_atomically(file, b"new")

    assert file.read_text() == "new"
    assert [file] == list(tmp_path.iterdir())
    assert file.stat().st_mode & 0o777 == 0o644


def test_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    """What does not fit raises OSError; the earlier file is whole, and nothing half-written remains."""
    file = small_disk / "run.json"
    write_atomically(file, b"earlier")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, b"x" * 2**20)

    assert file.read_text() == "earlier"
    assert [file] == list(small_disk.iterdir())


def test_full_disk_leaves_no_artifact(small_disk: Path) -> None:
    """A build that does not fit is deleted and raises, and the user learns where there is no room."""

    def build(folder: Path) -> float:
        (folder / "model.onnx").write_bytes(b"x" * 2**20)
        return 1.0

    said: list[str] = []
    with pytest.raises(OSError, match="No space left"):
        ArtifactCache(small_disk, note=said.append).get(CONTENT, build)

    assert list(small_disk.iterdir()) == []
    full = "is full (0 MiB free): make room there, or name another folder with --artifact-cache"
    assert [f"the disk of the artifact cache {small_disk} {full}"] == said


def test_another_compiler_is_another_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Inductor generates is compiled by $CXX, so its version is part of what the artifact depends on; none is told too."""
    compiler = program(tmp_path / "c++", '#!/bin/sh\necho "c++ 99.1"\necho "more"\n')
    monkeypatch.setenv("CXX", str(compiler))
    one = toolchain.__wrapped__()
    monkeypatch.setenv("CXX", "no-such-compiler")

    assert one["compiler"] == "c++ 99.1"
    assert toolchain.__wrapped__()["compiler"] == "no no-such-compiler"
    assert one["python"] == platform.python_version()
    for runtime in (inductor, aot_inductor):
        job = Job(model=ModelSpec(name="resnet50"), runtime=runtime.__name__, precision="fp32", batch_size=1, threads=1)
        content = runtime.artifact(job)
        assert content is not None
        assert content["toolchain"] == toolchain()


@pytest.mark.parametrize("name", ["a space", "a'quote", 'a"quote', "a\\backslash"])
def test_path_that_torch_would_take_apart_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything runs, with the remedy."""
    with pytest.raises(UnsafeCache, match=r"has a space, quote or backslash in its path.*name another folder with --artifact-cache"):
        ArtifactCache(tmp_path / name / "artifacts").open()

    assert not (tmp_path / name).exists()


def test_path_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """Workers are told where it is, in UTF-8."""
    with pytest.raises(UnsafeCache, match=r"has a name that is not UTF-8.*name another folder with --artifact-cache"):
        ArtifactCache(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))).open()


def test_path_with_other_letters_is_taken(tmp_path: Path) -> None:
    """Letters beyond ASCII, colons and commas split no command."""
    ArtifactCache(tmp_path / "käse:é,ß").open()

    assert (tmp_path / "käse:é,ß").is_dir()
