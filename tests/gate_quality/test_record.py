"""Recorded gates survive a kill, and never mix machines, versions or code."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gate_quality.record import FILE, MEASURING, StudyError, append, code_digest, conditions_now, read, refuse_other
from fixtures.bench.launch import ROOT
from tests.gate_quality.recorded_gates import CONDITIONS, errored, gate, recorded


def test_gates_are_read_as_they_were_written(tmp_path: Path) -> None:
    gates = [gate(), gate("slower_3", (0.03,) * 6, (0.03,) * 11), errored()]
    for each in gates:
        append(tmp_path, each, CONDITIONS)
    found = read(tmp_path)

    assert found is not None
    assert (CONDITIONS, gates) == (found.conditions, found.gates)


def test_nothing_recorded_is_no_study(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    (tmp_path / FILE).touch()
    assert read(tmp_path) is None


def test_line_that_was_cut_off_costs_that_gate_only(tmp_path: Path) -> None:
    append(tmp_path, gate(), CONDITIONS)
    whole = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(whole + whole.splitlines()[1][:200])
    append(tmp_path, gate("slower_5"), CONDITIONS)

    assert ["same", "slower_5"] == [each.kind for each in recorded(tmp_path)]


@pytest.mark.parametrize("line", ["[]", "1", '{"kind": "same"}', '{"kind": 3}'])
def test_line_that_is_no_gate_is_left_out(tmp_path: Path, line: str) -> None:
    append(tmp_path, gate(), CONDITIONS)
    with (tmp_path / FILE).open("a") as file:
        file.write(f"{line}\n")

    assert 1 == len(recorded(tmp_path))


def test_gate_with_times_that_are_none_is_left_out(tmp_path: Path) -> None:
    append(tmp_path, gate(), CONDITIONS)
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text().replace('"base_rounds_s": [', '"base_rounds_s": [-1, -1, -1, '))

    assert [] == recorded(tmp_path)


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("rubbish\n")
    with pytest.raises(StudyError, match=r"damaged from its first line on; delete .*gates\.jsonl to start anew"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"machine": CONDITIONS["machine"] | {"cpu_model": "Neoverse V2"}}, "cpu_model: AMD EPYC then, Neoverse V2 now"),  # type: ignore[operator]
        ({"versions": {"python": "3.12.0"}}, "versions.python: .* then, .3.12.0. now"),
        ({"code": "f" * 16}, "code: '0123456789abcdef' then, 'ffffffffffffffff' now"),
    ],
)
def test_other_conditions_are_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(StudyError, match=rf"{named}.*the code is that of commit 0123456789ab.*name another --out"):
        refuse_other(CONDITIONS, CONDITIONS | change, tmp_path)


def test_kernel_and_commit_may_change(tmp_path: Path) -> None:
    """A study is spread over days; a commit that changes nothing that measures is none to stop at."""
    now = json.loads(json.dumps(CONDITIONS)) | {"commit": "another"}
    now["machine"] |= {"kernel": "6.2.0", "memory_bytes": 16 * 2**30 - 1}
    refuse_other(CONDITIONS, now, tmp_path)


def test_conditions_survive_the_file(tmp_path: Path) -> None:
    """What was written is what a later session compares with."""
    now = conditions_now()
    append(tmp_path, gate(), now)
    found = read(tmp_path)

    assert found is not None
    refuse_other(found.conditions, now, tmp_path)


@pytest.mark.parametrize(
    "changed",
    ["fixtures/bench/turns.py", "reports/gate/decision.py", "benchmarks/gate_quality/blocks.py", "benchmarks/gate_quality/gates.py"],
)
def test_code_that_measures_or_decides_is_digested(tmp_path: Path, changed: str) -> None:
    for folder in (*MEASURING, "benchmarks/gate_quality"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = code_digest(tmp_path)
    for file in ("benchmarks/gate_quality/page.py", "reports/gate/show/gate_tables.py"):
        (tmp_path / file).write_text("")

    assert before == code_digest(ROOT) == code_digest(tmp_path)
    (tmp_path / changed).write_text("")
    assert before != code_digest(tmp_path)
