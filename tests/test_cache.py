"""Artifacts are kept by content, verified before use, and never half-written."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.cache import ArtifactCache
from reports.files import write_atomically

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


def truncate(folder: Path) -> None:
    os.truncate(folder / "model.onnx", 10)


def alter(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"WEIGHTS" * 1000)


def lose(folder: Path) -> None:
    (folder / "part" / "kernel.so").unlink()


def lose_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def cut_manifest(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 40)


def manifest_of_another_shape(folder: Path) -> None:
    (folder / "manifest.json").write_text('["not", "a", "manifest"]')


def manifest_without_files(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps({"build_s": 1.0}))


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        alter,
        lose,
        lose_manifest,
        cut_manifest,
        manifest_of_another_shape,
        manifest_without_files,
    ],
    ids=lambda damage: damage.__name__,
)
def test_damaged_artifact_is_rebuilt_never_trusted(root: Path, damage: Callable[[Path], None]) -> None:
    """Whatever happened to an entry, what is served is what was built."""
    build = Builder()
    folder = ArtifactCache(root).get(CONTENT, build).folder
    damage(folder)
    rebuilt = ArtifactCache(root).get(CONTENT, build)

    assert build.builds == 2
    assert (rebuilt.folder / "model.onnx").read_bytes() == b"weights" * 1000
    assert (rebuilt.folder / "part" / "kernel.so").read_bytes() == b"code"


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


def test_unwritable_cache_is_an_os_error(tmp_path: Path) -> None:
    """The caller learns that the folder cannot be written."""
    (tmp_path / "file").write_text("")

    with pytest.raises(OSError, match="file"):
        ArtifactCache(tmp_path / "file" / "cache").get(CONTENT, Builder())


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
    """A build that does not fit is deleted and raises."""

    def build(folder: Path) -> float:
        (folder / "model.onnx").write_bytes(b"x" * 2**20)
        return 1.0

    with pytest.raises(OSError, match="No space left"):
        ArtifactCache(small_disk).get(CONTENT, build)

    assert list(small_disk.iterdir()) == []
