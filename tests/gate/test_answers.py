"""What each side gets right on labelled pictures: a regression of its own, and of new weights above all."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reports.gate.decision import Verdict
from reports.gate.limits import USUAL
from reports.gate.pair import Figures
from reports.gate.quantities import Quantity, quantities, reason
from reports.statistics.proportions import paired_difference
from tests import digit_pictures
from tests.gate.conftest import GIT, ROOT
from tests.gate.pairs import pair

LIMITS = replace(USUAL, accuracy_points=1.0)
SERVED = f"""\
import torch
from {Path(digit_pictures.FILE).stem} import create as trained


class Served(torch.nn.Module):
    \"\"\"The trained model, and convolutions that take time and change nothing.\"\"\"

    def __init__(self):
        super().__init__()
        self.trained = trained()
        torch.manual_seed(0)
        self.heavy = torch.nn.Sequential(*(torch.nn.Conv2d(width, 96, 3, padding=1, bias=False) for width in (3, 96, 96, 96)))

    def forward(self, x):
        return self.trained(x) + 0.0 * self.heavy(x).mean((1, 2, 3))[:, None]


def create():
    return Served().eval()
"""


def told(base: str | None, head: str | None, points: float | None = 1.0, alpha: float = 0.01) -> Quantity | None:
    """Return what six pairs tell whose sides classify pictures so."""
    some = [pair(base=Figures(right=base), head=Figures(right=head)) for _ in range(6)]
    found = quantities(some, replace(USUAL, accuracy_points=points), tests=1, alpha=alpha)
    return next((each for each in found if each.name == "accuracy"), None)


def test_head_that_answers_as_base_does_passes() -> None:
    found = told("1101" * 50, "1101" * 50)
    assert found is not None
    assert (0.75, 0.75, 0.0, Verdict.PASS) == (found.base, found.head, found.change, found.verdict)


def test_head_that_surely_answers_worse_is_a_regression() -> None:
    found = told("1" * 200, "1" * 180 + "0" * 20)
    assert found is not None
    assert Verdict.REGRESSION is found.verdict
    assert -10.0 == pytest.approx(found.change)
    assert "lost 10.0 points, 100.0 to 90.0 % (limit 1 points)" == reason(found)


def test_too_few_pictures_are_inconclusive() -> None:
    """One picture of fifty is 2 points, and may be chance."""
    found = told("1" * 50, "1" * 49 + "0")
    assert found is not None
    assert Verdict.INCONCLUSIVE is found.verdict
    assert reason(found).endswith("and the pictures are too few to tell)")


def test_losses_below_the_limit_and_gains_pass() -> None:
    for base, head in (("1" * 400, "1" * 397 + "000"), ("1" * 180 + "0" * 20, "1" * 200)):
        found = told(base, head)
        assert found is not None
        assert Verdict.PASS is found.verdict


def test_nothing_is_said_of_sides_that_classified_nothing_or_other_pictures() -> None:
    assert told(None, "1" * 10) is None
    assert told("1" * 10, "1" * 11) is None
    shown = told("1" * 10, "0" * 10, points=None)
    assert shown is not None
    assert shown.verdict is None


def test_interval_is_agresti_and_mins() -> None:
    """By hand for 12 gained and 3 lost of 100: centre (12.5 - 3.5) / 102, error 1.96 / 102 times sqrt(16 - 81 / 102)."""
    difference, low, high = paired_difference(12, 3, 100)
    assert 0.09 == difference
    assert [0.013305, 0.163166] == pytest.approx([low, high], abs=2e-6)


def commit(folder: Path, message: str) -> None:
    subprocess.run([*GIT, "-C", folder, "add", "--all"], check=True)
    subprocess.run([*GIT, "-C", folder, "commit", "--quiet", "--message", message], check=True)


@pytest.mark.nightly
def test_weights_that_answer_worse_are_a_regression(tmp_path: Path) -> None:
    """Head's weights take threes for fives, at no cost of time; head against itself loses nothing."""
    pytest.importorskip("sklearn", reason="scikit-learn has the digits -> pip install -e '.[dev]'")
    folder, pictures = tmp_path / "repository", tmp_path / "pictures"
    folder.mkdir()
    pictures.mkdir()
    digit_pictures.train(pictures)
    for name in ("digits.pt", digit_pictures.FILE):
        (pictures / name).rename(folder / name)
    (folder / "served.py").write_text(SERVED)
    subprocess.run([*GIT, "init", "--quiet", "--initial-branch", "main", folder], check=True)
    commit(folder, "trained")
    weights = torch.load(folder / "digits.pt", weights_only=True)
    last = [name for name in weights if name.endswith(("weight", "bias"))][-2:]
    for name in last:  # of the layer that scores the classes
        weights[name][[3, 5]] = weights[name][[5, 3]]
    torch.save(weights, folder / "digits.pt")
    commit(folder, "threes are fives")

    verdicts = {}
    for base in ("HEAD~1", "HEAD"):
        command = [
            sys.executable,
            "-m",
            "reports",
            "gate",
            "--base",
            base,
            "--head",
            "HEAD",
            "--model",
            "served.py:create",
            "-k",
            "baseline",
        ]
        command += [
            "--image-size",
            str(digit_pictures.SIZE),
            "--budget",
            "1s",
            "--accuracy",
            str(pictures / "unseen"),
            "--json",
            "gate.json",
        ]
        process = subprocess.run(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
        )
        result = json.loads((folder / "gate.json").read_text())
        [row] = result["benchmarks"]
        assert row["quantities"], (row["why"], process.stderr)
        [answers] = [each for each in row["quantities"] if each["name"] == "accuracy"]
        verdicts[base] = process.returncode, row["verdict"], answers["verdict"]
        assert ("lost" in row["why"]) is (base == "HEAD~1"), row["why"]
    assert {"HEAD~1": (1, "REGRESSION", "REGRESSION"), "HEAD": (3, "INCONCLUSIVE", "PASS")} == verdicts
