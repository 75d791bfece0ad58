"""Which file a RUN name means."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reports.saved.load import UnreadableRun, read_run
from reports.saved.storage import NoSuchRun, Storage
from tests.reports.saved_runs import benchmark, save, saved_run


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Three runs, one a day, each of another commit; the file between them is cut off."""
    for number, day in ((1, 10), (2, 11), (4, 12)):
        save(tmp_path, number, saved_run([benchmark()], commit=f"{number}abc" * 10, saved_at=f"2026-11-{day}T00:00:00+00:00"))
    save(tmp_path, 3, '{"benchmarks": [')
    return Storage(f"file://{tmp_path}")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("1", "0001"),
        ("0002", "0002"),
        ("3", "0003"),
        ("latest", "0004"),
        ("latest~1", "0002"),
        ("latest~2", "0001"),
        ("2abc", "0002"),
        ("1abc1abc", "0001"),
        ("Linux-CPython-3.11-64bit/4", "0004"),
    ],
)
def test_a_name_means_a_number_a_place_from_the_end_or_a_commit(storage: Storage, name: str, number: str) -> None:
    assert f"{number}_run.json" == storage.find(name).name


def test_a_file_is_itself_wherever_it_lies(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = save(tmp_path_factory.mktemp("elsewhere"), 9, saved_run([benchmark()]))

    assert path == storage.find(str(path))


def test_the_last_run_of_a_commit_is_meant(storage: Storage) -> None:
    again = save(storage.folder, 9, saved_run([benchmark()], commit="1abc" * 10, saved_at="2026-11-20T00:00:00+00:00"))

    assert again == storage.find("1abc")


def test_a_git_revision_is_looked_up(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "trunk"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    saved = save(tmp_path, 5, saved_run([benchmark()], commit=commit))

    assert saved == storage.find("trunk")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("17", "no run '17' .*holds 0001 to 0004"),
        ("latest~3", "holds 3 readable runs"),
        ("ffff", "no run 'ffff'"),
        ("--help", "no run '--help'"),
        ("../none", "no run"),
        ("x" * 5000, "no run"),
        ("\0", "no run"),
    ],
)
def test_an_unknown_name_is_refused_with_what_there_is(storage: Storage, name: str, reason: str) -> None:
    with pytest.raises(NoSuchRun, match=reason):
        storage.find(name)


def test_a_number_on_two_machines_is_refused_until_the_machine_is_named(storage: Storage) -> None:
    save(storage.folder, 1, saved_run([benchmark()]), machine_id="Linux-CPython-3.13-64bit")

    with pytest.raises(NoSuchRun, match="means 2 files"):
        storage.find("1")
    assert "Linux-CPython-3.13-64bit" == storage.find("Linux-CPython-3.13-64bit/0001").parent.name


def test_storages_that_are_no_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSuchRun, match="benchmark-autosave"):
        Storage(str(tmp_path / "none")).find("latest")
    with pytest.raises(NoSuchRun, match=r"not elasticsearch\+http"):
        Storage("elasticsearch+http://host/index").find("latest")


def test_unreadable_files_are_named_only_where_all_were_looked_at(storage: Storage) -> None:
    storage.find("1")
    assert not storage.unreadable

    storage.find("latest")
    [reason] = storage.unreadable
    assert "0003_run.json: truncated" in reason


def test_a_folder_that_cannot_be_looked_into_is_named(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or its runs would seem not to be there. (Root may look into all: so the system's answer is another one here.)"""
    [folder] = [each for each in storage.folder.iterdir() if each.is_dir()]
    listed, allowed = Path.iterdir, os.access

    def iterdir(path: Path) -> Iterator[Path]:
        if path == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.setattr(os, "access", lambda path, mode, **more: path != folder and allowed(path, mode, **more))

    assert () == storage.known
    assert (f"{folder}: Permission denied; its runs are not shown",) == storage.unreadable


def test_a_file_in_a_folder_that_cannot_be_looked_into_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_file(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", is_file)
    file = tmp_path / "0001_run.json"

    assert file == Storage(str(tmp_path)).find(str(file))
    with pytest.raises(UnreadableRun, match=r"0001_run\.json: Permission denied; name another run"):
        read_run(file)
