"""Pairs survive a killed gate, and never mix with those of other conditions."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from fixtures.session.journal import JournalError, append_line
from reports.gate.benchmarks import GateError
from reports.gate.journal import FILE, PairJournal, only_gate_in
from reports.gate.pair import Figures
from tests.gate.pairs import pair

CONDITIONS = {"base": {"commit": "1" * 40}, "threads": 2}


def test_pairs_are_taken_up_in_order(tmp_path: Path) -> None:
    journal = PairJournal(tmp_path, CONDITIONS)
    journal.add(pair(0.01))
    journal.add(pair(0.02, "confirm"))

    assert (pair(0.01), pair(0.02, "confirm")) == PairJournal(tmp_path, CONDITIONS).pairs


def test_pairs_of_another_file_of_the_same_id_are_not_taken(tmp_path: Path) -> None:
    """A gate of `b/served.py:create` in the folder of one of `a/served.py:create` would pass without measuring anything."""
    journal = PairJournal(tmp_path, CONDITIONS)
    a, b, older = pair(0.01, named="a/served.py:create"), pair(0.02, named="b/served.py:create"), pair(0.03)
    for each in (a, b, older):
        journal.add(each)
    again = PairJournal(tmp_path, CONDITIONS)

    assert (b, older) == again.of({a.model: "b/served.py:create"})
    assert (older,) == again.of({})


def test_figures_beside_time_are_taken_up_and_older_pairs_have_none(tmp_path: Path) -> None:
    journal = PairJournal(tmp_path, CONDITIONS)
    told = pair(0.01, base=Figures(peak_rss_bytes=1e9), head=Figures(sqnr_db=40.0))
    journal.add(told)
    older = {name: value for name, value in asdict(pair(0.02)).items() if name not in {"base", "head"}}
    append_line(tmp_path / FILE, older, CONDITIONS)

    assert (told, pair(0.02)) == PairJournal(tmp_path, CONDITIONS).pairs


def test_line_that_was_cut_off_costs_that_pair_only(tmp_path: Path) -> None:
    journal = PairJournal(tmp_path, CONDITIONS)
    journal.add(pair(0.01))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"model": "resn')
    PairJournal(tmp_path, CONDITIONS).add(pair(0.02))

    assert (pair(0.01), pair(0.02)) == PairJournal(tmp_path, CONDITIONS).pairs


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "null",
        "1e308",
        '{"model": "resnet50"}',
        json.dumps(dict.fromkeys(pair().__slots__, "x")),
        json.dumps(asdict(pair()) | {"head_rounds_s": [0.0]}),
        json.dumps(asdict(pair()) | {"head_rounds_s": [float("nan")]}),
        json.dumps(asdict(pair()) | {"head_rounds_s": []}),
        json.dumps(asdict(pair()) | {"head_rounds_s": 7}),
        json.dumps(asdict(pair()) | {"phase": "third"}),
        json.dumps(asdict(pair()) | {"base": {"peak_rss_bytes": "much"}}),
        json.dumps(asdict(pair()) | {"base": {"peak_rss_bytes": float("inf")}}),
        json.dumps(asdict(pair()) | {"head": {"cold_start_s": float("nan")}}),
    ],
)
def test_line_that_is_no_pair_is_left_out(tmp_path: Path, line: str) -> None:
    """A hostile or damaged line costs its own pair."""
    PairJournal(tmp_path, CONDITIONS).add(pair(0.01))
    with (tmp_path / FILE).open("a") as file:
        file.write(f"{line}\n")

    assert (pair(0.01),) == PairJournal(tmp_path, CONDITIONS).pairs


def test_other_conditions_are_refused(tmp_path: Path) -> None:
    """Pairs of another commit are no pairs of this gate; the message names both, and the way on."""
    PairJournal(tmp_path, CONDITIONS).add(pair())

    with pytest.raises(JournalError, match=r"other conditions \(threads: 2 then, 4 now\); name another --out, or delete"):
        PairJournal(tmp_path, CONDITIONS | {"threads": 4})


def test_damaged_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("rubbish\n")

    with pytest.raises(JournalError, match=r"damaged from its first line on; delete .*pairs\.jsonl to start anew"):
        PairJournal(tmp_path, CONDITIONS)


def test_empty_journal_is_none(tmp_path: Path) -> None:
    """A gate may be killed before its first line."""
    (tmp_path / FILE).touch()
    journal = PairJournal(tmp_path, CONDITIONS)
    journal.add(pair())

    assert (pair(),) == PairJournal(tmp_path, CONDITIONS).pairs


def test_folder_is_for_one_gate_at_a_time(tmp_path: Path) -> None:
    with only_gate_in(tmp_path), pytest.raises(GateError, match="another gate is at work"), only_gate_in(tmp_path):
        pass
    with only_gate_in(tmp_path):
        pass


def test_a_link_in_the_locks_place_empties_no_file(tmp_path: Path) -> None:
    """A folder of pairs may have come from somebody else."""
    mine = tmp_path / "thesis.txt"
    mine.write_text("years of work")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lock").symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"), only_gate_in(tmp_path / "out"):
        pass

    assert "years of work" == mine.read_text()
