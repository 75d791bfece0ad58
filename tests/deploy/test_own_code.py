"""A deployment builds a factory's model as it was measured, whatever of it no file of weights has."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fixtures import models
from fixtures.protocol import ModelSpec, kernels
from reports.commands.measuring import CannotMeasure
from reports.deploy.emit import CARRIED, EMITTED, REPORTED_KERNELS, _carry, save_weights
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
VIEWS = """\
import torch
from torch import nn

class Views(nn.Module):
    def __init__(self):
        super().__init__()
        both, table = torch.randn(20, 3), torch.randn(9, 3)
        self.one, self.other = nn.Parameter(both[:10]), nn.Parameter(both[10:])
        self.positions = nn.Parameter(torch.randn(64, 3)[:16])
        self.table, self.transposed, self.flat = nn.Parameter(table), nn.Parameter(table.T), nn.Parameter(table.view(27))
        self.first, self.layer = nn.Linear(3, 3), nn.Linear(3, 3)
        self.tied = self.layer
        self.register_buffer("mask", torch.randn(1, 3).expand(5, 3))
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("nothing", torch.empty(0))

def create(_described):
    return Views()
"""
LOADED = """\
from pathlib import Path
import torch
from architecture import create
from runtime_torch import load_weights
made = create(None)
load_weights(made, Path("weights.safetensors"))
assert made.tied.weight is made.layer.weight
torch.save(made.state_dict(), "built.pt")
try:
    load_weights(torch.nn.Linear(3, 3), Path("weights.safetensors"))
except ValueError as error:
    print(error)
"""


def test_weights_that_are_views_of_others_are_written_and_loaded(tmp_path: Path) -> None:
    """Slices, transposed and expanded tensors, and one tensor under two names, which lies in the file once."""
    (tmp_path / "architecture.py").write_text(VIEWS)
    (tmp_path / "program.py").write_text(LOADED)
    for module in CARRIED:
        _carry(module, tmp_path)
    _carry(kernels, tmp_path, REPORTED_KERNELS)
    for name in ("runtime_torch.py", "onednn.py", "tensors.py"):
        shutil.copy(EMITTED / name, tmp_path)
    given: dict[str, Any] = {}
    exec(VIEWS, given)
    module = given["create"](None)

    save_weights(module, tmp_path / "weights.safetensors")
    done = ran([sys.executable, "program.py"], tmp_path, limit_s=120.0)

    assert 0 == done.returncode, done.stderr
    assert "weights.safetensors is not of this model: weight, bias, " in done.stdout
    built, state = torch.load(tmp_path / "built.pt", weights_only=True), module.state_dict()
    assert state.keys() == built.keys()
    assert all(torch.equal(tensor, built[name]) for name, tensor in state.items())
    assert not any(name.startswith("tied.") for name in load_file(tmp_path / "weights.safetensors"))


def test_what_no_weights_file_can_hold_is_refused(tmp_path: Path) -> None:
    class Extra(torch.nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"scale": 2}

    with pytest.raises(CannotMeasure, match="the model keeps a dict under '_extra_state'"):
        save_weights(Extra(2, 2), tmp_path / "weights.safetensors")


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
