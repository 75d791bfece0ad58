"""Files are written whole or not at all, and stay links, devices and pipes where they are such."""

import errno
import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from reports.saved import files
from reports.saved.files import write_atomically


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it points at is replaced, whole; relative links and links to nothing yet too."""
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "new").symlink_to(tmp_path / "not yet")

    write_atomically(tmp_path / "link", b"new")
    write_atomically(tmp_path / "new", b"made")

    assert [True, True] == [(tmp_path / name).is_symlink() for name in ("link", "new")]
    assert (b"new", b"made") == ((tmp_path / "real").read_bytes(), (tmp_path / "not yet").read_bytes())
    assert ["link", "new", "not yet", "real"] == sorted(os.listdir(tmp_path))


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(OSError, match=r"symbolic links: .*loop"):
        write_atomically(tmp_path / "loop", b"x")


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """A link to /dev/null, as in `--json /dev/null`."""
    (tmp_path / "null").symlink_to(os.devnull)

    write_atomically(tmp_path / "null", b"x")

    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert (tmp_path / "null").is_symlink()


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """As shells make for `>(...)`, more than a pipe holds."""
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_atomically(tmp_path / "pipe", b"x" * 200_000)
    reader.join(timeout=60)

    assert [200_000] == [len(each) for each in read]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("is_told", [True, False])
def test_modes_are_the_umasks_or_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_told: bool) -> None:
    """And the umask is not touched: other threads make files meanwhile. macOS shows saved runs, too, and has no /proc to tell it."""
    if not is_told:
        monkeypatch.setattr(files, "STATUS", tmp_path / "no such file")
    (tmp_path / "private").write_text("old")
    (tmp_path / "private").chmod(0o600)
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "new", b"x")
        write_atomically(tmp_path / "private", b"x")
    finally:
        found = os.umask(before)

    assert (0o027, 0o640, 0o600) == (found, *(stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "private")))


def test_a_folder_that_cannot_be_written_names_what_was_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / ".report.html.m0qi6ca2"))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError) as raised:
        write_atomically(tmp_path / "report.html", b"x")

    assert str(tmp_path / "report.html") == raised.value.filename


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """No half file, and no temporary one."""
    with pytest.raises(OSError, match="nowhere"):
        write_atomically(tmp_path / "nowhere" / "file", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"x")

    assert ["folder"] == os.listdir(tmp_path)


@pytest.mark.parametrize("has_links", [True, False])
def test_what_replaces_nothing_leaves_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    """A link to nothing is there, too; and some file systems have no hard links."""

    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    write_atomically(tmp_path / "run", b"first", replaces=False)
    for name in ("run", "link"):
        with pytest.raises(FileExistsError):
            write_atomically(tmp_path / name, b"second", replaces=False)

    assert b"first" == (tmp_path / "run").read_bytes()
    assert ["link", "run"] == sorted(each.name for each in tmp_path.iterdir())


def test_of_two_at_once_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one took the name after this one had looked."""
    (tmp_path / "run").write_bytes(b"first")
    monkeypatch.setattr(os.path, "lexists", lambda _path: False)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "run", b"second", replaces=False)

    assert b"first" == (tmp_path / "run").read_bytes()
    assert ["run"] == [each.name for each in tmp_path.iterdir()]
