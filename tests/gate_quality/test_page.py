"""The page says what was found, of how much, and how."""

import random

import pytest

from benchmarks.gate_quality import page as page_module
from benchmarks.gate_quality.kinds import KINDS
from benchmarks.gate_quality.page import page, title
from tests.gate_quality.recorded_gates import drawn_gate, errored, gate, study

EFFECTS = {"slower_2": 0.02, "slower_3": 0.03, "slower_5": 0.05, "slower_10": 0.1, "faster_5": -0.05}


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "GATES_WITHOUT_CHANGE", 100)
    monkeypatch.setattr(page_module, "GATES_WITH", 50)


def cells(text: str, section: str, row: str) -> list[list[str]]:
    """The cells of the rows that begin with `row` in the section."""
    [_, rest] = text.split(f"## {section}\n")
    lines = rest.split("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith(f"| {row} |")]


def test_part_of_a_study_says_so() -> None:
    text = page(study(gate(), gate("slower_3")))

    assert "**A part of the study: 2 of 340 gates have been held** (no change: 1 of 100, 3 % more work: 1 of 30, " in text
    assert "No kind has 60 pairs yet." in text


def test_kinds_have_titles() -> None:
    expected = ["no change", "3 % more work", "5 % more work", "2 % more work", "no change, noisy", "10 % more work", "5 % less work"]
    own_builds = ["no change, own builds of aot_inductor", "no change, own builds of pt2e_int8"]
    assert expected + own_builds == [title(kind) for kind in KINDS]


@pytest.mark.slow
def test_whole_study_is_told() -> None:
    generator = random.Random(8)
    gates = [drawn_gate(generator, kind.name, EFFECTS.get(kind.name, 0.0), 0.008) for kind in KINDS for _ in range(kind.gates)]
    text = page(study(*gates))

    assert "All 340 gates of the study have been held." in text
    [row] = cells(text, "Whole gates", "no change")
    assert ["openvino_fp32", "20, 20", "100 of 100", "0", "0", "100", "0"] == row[1:8]
    [promise] = cells(text, "Targets", "no change, idle: gates that call a regression")
    assert ["at most 1 %", "0 of 100 [at most 3.0 %]", "met"] == promise[1:]
    [longest] = cells(text, "Targets", "no change, idle: longest gate that the screen decided")
    assert ["at most 75 s", "20 s; it decided 100 of 100", "shown"] == longest[1:]
    [alone, dozen] = cells(text, "Larger counts by drawing recorded pairs anew", "5 % more work")
    assert ["50", "1", "100.00 % [94.18, 100.00]"] == alone[2:5]
    assert "12, this and 11 unchanged" == dozen[3]
    first, second = cells(text, "Other rules on the same rounds", "asv compare")
    assert "0 of 100" == first[1] == second[1]
    assert len(first) == 1 + len(KINDS)


def test_method_is_told() -> None:
    text = page(study(gate(), gate("slower_3", began="2026-11-22T10:00:00Z")))

    assert "AMD EPYC, 2 vCPUs, Linux 6.1.0; python 3.11.7, openvino 2026.4.1; 2026-11-20 to 2026-11-22, on 2 days (UTC)" in text
    assert "commit `0123456789ab`, code digest `0123456789abcdef`" in text
    assert "    python -m reports gate --base blocks-33 --head blocks-34 -k openvino_fp32" in text


def test_gates_that_came_to_nothing_are_counted() -> None:
    """An ERROR has no pairs, and no figures are made up for it."""
    text = page(study(errored()))

    [row] = cells(text, "Whole gates", "no change")
    assert ["20, 20", "1 of 100", "0", "0", "0", "1", "0", "-", "-", "-", "-", "-"] == row[2:14]
    assert "No gates yet." in text
