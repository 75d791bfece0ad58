"""Finished records survive whatever ends the session."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.bench.launch import ROOT
from fixtures.session import journal
from fixtures.session.journal import MOST_JOURNALS, Finished, Journal, differences

CONDITIONS = {"batch_size": 8, "machine": {"features": ["bf16"], "vcpus": 2}}
FIRST = Finished(nodeid="benchmarks/test_baseline.py::test_baseline[vit-baseline]", rounds_s=[0.1, 0.2], extra_info={"cosine": 1.0})
SECOND = Finished(nodeid="benchmarks/test_memory.py::test_memory[vit-tcmalloc]", rounds_s=[0.3], extra_info={"gain": None})


def written(folder: Path, *records: Finished) -> Path:
    """A journal whose run has ended."""
    journal = Journal(folder, CONDITIONS)
    for record in records:
        journal.add(record)
    assert journal.file is not None
    return journal.file


def begun_elsewhere(folder: Path) -> "subprocess.Popen[str]":
    """A living run with one record; it adds a second one, and ends, once its stdin closes."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom tests.session.test_journal import CONDITIONS, FIRST, SECOND, Journal\n"
        "journal = Journal(Path(sys.argv[1]), CONDITIONS); journal.add(FIRST); print(journal.file, flush=True); sys.stdin.read()\n"
        "journal.add(SECOND)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def old_journals(folder: Path, year: int, count: int) -> None:
    """Journals of as many runs that have ended, one a second."""
    for second in range(count):
        (folder / f"{year}0101T0000{second:02}-1.jsonl").write_text("{}")


def resumed(folder: Path, conditions: dict[str, object] | None = None) -> Journal:
    journal = Journal(folder, conditions or CONDITIONS)
    journal.resume()
    return journal


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    """A later session finds every finished record by its node id."""
    written(tmp_path / "journal", FIRST, SECOND)

    assert resumed(tmp_path / "journal").found == {FIRST.nodeid: FIRST, SECOND.nodeid: SECOND}


def test_nothing_is_written_before_the_first_record(tmp_path: Path) -> None:
    """A session that finishes nothing leaves no file."""
    journal = Journal(tmp_path / "journal", CONDITIONS)

    assert journal.file is None
    assert not (tmp_path / "journal").exists()


def test_resumed_session_goes_on_in_the_same_file(tmp_path: Path) -> None:
    """Interrupted twice, all is still there."""
    written(tmp_path, FIRST)
    resumed(tmp_path).add(SECOND)

    assert set(resumed(tmp_path).found) == {FIRST.nodeid, SECOND.nodeid}
    assert len(list(tmp_path.iterdir())) == 1


def test_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    """A kill in the middle of a write costs that record only."""
    file = written(tmp_path, FIRST, SECOND)
    file.write_text(file.read_text()[:-20])

    assert set(resumed(tmp_path).found) == {FIRST.nodeid}


def test_record_after_a_cut_line_is_kept(tmp_path: Path) -> None:
    """What is added after a cut line starts on a line of its own."""
    file = written(tmp_path, FIRST)
    file.write_text(file.read_text() + '{"nodeid": "cut o')
    resumed(tmp_path).add(SECOND)

    assert set(resumed(tmp_path).found) == {FIRST.nodeid, SECOND.nodeid}


def test_full_disk_costs_that_record_only(small_disk: Path) -> None:
    """A record that does not fit raises OSError and leaves no half line behind: the next one is readable."""
    journal = Journal(small_disk, CONDITIONS)
    journal.add(FIRST)
    with pytest.raises(OSError, match="No space left"):
        journal.add(Finished(nodeid="large", rounds_s=[0.0] * 100_000, extra_info={}))
    journal.add(SECOND)
    del journal

    assert set(resumed(small_disk).found) == {FIRST.nodeid, SECOND.nodeid}


def test_full_disk_from_the_first_record_on(small_disk: Path) -> None:
    """The line of conditions is written with the first record that fits; until then there is no file to speak of."""
    journal = Journal(small_disk, CONDITIONS)
    with pytest.raises(OSError, match="No space left"):
        journal.add(Finished(nodeid="large", rounds_s=[0.0] * 100_000, extra_info={}))
    assert journal.file is None
    journal.add(SECOND)
    del journal

    assert set(resumed(small_disk).found) == {SECOND.nodeid}


@pytest.mark.parametrize(
    ("other", "told"), [({"batch_size": 4}, "batch_size: 8 then, 4 now"), ({"threads": 2}, "threads: None then, 2 now")]
)
def test_other_conditions_are_refused_with_both_values(tmp_path: Path, other: dict[str, object], told: str) -> None:
    """Records of another batch size must not be mixed with these; a condition that the journal does not know differs as well."""
    written(tmp_path, FIRST)

    with pytest.raises(ValueError, match=rf"other conditions \({told}\).*without --resume"):
        resumed(tmp_path, CONDITIONS | other)


def test_equal_conditions_survive_json(tmp_path: Path) -> None:
    """Tuples become lists in a file, and are the same condition still."""
    Journal(tmp_path, {"features": ("bf16",)}).add(FIRST)

    assert set(resumed(tmp_path, {"features": ("bf16",)}).found) == {FIRST.nodeid}


@pytest.mark.parametrize("first_line", ["", "rubbish", '{"no": "conditions"}', "[]", "[" * 100_000], ids=lambda line: line[:20])
def test_damaged_journal_is_refused(tmp_path: Path, first_line: str) -> None:
    """Without its first line nobody knows what the records were measured with."""
    (tmp_path / "20261101T000000-1.jsonl").write_text(f"{first_line}\n{json.dumps({'nodeid': 'x'})}\n")

    with pytest.raises(ValueError, match=r"20261101T000000-1\.jsonl is damaged.*delete it"):
        resumed(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        *(json.dumps({"nodeid": "x", "rounds_s": rounds_s, "extra_info": {}}) for rounds_s in ([], ["1"], [-1.0], [float("nan")], None)),
        json.dumps({"nodeid": 1, "rounds_s": [1.0], "extra_info": {}}),
        json.dumps({"nodeid": "x", "rounds_s": [1.0], "extra_info": []}),
        "[" * 100_000,
    ],
    ids=lambda line: line[:60],
)
def test_record_that_no_run_wrote_is_measured_anew(tmp_path: Path, line: str) -> None:
    file = written(tmp_path, FIRST)
    file.write_text(f"{file.read_text()}{line}\n")

    assert {FIRST.nodeid: FIRST} == resumed(tmp_path).found


def test_what_is_no_journal_of_ours_hides_no_older_one(tmp_path: Path) -> None:
    """A pipe would be read for ever; a folder and a link are refused as another user's file is."""
    file = written(tmp_path, FIRST)
    (tmp_path / "20990101T000000-1.jsonl").mkdir()
    os.mkfifo(tmp_path / "20990101T000000-2.jsonl")
    (tmp_path / "20990101T000000-3.jsonl").symlink_to(file)

    assert {FIRST.nodeid} == set(resumed(tmp_path).found)
    file.unlink()
    with pytest.raises(ValueError, match=r"-3\.jsonl cannot be gone on with \(.*\): name another --benchmark-storage, .*2 older journals"):
        resumed(tmp_path)


def test_runs_of_one_number_that_begin_in_one_second_have_a_journal_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is in containers that share a storage: the second one waited for the end of the first."""
    monkeypatch.setattr(journal, "datetime", SimpleNamespace(now=lambda _zone: datetime(2026, 11, 29, tzinfo=UTC)))
    first, second = Journal(tmp_path, CONDITIONS), Journal(tmp_path, CONDITIONS)
    first.add(FIRST)
    second.add(SECOND)
    with pytest.raises(ValueError, match=rf"20261129T000000-{os.getpid()}(\.2)?\.jsonl belongs to a run .*\(process {os.getpid()}\)"):
        resumed(tmp_path)
    second.remove()
    del first

    assert {FIRST.nodeid} == set(resumed(tmp_path).found)


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    """The message names the folder and the way on."""
    with pytest.raises(ValueError, match=r"nothing to resume: no journal in .*nowhere; start without --resume"):
        resumed(tmp_path / "nowhere")


def test_newest_journal_is_taken_up(tmp_path: Path) -> None:
    """An older session's journal is not mixed in."""
    (tmp_path / "20200101T000000-1.jsonl").write_text("rubbish")
    written(tmp_path, FIRST)

    assert set(resumed(tmp_path).found) == {FIRST.nodeid}


def test_only_the_newest_journals_are_kept(tmp_path: Path) -> None:
    """Runs that nobody saved or resumed do not pile up."""
    old_journals(tmp_path, 2025, MOST_JOURNALS + 5)
    newest = written(tmp_path, FIRST)

    left = sorted(tmp_path.iterdir())
    assert MOST_JOURNALS == len(left)
    assert left[-1] == newest


def test_saved_records_need_no_journal(tmp_path: Path) -> None:
    """Once the run is saved the file goes."""
    journal = Journal(tmp_path, CONDITIONS)
    journal.add(FIRST)
    journal.remove()
    journal.remove()

    assert list(tmp_path.iterdir()) == []


def test_living_runs_journal_is_neither_taken_nor_deleted(tmp_path: Path) -> None:
    """A run that is under way keeps its records, whatever other runs do; once it has ended they can be gone on with."""
    with begun_elsewhere(tmp_path) as run:
        assert run.stdout is not None
        file = Path(run.stdout.readline().strip())
        with pytest.raises(ValueError, match=rf"{file} belongs to a run that goes on \(process {run.pid}\): wait for its end, or start"):
            resumed(tmp_path)
        old_journals(tmp_path, 2099, MOST_JOURNALS + 5)
        written(tmp_path, SECOND).unlink()
        assert file.exists()
        for other in tmp_path.glob("2099*"):
            other.unlink()
        run.communicate(timeout=60)

    assert set(resumed(tmp_path).found) == {FIRST.nodeid, SECOND.nodeid}


def test_older_journal_that_fits_is_found(tmp_path: Path) -> None:
    """A run under other conditions, a damaged file and a living run between do not hide it."""
    lines = [{"conditions": CONDITIONS}, {"nodeid": "long", "rounds_s": [1.0], "extra_info": {}}]
    (tmp_path / "20260101T000000-1.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (tmp_path / "20260102T000000-1.jsonl").write_text(f"{json.dumps({'conditions': CONDITIONS | {'batch_size': 2}})}\n")
    (tmp_path / "20260103T000000-1.jsonl").write_text("rubbish")
    living = Journal(tmp_path, CONDITIONS)
    living.add(FIRST)

    assert set(resumed(tmp_path).found) == {"long"}
    assert living.file is not None
    assert living.file.exists()


def test_deleted_journals_are_told(tmp_path: Path) -> None:
    """Nobody's records go without a word."""
    old_journals(tmp_path, 2025, MOST_JOURNALS)
    told: list[str] = []
    Journal(tmp_path, CONDITIONS, note=told.append).add(FIRST)

    assert [
        f"the journal {tmp_path}/20250101T000000-1.jsonl was deleted: nobody saved or resumed its run, and 10 newer ones are kept"
    ] == told


def test_conditions_differ_by_fields() -> None:
    """Which variable, version or feature it is stands in the message, not whole tables."""
    machine = {"kernel": "6.1", "memory_bytes": 1000, "features": ["bf16"]}
    then = {"machine": machine, "versions": {"torch": "2.13.0", "numpy": "2.4"}, "environment": {"ONEDNN_VERBOSE": "1"}}
    now = {"machine": machine | {"kernel": "6.2", "memory_bytes": 1010}, "versions": {"torch": "2.12.0", "numpy": "2.4"}, "environment": {}}

    assert differences(then, then) == ""
    assert differences(then, now) == (
        "versions.torch: '2.13.0' then, '2.12.0' now; environment.ONEDNN_VERBOSE: '1' then, None now; machine.kernel: 6.1 then, 6.2 now"
    )
    assert "machine.memory_bytes: 1000 then, 900 now" in differences(then, then | {"machine": machine | {"memory_bytes": 900}})
    assert differences({}, {str(number): "x" * 500 for number in range(9)}).endswith("; and 5 more")
