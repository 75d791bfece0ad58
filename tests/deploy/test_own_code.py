"""A deployment builds a factory's model as it was measured, whatever of it no file of weights has."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from fixtures import models
from fixtures.protocol import ModelSpec
from reports.deploy.emit import EMITTED
from tests.processes import ran

MODEL = """\
import torch
from torch import nn

DRAWN_AT_IMPORT = torch.randn(4)

class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.register_buffer("angles", torch.randn(4), persistent=False)
        self.mixed = nn.init.orthogonal_(torch.empty(64, 64))

    def forward(self, images):
        return self.linear(images.mean((2, 3))[:, :1] * self.angles + DRAWN_AT_IMPORT)

def alone():
    return Features()

def with_none():
    return Features(), None
"""
PROGRAM = """\
import sys, torch
torch.set_num_threads(2)
from architecture import create
made = create({"name": f"own:{sys.argv[1]}", "seed": 5})
assert torch.get_num_threads() == 2
torch.save({"angles": made.angles, "mixed": made.mixed}, "built.pt")
"""


@pytest.mark.parametrize("factory", ["alone", "with_none"])
def test_what_no_weights_file_has_is_as_it_was_measured(tmp_path: Path, factory: str) -> None:
    """Buffers that are not persistent and tensors that are attributes are drawn anew: other ones would answer otherwise."""
    (tmp_path / "own.py").write_text(MODEL)
    (tmp_path / "program.py").write_text(PROGRAM)
    shutil.copyfile(EMITTED / "architecture_code.py", tmp_path / "architecture.py")

    measured = models.plain(ModelSpec(name=f"{tmp_path}/own.py:{factory}", seed=5))
    done = ran([sys.executable, "program.py", factory], tmp_path, limit_s=120.0)

    assert 0 == done.returncode, done.stderr
    built = torch.load(tmp_path / "built.pt", weights_only=True)
    assert torch.equal(measured.angles, built["angles"])  # type: ignore[arg-type]
    assert torch.equal(measured.mixed, built["mixed"])  # type: ignore[arg-type]
