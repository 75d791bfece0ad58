"""A run that cannot be saved where it should be."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.bench.launch import ROOT
from fixtures.session import session
from fixtures.session.session import LadderSession
from tests.conftest import LEAN
from tests.processes import ran

WITH_A_RECORD = """
import shutil
from pathlib import Path
from fixtures.session.journal import Finished, Journal
from fixtures.session.saving import save_atomically
from fixtures.session.session import session_of
pytest_plugins = ["fixtures.suite"]
def pytest_benchmark_update_json(config):
    session = session_of(config)
    session.journal = Journal(Path({journal!r}), {{}})
    session.journal.add(Finished(nodeid="other", rounds_s=[1.0], extra_info={{}}))"""
WITHOUT_STORAGE = f"""{WITH_A_RECORD}
    session.is_journal_whole = {{whole}}
    save_atomically(config, session)
    shutil.rmtree({{storage!r}}, ignore_errors=True)
    Path({{storage!r}}).write_text("no folder any more")
"""
PART_OF_A_RUN = f"""{WITH_A_RECORD}
    session.journal.found = {{found}}
    save_atomically(config, session)
"""
TEST = "def test_finished(benchmark):\n    benchmark.pedantic(lambda: None, rounds=3)\n"


def session_in(folder: Path, conftest: str, *options: str, both: bool = True, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a test with a benchmark in `folder`, whose runs are saved in `saved`."""
    (folder / "pytest.ini").write_text("[pytest]")
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", *LEAN, f"--benchmark-storage=file://{folder}/saved", *options]
    return ran(command, folder, {"PYTHONPATH": str(ROOT), **environment}, both=both)


def output_of_a_run_that_cannot_be_saved(folder: Path, *, whole: bool) -> str:
    """Run where the storage is gone when it is saved, and the journal has all records or not."""
    storage, journal, temporary = (folder / name for name in ("saved", "journal", "temporary"))
    temporary.mkdir()
    conftest = WITHOUT_STORAGE.format(journal=str(journal), storage=str(storage), whole=whole)
    done = session_in(folder, conftest, "--benchmark-autosave", TMPDIR=str(temporary))
    assert pytest.ExitCode.INTERNAL_ERROR == done.returncode, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


def test_proofs_that_cannot_be_written_are_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other steps are proved all the same; it is tried again after each, and said once."""
    notes: list[str] = []
    asked, written = tmp_path / "gone" / "proofs.json", []

    def write(_self: LadderSession, file: Path, _fingerprint: object) -> None:
        written.append(file)
        if file == asked:
            raise OSError(28, "No space left on device")

    made = LadderSession.__new__(LadderSession)
    made._unwritten, made._config = None, None  # type: ignore[assignment]
    made.progress = SimpleNamespace(note=notes.append)  # type: ignore[assignment]
    monkeypatch.setattr(LadderSession, "write_proofs", write)
    monkeypatch.setattr(session, "read_options", lambda _config: SimpleNamespace(proofs=asked))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made.try_to_write_proofs(asked, {})
    made.try_to_write_proofs(asked, {})

    assert made.keep_unwritten_proofs()
    assert [asked, asked, written[-1]] == written
    assert [True, True] == ["No space left on device" in notes[0], f"what was proved is in {written[-1]}" in notes[1]]
    assert 2 == len(notes)


def test_looking_whether_the_storage_can_be_written_touches_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends a folder of runs chooses its names, and must not choose a file that is emptied."""
    precious = tmp_path / "precious"
    precious.write_text("years of work")
    storage = tmp_path / "storage"
    storage.mkdir()
    (storage / ".writable").symlink_to(precious)
    made = LadderSession.__new__(LadderSession)
    made._config, made.points = None, ()  # type: ignore[assignment]
    made.progress = SimpleNamespace(note=print)  # type: ignore[assignment]
    options = SimpleNamespace(models=(), conditions=dict, resume=False)
    monkeypatch.setattr(session, "read_options", lambda _config: options)
    monkeypatch.setattr(session, "storage_folder", lambda _config: storage)
    made.open_storage({}, {})

    assert "years of work" == precious.read_text()
    assert [".writable"] == [each.name for each in storage.iterdir()]


@pytest.mark.parametrize(("found", "kept"), [("{}", 0), ('{"other": None}', 1)], ids=["all taken over", "one not asked for"])
def test_records_that_a_resumed_run_was_not_asked_for_stay_in_its_journal(tmp_path: Path, found: str, kept: int) -> None:
    """`--resume --model vit` saves what there is of vit, and what was finished of resnet50 can still be taken up."""
    done = session_in(tmp_path, PART_OF_A_RUN.format(journal=str(tmp_path / "journal"), found=found), "--benchmark-autosave")

    assert 0 == done.returncode, done.stdout
    assert kept == len(list((tmp_path / "journal").glob("*.jsonl")))
    assert bool(kept) == ("1 finished records of the interrupted run were not asked for" in " ".join(done.stdout.split()))
    assert 1 == len(list((tmp_path / "saved").glob("*/*.json")))


AT_ONCE = """
import pytest_benchmark.storage.file as file
from fixtures.session.saving import save_atomically
from fixtures.session.session import session_of
file.FileStorage._next_num = "0001"
pytest_plugins = ["fixtures.suite"]
def pytest_benchmark_update_json(config):
    save_atomically(config, session_of(config))
"""


def test_sessions_that_end_at_the_same_time_are_both_saved(tmp_path: Path) -> None:
    """Both were told the same number, and were given the same name."""
    for _ in range(2):
        done = session_in(tmp_path, AT_ONCE, "--benchmark-save=nightly")
        assert 0 == done.returncode, done.stdout

    assert ["0001_nightly.json", "0002_nightly.json"] == sorted(each.name for each in (tmp_path / "saved").glob("*/*"))


ONE_AT_A_TIME = """
import fcntl
import os
from pathlib import Path
from pytest_benchmark.storage.file import FileStorage
from fixtures.session import saving
from fixtures.session.session import session_of
pytest_plugins = ["fixtures.suite"]
def told(storage):
    print("told while the folder is", is_locked(storage.get("any").parent))
    return "0001"
def written(file, *_, **__):
    print("written while the folder is", is_locked(file.parent))
def is_locked(folder):
    other = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return "free"
    except BlockingIOError:
        return "locked"
    finally:
        os.close(other)
FileStorage._next_num = property(told)
saving.write_atomically = written
def pytest_benchmark_update_json(config):
    saving.save_atomically(config, session_of(config))
"""


def test_a_number_is_told_and_taken_by_one_session_at_a_time(tmp_path: Path) -> None:
    """Automatic names have the second in them: two sessions that were told one number would both be saved by it."""
    done = session_in(tmp_path, ONE_AT_A_TIME, "-s", "--benchmark-autosave")

    assert 0 == done.returncode, done.stdout
    assert "told while the folder is locked" in done.stdout
    assert "written while the folder is locked" in done.stdout


def test_a_session_without_pytests_terminal_plugin_is_saved(tmp_path: Path) -> None:
    """With `-p no:terminal` pytest has neither its writer nor its options of the terminal."""
    done = session_in(tmp_path, AT_ONCE, "-p", "no:terminal", "--benchmark-save=quiet")

    assert 0 == done.returncode, done.stdout
    assert ["0001_quiet.json"] == [each.name for each in (tmp_path / "saved").glob("*/*")]


RENAMED = """
import pytest_benchmark.storage.file as file
file.FileStorage.store = file.FileStorage.save
del file.FileStorage.save
pytest_plugins = ["fixtures.suite"]
"""


def test_another_pytest_benchmark_than_saving_leans_on_is_refused(tmp_path: Path) -> None:
    """Before anything is measured: a run must not be lost at its end."""
    done = session_in(tmp_path, RENAMED, both=False)

    assert pytest.ExitCode.USAGE_ERROR == done.returncode
    assert "has no FileStorage.save, by which this suite saves runs whole: install pytest-benchmark>=5.3.1,<6" in done.stderr


def test_what_the_journal_lacks_is_kept_elsewhere(tmp_path: Path) -> None:
    """On a full disk the journal could not be written either."""
    said = output_of_a_run_that_cannot_be_saved(tmp_path, whole=False)

    kept = re.search(r"could not be saved in \S+/(\w+\.json): .*\. It is kept in (\S+\.json): make room and move it there\.", said)
    assert kept is not None, said
    assert kept[1] == Path(kept[2]).name
    assert '"test_finished"' in Path(kept[2]).read_text()


def test_a_whole_journal_is_enough(tmp_path: Path) -> None:
    said = output_of_a_run_that_cannot_be_saved(tmp_path, whole=True)

    assert re.search(r"The finished records are in \S+/journal/\S+\.jsonl: make room and run the same command with --resume\.", said), said
    assert [] == list((tmp_path / "temporary").rglob("*.json"))
