"""How a gate of the study is asked for, and read; the repository that it is about; the neighbour."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate_quality import repository
from benchmarks.gate_quality.gates import arguments, read_gate
from benchmarks.gate_quality.kinds import KINDS, Kind
from benchmarks.gate_quality.record import StudyError
from fixtures.bench.launch import ROOT
from reports.gate.decision import Verdict
from reports.gate.show.gate_json import gate_json
from tests.gate.pairs import percent, result, row
from tests.gate_quality.recorded_gates import BLOCKS
from tests.processes import ended

MADE = (KINDS[0], KINDS[1], next(kind for kind in KINDS if kind.has_other_weights))


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "repository"
    repository.make(folder, MADE)
    return folder


@pytest.mark.parametrize(
    ("base", "head", "lines"),
    [
        ("blocks-33", "blocks-34", ["-BLOCKS = 33", "+BLOCKS = 34"]),
        ("blocks-4", "blocks-4-other-weights", ["-GAIN = 1.0", "+GAIN = 1.01"]),
    ],
)
def test_branches_differ_in_one_line_only(made: Path, base: str, head: str, lines: list[str]) -> None:
    changed = git(made, "diff", "--unified=0", base, head).splitlines()

    assert lines == [line for line in changed if line[0] in "+-" and line[:3] not in {"+++", "---"}]
    assert ["fixtures/models/synthetic_models.py"] == git(made, "diff", "--name-only", "blocks-20", base).split()


def test_repository_is_made_anew_over_an_old_one(made: Path) -> None:
    repository.make(made, MADE)
    assert ["blocks-20", "blocks-33", "blocks-34", "blocks-4", "blocks-4-other-weights"] == git(
        made, "branch", "--format=%(refname:short)"
    ).split()
    assert "" == git(made, "status", "--porcelain")


@pytest.mark.slow
def test_model_is_one_that_the_suite_builds(made: Path) -> None:
    """By the suite's own code, from the checkout: 34 blocks are a 33rd more multiplications than 33, but for what is no block."""
    code = """
import torch
from fixtures.models import create, model_id
from fixtures.protocol import ModelSpec
from reports.text.image_shape import square
from torch.utils.flop_counter import FlopCounterMode
spec = ModelSpec(name="synthetic:blocks", image=square(64))
with FlopCounterMode(display=False) as counter, torch.no_grad():
    create(spec)(torch.zeros(1, 3, 64, 64))
print(model_id(spec.name), counter.get_total_flops())
"""
    flops = []
    for branch in ("blocks-33", "blocks-34"):
        git(made, "switch", "--quiet", branch)
        name, count = subprocess.run([sys.executable, "-c", code], cwd=made, capture_output=True, text=True, check=True).stdout.split()
        assert "synthetic.blocks" == name
        flops.append(int(count))
    git(made, "switch", "--quiet", "blocks-20")

    assert flops[1] / flops[0] == pytest.approx(34 / 33, abs=2e-4)


def test_moved_text_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study patches two lines of the suite; where they are gone, no study is made of something else."""
    monkeypatch.setattr(repository, "BLOCKS", 77)
    kind = Kind(name="slower", gates=1, base_blocks=77, head_blocks=78)
    with pytest.raises(StudyError, match=r"synthetic_models\.py has .*BLOCKS = 77.* 0 times, expected once"):
        repository.make(tmp_path / "repository", [kind])


def test_gate_is_asked_for_both_branches_and_one_benchmark() -> None:
    asked = " ".join(arguments(KINDS[1]))
    assert "--base blocks-33 --head blocks-34 -k openvino_fp32 --budget 20m --model synthetic:blocks" in asked
    own = " ".join(arguments(next(kind for kind in KINDS if kind.has_other_weights)))
    assert "--base blocks-4 --head blocks-4-other-weights -k aot_inductor " in own
    assert "--budget 3m" in " ".join(arguments(next(kind for kind in KINDS if kind.is_noisy)))


def test_gate_is_read_from_its_json() -> None:
    """What the command writes is what the study records, every round included."""
    slower = row(BLOCKS, percent(4, 5, 6, 5, 4, 6), percent(*[4.9, 5.1] * 5, 5.0))
    told = json.loads(gate_json(result(slower, verdict=Verdict.REGRESSION)))
    gate = read_gate(told, kind="slower_5", began="2026-11-20T10:00:00Z", exit_code=1, took_s=60.0)

    assert (1, "REGRESSION", "slower_5", 60.0) == (gate.exit_code, gate.verdict, gate.kind, gate.took_s)
    assert (6, 11) == (len(gate.screen), len(gate.confirm))
    assert [pair.slowdown for pair in slower.pairs] == pytest.approx([pair.slowdown for pair in gate.pairs], abs=1e-6)
    assert "5.0 % slower in the median" in gate.why


def test_gate_that_was_not_held_is_read_with_its_reason() -> None:
    told = json.loads(gate_json(result(verdict=Verdict.ERROR, error="no disk")))
    gate = read_gate(told, kind="same", began="", exit_code=2, took_s=1.0)

    assert ("ERROR", "no disk", ()) == (gate.verdict, gate.why, gate.pairs)


def test_neighbour_ends_with_the_study() -> None:
    """Its stdin closes, however the study ended."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.gate_quality.neighbour"], cwd=ROOT, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert ended(process.pid)
    assert 0 == process.returncode
