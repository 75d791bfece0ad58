"""Models of other code: functions of a module or a file, with example inputs of their own or with images."""

import os
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from fixtures import models
from fixtures.bench.launch import Launcher
from fixtures.bench.rig import describe
from fixtures.bench.variables import with_this_folder
from fixtures.models import Model, UnknownModelError, factories, state
from fixtures.protocol import ModelSpec
from reports.text.image_shape import square

OWN = """\
from collections import UserDict

import torch
from torch import nn

def create() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))

class Sum(nn.Module):
    def forward(self, one, other):
        return {"sum": one + other[0], "parts": (one, None, other)}

class Nothing(nn.Module):
    def forward(self, one):
        return {"loss": None}

def by_place():
    return Sum(), (torch.arange(6.0).reshape(3, 2), [torch.ones(3, 2)])

def by_name():
    return Sum(), {"other": (torch.ones(3, 2),), "one": torch.arange(6.0).reshape(3, 2)}

def single():
    return nn.Linear(2, 2), torch.arange(6.0).reshape(3, 2)

def nothing():
    return Nothing(), torch.zeros(3, 2)

def uneven():
    return Sum(), (torch.zeros(3, 2), torch.zeros(2, 2))

def scalar():
    return Sum(), (torch.zeros(3, 2), torch.tensor(1.0))

def constant():
    return Sum(), {"one": torch.zeros(3, 2), "flag": True}

def triple():
    return Sum(), torch.zeros(3, 2), 3

def with_argument(size):
    return nn.Linear(size, 2), torch.zeros(3, size)

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(2))

def brain():
    return nn.Linear(2, 2), {"x": torch.zeros(3, 2, dtype=torch.bfloat16)}

def of_a_tokenizer():
    return Sum(), UserDict(one=torch.arange(6.0).reshape(3, 2), other=(torch.ones(3, 2),))

number = 1
made = nn.ReLU()
"""


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of another project, on the module path."""
    package = tmp_path / "someones_models"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "small.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == package.name]:
        del sys.modules[name]  # another test's package of this name
    return package


def spec(function: str) -> ModelSpec:
    return ModelSpec(name=f"someones_models.small:{function}", image=square(64))


def test_model_of_other_code_is_what_its_function_returns(own_models: Path) -> None:
    """Ready to measure as any other: drawn from the seed, in eval mode, without gradients; it takes images unless it says otherwise."""
    built = models.build(spec("create"))

    assert built.inputs is None
    assert (2, 10) == tuple(built.module(torch.zeros(2, 3, 64, 64)).shape)
    assert not built.module.training
    assert not any(parameter.requires_grad for parameter in built.module.parameters())
    again = models.create(spec("create")).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in built.module.state_dict().items())


def test_file_is_a_model_as_its_module_is(own_models: Path) -> None:
    """It can import what stands beside it, and takes the place of no library."""
    (own_models / "beside.py").write_text("WIDTH = 7\n")
    file = own_models / "json.py"
    file.write_text("from torch import nn\nfrom beside import WIDTH\n\ndef create():\n    return nn.Linear(WIDTH, WIDTH)\n")
    import json

    module = models.create(ModelSpec(name=f"{file}:create"))

    assert (7, 7) == tuple(next(module.parameters()).shape)
    assert sys.modules["json"] is json


@pytest.mark.parametrize("function", ["by_place", "by_name", "of_a_tokenizer"])
def test_example_inputs_go_where_they_came_from(own_models: Path, function: str) -> None:
    """Every runtime gives tensors by place; the model gets them as its factory had them, whatever their nesting."""
    built = models.build(spec(function))
    assert built.inputs is not None
    rows = built.inputs.draw(3, 0)

    outputs = built.module(*(torch.from_numpy(array) for array in rows.values()))
    named = built.module.named_outputs(*(torch.from_numpy(array) for array in rows.values()))  # type: ignore[operator]

    expected = {"by_place": ["0", "1.0"], "by_name": ["other.0", "one"], "of_a_tokenizer": ["one", "other.0"]}
    assert expected[function] == list(rows)
    assert ["sum", "parts.0", "parts.2.0"] == [name for name, _ in named]
    assert torch.equal(torch.arange(6.0).reshape(3, 2) + 1, outputs[0])


def test_rows_of_the_example_are_taken_in_turn(own_models: Path) -> None:
    """A batch may be larger than the example; row i is the same in every batch."""
    inputs = models.build(spec("single")).inputs
    assert inputs is not None
    [rows] = inputs.draw(8, 0).values()

    assert ["input"] == list(inputs.draw(1, 0))
    assert (8, 2) == rows.shape
    assert np.array_equal(rows[:3], rows[3:6])


def test_all_rows_and_labels_of_a_factory_are_what_its_inputs_are() -> None:
    """INT8 is calibrated with more rows than are served at once, and a metric looks at all of them: none may change unseen."""

    def inputs_of(rows: np.ndarray, labels: np.ndarray | None) -> str:
        inputs = factories._inputs("my.models:create", torch.from_numpy(rows), labels)
        return state.describe(Model(module=torch.nn.Identity(), inputs=inputs)).inputs

    rows, labels = np.arange(100, dtype=np.float32).reshape(50, 2), np.arange(50)
    last, mended = rows.copy(), labels.copy()
    last[-1, -1], mended[-1] = 0, 7
    found = [inputs_of(*each) for each in ((rows, labels), (last, labels), (rows, mended), (rows, None), (rows[:8], labels[:8]))]

    assert 5 == len(set(found))
    assert found[0] == inputs_of(rows.copy(), labels.copy())


def test_what_lies_in_the_callers_folder_takes_nothings_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of a model are found there; others of it run in no worker, whatever they are called."""
    for name in ("sitecustomize", "numpy", "queue", "torch", "msgspec"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    (tmp_path / "width.py").write_text("WIDTH = 3\n")
    (tmp_path / "served.py").write_text("import queue, torch, width\ndef create(): return torch.nn.Conv2d(width.WIDTH, 1, 1)\n")
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.py").write_text("import torch, width\ndef create(): return torch.nn.Conv2d(width.WIDTH, 2, 1)\n")
    monkeypatch.chdir(tmp_path)
    launcher = Launcher(environment=with_this_folder(os.environ))
    for name in ("served:create", f"{tmp_path}/nets/net.py:create"):
        assert describe(launcher, ModelSpec(name=name, image=square(64))).built is not None

    assert not (tmp_path / "ran").exists()


def test_artifacts_depend_on_the_code_of_the_model(own_models: Path) -> None:
    """A gate of two revisions must not measure head with what was compiled from base, wherever in the package they differ."""
    for name in ("someones_models.small:create", f"{own_models / 'small.py'}:create"):
        before = models.content(ModelSpec(name=name))
        assert before == models.content(ModelSpec(name=name))
        (own_models / "layers.py").write_text(f"text = {name!r}\n")

        assert before != models.content(ModelSpec(name=name))


def test_code_is_told_apart_by_names_too(own_models: Path) -> None:
    """Two files that swap their contents are other code, although the bytes of all files together are the same."""
    (own_models / "a.py").write_text("width = 1\n")
    (own_models / "b.py").write_text("width = 2\n")
    before = models.content(spec("create"))
    (own_models / "a.py").write_text("width = 2\n")
    (own_models / "b.py").write_text("width = 1\n")

    assert before != models.content(spec("create"))


@pytest.mark.parametrize("name", ["someones_models.small:create", "{folder}/small.py:create"])
def test_links_that_lead_in_circles_are_followed_once(own_models: Path, name: str) -> None:
    """A folder may hold a link to its parent, to itself, or to nothing; what lies behind a link outside is code as well."""
    outside = own_models.parent / "outside"
    outside.mkdir()
    (outside / "layers.py").write_text("width = 1\n")
    inside = own_models / "inside"
    inside.mkdir()
    (inside / "up").symlink_to(own_models)
    (inside / "itself").symlink_to(inside)
    (inside / "nothing").symlink_to(own_models / "no such folder")
    (inside / "nothing.py").symlink_to(own_models / "no such file.py")
    (inside / "outside").symlink_to(outside)
    model = ModelSpec(name=name.format(folder=own_models))
    before = models.content(model)
    (outside / "layers.py").write_text("width = 2\n")

    assert before != models.content(model)


def test_huge_folder_is_read_as_far_as_the_bounds_go(own_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in somebody's home does not make the suite read all of it; the file itself counts in any case."""
    monkeypatch.setattr(factories, "MOST_FOLDERS", 3)
    monkeypatch.setattr(factories, "MOST_SOURCES", 4)
    for number in range(20):
        (own_models / f"{number}").mkdir()
        (own_models / f"{number}" / "other.py").touch()
    file = own_models / "zzz.py"
    file.write_text("width = 1\n")
    before = factories.digest(f"{file}:create")
    file.write_text("width = 2\n")

    assert before != factories.digest(f"{file}:create")


def test_code_is_found_in_the_current_folder(own_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's own process may not have it among its paths, and must still know when it changes."""
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(own_models.parent)])
    monkeypatch.chdir(own_models.parent)
    before = models.content(spec("create"))
    (own_models / "small.py").write_text(f"{OWN}\nnew = 1\n")

    assert before != models.content(spec("create"))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("other", "no attribute 'other'"),
        ("number", "expected a function, found int"),
        ("made", "expected a function, found ReLU; name a function without arguments that returns the model"),
        ("with_argument", r"with_argument is called without arguments, .*'size'\); give them defaults"),
        ("lazy", "'1.weight' has no shape before the first inference, as of nn.LazyLinear; let the factory call the module once"),
        ("brain", r"the example input 'x' is a tensor of torch.bfloat16 .*; return a dense one of float32"),
        ("print", r"expected a torch.nn.Module, or a tuple of one and example inputs, found NoneType"),
        ("triple", r"the labels that it returns third have shape \(\); expected one for each of the"),
        ("uneven", r"example inputs have shapes \{'0': \(3, 2\), '1': \(2, 2\)\}; expected at least one tensor, and as many samples"),
        ("scalar", r"example inputs have shapes .*'1': \(\)\}; expected"),
        ("constant", "as example inputs, found bool at 'flag'; bind constants in the module"),
    ],
)
def test_factory_that_returns_no_model_says_why(own_models: Path, function: str, reason: str) -> None:
    """With what to do about it."""
    (own_models / "small.py").write_text(f"{OWN}print = print\n")
    with pytest.raises(UnknownModelError, match=reason):
        models.create(spec(function))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_package:create", "No module named 'no_such_package'; run from its folder, put that on PYTHONPATH"),
        ("/no/such/file.py:create", "there is no file '/no/such/file.py'"),
    ],
)
def test_code_that_is_not_there_is_named(name: str, reason: str) -> None:
    """Before anything else is tried."""
    with pytest.raises(UnknownModelError, match=reason):
        models.create(ModelSpec(name=name))


def test_output_without_a_tensor_is_refused(own_models: Path) -> None:
    """Nothing of it could be compared."""
    with pytest.raises(ValueError, match="the model returns a dict without a tensor"):
        models.create(spec("nothing"))(torch.zeros(1, 2))


def test_a_package_s_version_is_part_of_the_code_of_its_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer of transformers calls masks and attention of other files: those of another release may answer otherwise."""
    (tmp_path / "layers_of_a_package.py").write_text("from torch import nn\nclass Layer(nn.Linear):\n    pass\n")
    metadata = tmp_path / "layers_of_a_package-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "layers_of_a_package", raising=False)

    def code_of(version: str) -> str:
        metadata.write_text(f"Metadata-Version: 2.1\nName: layers-of-a-package\nVersion: {version}\n")
        module = import_module("layers_of_a_package").Layer(2, 2)
        return state.describe(Model(module=module)).code

    assert code_of("1.0") == code_of("1.0") != code_of("1.1")
