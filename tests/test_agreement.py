"""When the suite and a plain loop agree, and when they do not."""

import json
import subprocess
import sys

import msgspec
import pytest

from benchmarks.test_agreement import agreement, agrees
from fixtures.bench.launch import ROOT
from fixtures.protocol import ModelSpec
from reports.text.image_shape import ImageShape
from tests.benches import job_of


@pytest.mark.parametrize(
    ("suite", "expected"),
    [
        ((102.0,), True),
        ((110.0,), False),
        ((110.0, 111.0, 109.5), False),
        ((90.0, 91.0, 89.5), False),
        ((102.0, 101.0, 99.0), True),
        ((120.0, 101.0, 99.0), True),  # too noisy to tell
    ],
)
def test_figure_that_nobody_gets_does_not_agree(suite: tuple[float, ...], expected: bool) -> None:
    """Within the interval over pairs and 3 %; a single pair has no interval to lean on."""
    assert expected == agrees(agreement(suite, (100.0,) * len(suite)))


@pytest.mark.slow
def test_plain_loop_answers_with_its_throughput() -> None:
    """One line for each time that it is asked for, whatever images the model takes."""
    model = ModelSpec(name="timm:test_resnet", image=ImageShape(32, 48, 1))
    job = msgspec.structs.replace(job_of(model, "channels_last", runtime="eager"), batch_size=2)
    command = [sys.executable, "-m", "benchmarks.plain_loop", msgspec.json.encode(job).decode(), ""]
    done = subprocess.run(command, cwd=ROOT, input="0.1\n0.1\n", capture_output=True, text=True, check=True)

    assert all(json.loads(line) > 0 for line in done.stdout.splitlines())
    assert 2 == len(done.stdout.splitlines())
