"""The study goes on where it ended, ends between two gates, and refuses to mix. No gate is held here, but in the slow test."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.gate_quality import gates, repository
from benchmarks.gate_quality.__main__ import main
from benchmarks.gate_quality.kinds import KINDS, Kind
from benchmarks.gate_quality.record import FILE, Gate, StudyError, append
from fixtures.bench.launch import ROOT
from tests.gate_quality.recorded_gates import CONDITIONS, errored, gate, recorded
from tests.processes import ended, ran, with_variable

MARK = "GATE_QUALITY_TEST"


class Bench:
    """Stands for whole gates: counts them, and lets them take a while of a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.fails = False
        self.held: list[str] = []
        self.built: list[tuple[int, int]] = []
        self.made = 0
        monkeypatch.setattr(gates, "hold", self.hold)
        monkeypatch.setattr(gates, "build", lambda kind, _folder: self.built.append((kind.base_blocks, kind.head_blocks)))
        monkeypatch.setattr(repository, "make", self.make)
        monkeypatch.setattr("benchmarks.gate_quality.study.time.monotonic", lambda: self.now_s)

    def hold(self, kind: Kind, _folder: Path) -> Gate:
        self.now_s += 60.0
        self.held.append(kind.name)
        return errored(kind.name) if self.fails else gate(kind.name, took_s=60.0)

    def make(self, _folder: Path, _kinds: Sequence[Kind]) -> None:
        self.made += 1


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def go_on(folder: Path, *arguments: str) -> int:
    return main(["--out", str(folder), *arguments])


def test_study_goes_on_where_it_ended(bench: Bench, tmp_path: Path) -> None:
    """Each gate is held once, each model built once, over any number of sessions."""
    for _ in range(4):
        assert 0 == go_on(tmp_path, "--gates", "5")

    assert bench.held == [each.kind for each in recorded(tmp_path)]
    assert 20 == len(bench.held)
    assert 1 == bench.made
    assert 6 == len(bench.built) == len(set(bench.built))
    assert dict.fromkeys((kind.name for kind in KINDS), 2) | {"same": 4} == Counter(bench.held)


def test_minutes_are_kept(bench: Bench, tmp_path: Path) -> None:
    """No gate begins that would end later, once it is known how long its kind takes."""
    for kind in KINDS:
        assert 0 == go_on(tmp_path, "--gates", "1", "--only", kind.name)
    bench.held.clear()
    bench.now_s = 0.0
    assert 0 == go_on(tmp_path, "--minutes", "5.5")

    assert 5 == len(bench.held)


def test_only_some_kinds_are_held(bench: Bench, tmp_path: Path) -> None:
    assert 0 == go_on(tmp_path, "--only", "same", "slower_5", "--gates", "6")
    assert {"same", "slower_5"} == set(bench.held)


def test_complete_study_holds_no_more(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == go_on(tmp_path, "--only", "slower_2")
    assert 0 == go_on(tmp_path, "--only", "slower_2")

    assert 30 == len(bench.held)
    assert "slower_2 30/30: PASS in 60 s" in capsys.readouterr().err


def test_other_code_is_refused(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path, gate(), CONDITIONS)

    assert 2 == go_on(tmp_path)
    assert "was begun with another machine, other versions or other code" in capsys.readouterr().err
    assert [] == bench.held


def test_page_of_another_machine_can_be_written(bench: Bench, tmp_path: Path) -> None:
    """Analysing needs no gate, so any machine may do it."""
    append(tmp_path, gate(), CONDITIONS)

    assert 0 == go_on(tmp_path, "--minutes", "0", "--write", str(tmp_path / "page.md"))
    assert "| no change | openvino_fp32 | 20, 20 | 1 of 100 |" in (tmp_path / "page.md").read_text()
    assert [] == bench.held


def test_nothing_to_analyse_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == go_on(tmp_path, "--minutes", "0")
    assert f"no gates in {tmp_path}: hold some with --minutes" in capsys.readouterr().err


def test_study_that_only_errs_stops(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An ERROR counts; three in a row mean that time is being wasted."""
    bench.fails = True

    assert 2 == go_on(tmp_path)
    assert 3 == len(recorded(tmp_path))
    assert "3 gates in a row ended in ERROR, the last one because the CPU melted" in capsys.readouterr().err


def test_model_that_cannot_be_built_is_no_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gates, "hold", lambda kind, _folder, _budget: errored(kind.name))

    with pytest.raises(StudyError, match="a gate of kind same cannot be held here: the CPU melted"):
        gates.build(KINDS[0], tmp_path)


def test_command_that_says_nothing_is_an_error(tmp_path: Path) -> None:
    """A repository whose command writes no result: its own last line is told."""
    reports = tmp_path / "repository" / "reports"
    reports.mkdir(parents=True)
    (reports / "__main__.py").write_text("raise SystemExit('no gate here')")

    with pytest.raises(StudyError, match="a gate of kind same ended with status 1 and no result: no gate here"):
        gates.hold(KINDS[0], tmp_path)


@pytest.mark.nightly
def test_study_holds_a_real_gate_and_writes_its_page(tmp_path: Path) -> None:
    """What it measures depends on the machine, that it is recorded does not; a failure shows what the gate said.

    A machine that has no time for six pairs within the gate's budget makes it INCONCLUSIVE, and that is what the gate has to say then.
    """
    command = [sys.executable, "-m", "benchmarks.gate_quality", "--out", str(tmp_path / "study"), "--gates", "1"]
    done = ran([*command, "--write", str(tmp_path / "page.md")], limit_s=3600)
    assert 0 == done.returncode, done.stderr

    [held] = recorded(tmp_path / "study")
    assert ("same", True) == (held.kind, held.verdict != "ERROR"), held.why
    assert held.pairs, held.why
    assert len(held.pairs) >= 6 or "budget" in held.why, held.why
    assert all(len(pair.base_rounds_s) == len(pair.head_rounds_s) >= 9 for pair in held.pairs)
    assert "**A part of the study: 1 of 340 gates have been held**" in (tmp_path / "page.md").read_text()


@pytest.mark.nightly
def test_study_that_is_stopped_keeps_what_it_has(tmp_path: Path) -> None:
    """SIGTERM in the middle of a gate: that gate is lost, no process is left, no worktree either."""
    command = [sys.executable, "-m", "benchmarks.gate_quality", "--out", str(tmp_path), "--only", "same_noisy"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {MARK: str(tmp_path)}, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / FILE).exists() and process.poll() is None:
            time.sleep(0.5)
        time.sleep(3)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=120)

    assert 2 == process.returncode
    assert "interrupted; the same command goes on" in told
    assert {each.kind for each in recorded(tmp_path)} == {"same_noisy"}
    worktrees = subprocess.run(["git", "-C", tmp_path / "repository", "worktree", "list"], capture_output=True, text=True, check=True)
    assert 1 == len(worktrees.stdout.splitlines())
    assert all(ended(pid) for pid in with_variable(MARK, str(tmp_path)))
