"""The ladder adapts, in real runs: a model that works forty times as much in channels-last, and what stands on that step."""

import json
from pathlib import Path
from typing import Any

import pytest

from fixtures.machine import this_machine
from fixtures.steps.optimizations import catalogue
from fixtures.steps.recipe import unmet
from tests.conftest import skip_unless_met
from tests.session.test_suite import Suite, outcomes, read_until, records

SLOW = """\
import torch
from torch import nn

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Conv2d(3, 32, 3, 2), nn.Conv2d(32, 64, 3), nn.Linear(64, 10)

    def forward(self, x):
        for _ in range(40 if x.is_contiguous(memory_format=torch.channels_last) else 1):
            seen = self.second(self.first(x).relu()).relu()
        return self.out(seen.mean((2, 3)))

def create(): return Slow()
"""
ABOVE = next((step for step in ("tcmalloc", "workers_pinned", "compile") if unmet(catalogue()[step], this_machine()) is None), "compile")


@pytest.fixture
def suite(tmp_path: Path, artifact_folder: Path, mark: str) -> Suite:
    return Suite(tmp_path / "storage", artifact_folder, mark)


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    file = tmp_path / "model" / "slow.py"
    file.parent.mkdir()
    file.write_text(SLOW)
    return ("--model", f"{file}:create", "-p", "tests.undisturbed", "--benchmark-autosave")


def infos(suite: Suite) -> dict[str, dict[str, Any]]:
    return {step: each["extra_info"] for step, each in records(suite.runs()[-1]).items()}


@pytest.mark.slow
def test_a_slower_step_is_shown_and_left_out_of_what_follows(suite: Suite, options: tuple[str, ...]) -> None:
    """With its figure, and the reason in the records of the recipes without it."""
    skip_unless_met(ABOVE)
    status, output = suite.run(*options, steps=["channels_last", ABOVE])
    found = infos(suite)

    assert status == 0, output
    assert {"channels_last": "measured", ABOVE: "measured"} == outcomes(suite.runs()[-1])
    assert ("batch_8", "slower") == (found["channels_last"]["gain"]["over"], found["channels_last"]["gain"]["verdict"])
    assert found["channels_last"]["decision"]["kept"] is False
    assert "slower); left out of the recipes above it" in output
    assert "channels_last note: left out of the recipes above it, being slower than batch_8" in output.replace("\n", " ")
    above = found[ABOVE]
    assert "channels_last" in above["left_out"]
    assert "channels_last" not in above["recipe"]
    assert "channels_last" != above["gain"]["over"]
    assert above["left_out_reasons"]["channels_last"].endswith("% slower than batch_8")
    assert {} == {step: why for step, why in above["left_out_reasons"].items() if not why}


@pytest.mark.nightly
def test_all_steps_stay_where_that_is_asked_for(suite: Suite, options: tuple[str, ...]) -> None:
    """As published ladders stack them; the record says that the step was slower."""
    skip_unless_met(ABOVE)
    status, output = suite.run(*options, "--stack=all", steps=["channels_last", ABOVE])
    found = infos(suite)

    assert status == 0, output
    assert (True, "slower") == (found["channels_last"]["decision"]["kept"], found["channels_last"]["decision"]["gain"]["verdict"])
    assert "channels_last" in found[ABOVE]["recipe"]
    assert "channels_last" not in found[ABOVE]["left_out"]


@pytest.mark.nightly
@pytest.mark.parametrize("kept", [False, True], ids=["left out", "kept"])
def test_a_resumed_run_takes_the_decisions_of_its_records(suite: Suite, options: tuple[str, ...], kept: bool) -> None:
    """They are read, never taken anew: what the journal left out stays out, and what it kept is kept, however slow."""
    skip_unless_met(ABOVE)
    with suite.start(*options, steps=["channels_last", ABOVE]) as process:
        read_until(process, r"\[1/2\] slow\.create-channels_last: .* samples per second")
        process.kill()
    [journal] = suite.journals()
    conditions, record, *_ = map(json.loads, journal.read_text().splitlines())
    record["extra_info"]["decision"]["kept"] = kept  # whatever this machine made of it
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in (conditions, record)))

    status, output = suite.run(*options, "--resume", steps=["channels_last", ABOVE])
    found = infos(suite)

    assert status == 0, output
    assert found["channels_last"]["resumed"]
    assert kept == ("channels_last" in found[ABOVE]["recipe"])
    assert kept == ("channels_last" not in found[ABOVE]["left_out"])


@pytest.mark.nightly
def test_a_run_that_stacks_otherwise_is_not_resumed(suite: Suite, options: tuple[str, ...]) -> None:
    """Its recipes would be others."""
    with suite.start(*options, steps=["channels_last", "batch_2"]) as process:
        read_until(process, r"\[1/2\] slow\.create-\w+: .* samples per second")
        process.kill()

    status, output = suite.run(*options, "--resume", "--stack=all", steps=["channels_last", "batch_2"])

    assert status == pytest.ExitCode.USAGE_ERROR
    assert "other conditions (stack: 'not-slower' then, 'all' now)" in output.replace("\n", " ")


@pytest.mark.nightly
def test_a_quick_run_compiles_what_pays(suite: Suite, options: tuple[str, ...]) -> None:
    """The compiled step stands on what was not slower, and its gain is over a step that the run shows."""
    skip_unless_met("compile_freezing")
    chosen = ("--quick", "-k", "batch_8 or channels_last or compile_freezing")
    status, output = suite.run(*options, *chosen, steps=["batch_8", "channels_last"])
    found = infos(suite)

    assert status == 0, output
    assert found["channels_last"]["decision"]["kept"] is False
    assert "channels_last" not in found["compile_freezing"]["recipe"]
    assert found["compile_freezing"]["gain"]["over"] in {"batch_8", "bf16_autocast"}
