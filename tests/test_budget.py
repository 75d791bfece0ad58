"""`--budget` in real runs, and earlier runs of the machine in the report of the next one."""

import re
from pathlib import Path

import pytest

from reports.statistics.further_pairs import MOST_PAIRS
from tests.test_suite import Suite, records

QUIET = ("-p", "tests.undisturbed", "--benchmark-autosave")


@pytest.fixture
def suite(tmp_path: Path, artifact_folder: Path, mark: str) -> Suite:
    return Suite(tmp_path / "storage", artifact_folder, mark)


@pytest.mark.slow
def test_time_that_is_left_goes_into_further_pairs(suite: Suite) -> None:
    """They are pairs like the first one, of fresh processes, and all that is saved of the step is of all its pairs."""
    status, output = suite.run(*QUIET, "--budget=15m", steps=["baseline", "batch_2"])
    [run] = suite.runs()
    baseline, step = records(run)["baseline"], records(run)["batch_2"]
    info = step["extra_info"]

    assert status == 0, output
    assert 900 == run["budget_s"]
    assert 1 == len(baseline["extra_info"]["pairs"])
    assert 2 <= len(info["pairs"]) <= MOST_PAIRS
    assert len(info["pairs"]) == len({pair["own_process"] for pair in info["pairs"]})
    rounds_s = [round_s for pair in info["pairs"] for round_s in pair["own_rounds_s"]]
    assert rounds_s == pytest.approx(step["stats"]["data"])
    assert info["gain"]["low"] < info["gain"]["ratio"] < info["gain"]["high"]
    further = len(info["pairs"]) - 1
    assert f"--budget 15 min: {further} further pair" in output
    assert re.search(r"\[further\] torchvision\.resnet18-batch_2: pair 2 of 2", output)
    assert [] == suite.journals()


@pytest.mark.slow
def test_first_pairs_that_take_all_the_time_are_kept(suite: Suite) -> None:
    status, output = suite.run(*QUIET, "--budget=1s", steps=["baseline", "batch_2"])
    [run] = suite.runs()

    assert status == 0, output
    assert [1, 1] == [len(each["extra_info"]["pairs"]) for each in run["benchmarks"]]
    assert "the first pairs took all of --budget 1 s" in output


@pytest.mark.slow
def test_a_second_run_is_told_by_the_pairs_of_the_first(suite: Suite) -> None:
    """The report says so, with their number; the file keeps it."""
    _, first = suite.run(*QUIET, "--budget=15m", steps=["baseline", "batch_2"])
    status, output = suite.run(*QUIET, steps=["baseline", "batch_2"])
    before, after = suite.runs()
    pairs = len(records(before)["batch_2"]["extra_info"]["pairs"])

    assert status == 0, output
    assert "pairs of earlier runs" not in first
    assert f"How far pairs of this machine spread is told by {pairs} pairs of earlier runs, too." in output.replace("\n", " ")
    assert [0, pairs] == [before["earlier_pairs"], after["earlier_pairs"]]
