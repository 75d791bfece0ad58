"""Whole gates: real worktrees, sides and workers, a small model. What they measure depends on the machine, what they say does not."""

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from fixtures.protocol import PROTOCOL_VERSION
from fixtures.protocol.side_protocol import SIDE_PROTOCOL_VERSION
from tests.gate.conftest import ROOT, Repository, committed
from tests.gate.wheels import requirements, wheel
from tests.processes import ended, with_variable

MARK = "GATE_OF_A_TEST"
SMALL = ("--model", "torchvision:resnet18")
SERVED_BASELINE = ("--model", "served:create", "-k", "served and baseline")
ONNXRUNTIME = "served and onnxruntime and not int8 and not fast_math and not attention"
TOO_SHORT = ("--budget", "1s")  # one pair: the first is always measured
INSTALLED = """\
import torch

def create():
    wide = {width}
    return torch.nn.Sequential(torch.nn.Conv2d(3, wide, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
"""
pytestmark = pytest.mark.nightly


@dataclass(frozen=True)
class Told:
    """What a gate said."""

    code: int
    result: dict[str, Any]
    out: str
    err: str

    @property
    def verdicts(self) -> dict[str, str]:
        return {row["id"]: row["verdict"] for row in self.result["benchmarks"]}


def start(repository: Repository, arguments: Sequence[str], python: str = sys.executable, **environment: str) -> "subprocess.Popen[str]":
    models = () if "--model" in arguments else SMALL
    command = [python, "-m", "reports", "gate", *models, "--image-size", "64", *arguments]
    return subprocess.Popen(
        command, cwd=repository.folder, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def gate(repository: Repository, tmp_path: Path, *arguments: str, python: str = sys.executable, **environment: str) -> Told:
    file = tmp_path / "gate.json"
    process = start(repository, [*arguments, "--json", str(file)], python, **environment)
    out, err = process.communicate(timeout=1800)
    assert "Traceback" not in err, err
    assert 1 == len(repository.worktrees), "worktrees are removed at the end"
    return Told(process.returncode, json.loads(file.read_text()), out, err)


def gate_of_last(other: Repository, tmp_path: Path, *arguments: str, python: str = sys.executable, path: str = str(ROOT)) -> Told:
    """Gate the last commit of a repository without fixtures against the one before it."""
    revisions = ("--base", "HEAD^1", "--head", "HEAD", "--artifact-cache", str(tmp_path / "artifacts"))
    return gate(other, tmp_path, *revisions, *arguments, python=python, PYTHONPATH=path)


def test_equal_sides_are_no_regression(repository: Repository, tmp_path: Path) -> None:
    """A/A: PASS on a calm machine, INCONCLUSIVE on a noisy one or where the time did not suffice."""
    told = gate(repository, tmp_path, "--base", "main", "--head", "main", "-k", "baseline", "--budget", "90s")

    assert {"torchvision.resnet18-baseline"} == set(told.verdicts)
    assert (told.result["verdict"], told.code) in {("PASS", 0), ("INCONCLUSIVE", 3)}
    [row] = told.result["benchmarks"]
    assert all(len(pair["base_rounds_s"]) == len(pair["head_rounds_s"]) >= 9 for pair in row["pairs"])
    assert "its own" == told.result["head"]["fixtures"]
    assert "torch" in told.result["base"]["versions"]
    assert told.result["machine"]["vcpus"] >= 1
    assert "screen pair 1 of 6" in told.err


def test_head_that_breaks_a_proof_is_an_error(repository: Repository, tmp_path: Path) -> None:
    """Batch normalization in training mode: the report says what was lost."""
    head = repository.branch("training_mode", {"fixtures/models/__init__.py": ("module.eval()", "module.train()")})
    told = gate(repository, tmp_path, "--base", "main", "--head", head, "-k", "baseline")

    assert 2 == told.code
    assert {"torchvision.resnet18-baseline": "ERROR"} == told.verdicts
    why = told.result["benchmarks"][0]["why"]
    assert why.startswith("head: step 'baseline' on torchvision:resnet18 was not in force; the model is in eval mode: eval mode: False")


def test_head_that_brings_a_step_in_force_has_nothing_to_compare(repository: Repository, tmp_path: Path) -> None:
    """The other way round the step is new; nothing else was compared, so the gate is no pass."""
    base = repository.branch("training_mode_before", {"fixtures/models/__init__.py": ("module.eval()", "module.train()")})
    told = gate(repository, tmp_path, "--base", base, "--head", "main", "-k", "baseline")

    assert 2 == told.code
    assert {"torchvision.resnet18-baseline": "new"} == told.verdicts
    assert "nothing was compared" in told.result["error"]


def test_benchmark_that_head_lost_is_an_error(repository: Repository, tmp_path: Path) -> None:
    """Each side is asked for its own catalogue: here head's ends at 32 images, and base's has no 128."""
    head = repository.branch("other_sweep", {"fixtures/steps/optimizations.py": ("(2, 4, 8, 16, 32, 64)", "(2, 4, 8, 16, 32, 128)")})
    told = gate(repository, tmp_path, "--base", "main", "--head", head, "-k", "batch_64 or batch_128")

    assert 2 == told.code
    assert {"torchvision.resnet18-batch_64": "ERROR", "torchvision.resnet18-batch_128": "new"} == told.verdicts
    assert "missing on head: not in its catalogue" == told.result["benchmarks"][0]["why"]


def test_sides_of_other_protocols_are_an_error(repository: Repository, tmp_path: Path) -> None:
    change = (f"SIDE_PROTOCOL_VERSION = {SIDE_PROTOCOL_VERSION}\n", "SIDE_PROTOCOL_VERSION = 99\n")
    head = repository.branch("other_protocol", {"fixtures/protocol/side_protocol.py": change})
    told = gate(repository, tmp_path, "--base", "main", "--head", head, "-k", "baseline")

    assert 2 == told.code
    expected = (
        f"the worker speaks protocol 99, this suite {SIDE_PROTOCOL_VERSION}; use checkouts whose fixtures/protocol/side_protocol.py agree"
    )
    assert expected in told.result["error"]


def test_workers_may_speak_another_protocol_on_each_side(repository: Repository, tmp_path: Path) -> None:
    """A change of the workers' protocol is gated like any other: each side speaks with its own workers only."""
    change = (f"\nPROTOCOL_VERSION = {PROTOCOL_VERSION}\n", "\nPROTOCOL_VERSION = 99\n")
    head = repository.branch("other_worker_protocol", {"fixtures/protocol/__init__.py": change})
    told = gate(repository, tmp_path, "--base", "main", "--head", head, "-k", "baseline", *TOO_SHORT)

    assert 3 == told.code
    assert 1 == len(told.result["benchmarks"][0]["pairs"])
    assert "the budget of 1 s ran out: 1 of 6 screening pairs" in told.result["benchmarks"][0]["why"]


@pytest.mark.parametrize(("without", "fixtures"), [("fixtures/side.py", "the gate's, with its own workers"), ("fixtures", "the gate's")])
def test_revision_from_before_the_gate_is_measured_with_the_gates(
    repository: Repository, tmp_path: Path, without: str, fixtures: str
) -> None:
    """By its own workers where it has some."""
    base = repository.branch("without_" + without.replace("/", "_"), without=without)
    told = gate(repository, tmp_path, "--base", base, "--head", "main", "-k", "baseline", *TOO_SHORT)

    assert (3, fixtures) == (told.code, told.result["base"]["fixtures"])


def test_model_of_another_repository_is_gated(tmp_path: Path) -> None:
    """It has no fixtures; each side builds its own revision's model, and shares no artifact of it."""
    other = committed(tmp_path / "other", *({"served.py": INSTALLED.format(width=width)} for width in (4, 8)))
    told = gate_of_last(other, tmp_path, *SERVED_BASELINE, *TOO_SHORT)

    assert {"served.create-baseline"} == set(told.verdicts)
    assert ("the gate's", "the gate's") == (told.result["base"]["fixtures"], told.result["head"]["fixtures"])
    assert 3 == told.code
    references = [json.loads(file.read_text())["content"]["reference"] for file in (tmp_path / "artifacts").glob("*/manifest.json")]
    assert 2 == len({each["code"] for each in references if "code" in each})


def test_environments_alone_are_two_sides(repository: Repository, tmp_path: Path) -> None:
    """The working folder by two interpreters; a folder stands for the environment in it."""
    folder = str(Path(sys.executable).parents[1])
    told = gate(repository, tmp_path, "--base-python", folder, "--head-python", sys.executable, "-k", "baseline", *TOO_SHORT)

    assert 3 == told.code
    assert ("working folder", "") == (told.result["head"]["revision"], told.result["head"]["commit"])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_gate_that_was_stopped_goes_on_where_it_stopped(repository: Repository, tmp_path: Path, how: signal.Signals) -> None:
    """No worker outlives it, and its pairs are not measured again."""
    mark, out = uuid.uuid4().hex, tmp_path / "out"
    arguments = ["--base", "main", "--head", "main", "-k", "baseline", "--out", str(out)]
    process = start(repository, arguments, **{MARK: mark})
    assert process.stderr is not None
    assert any(re.search(r"pair [2-6] of 6", line) for line in process.stderr)
    running = with_variable(MARK, mark)
    process.send_signal(how)
    process.communicate(timeout=60)

    assert process.returncode == (2 if how is signal.SIGTERM else -how)
    assert len(running) >= 3, "the gate and both sides"
    assert all(ended(pid) for pid in running)
    journal = (out / "pairs.jsonl").read_text().splitlines()
    told = gate(repository, tmp_path, *arguments, *TOO_SHORT)
    assert f"going on with {len(journal) - 1} pairs in {out}" in told.err
    assert journal == (out / "pairs.jsonl").read_text().splitlines()[: len(journal)]
    assert len(told.result["benchmarks"][0]["pairs"]) >= len(journal) - 1


def test_head_that_loads_a_gigabyte_more_is_a_regression_of_memory(tmp_path: Path) -> None:
    """It serves as fast, and needs a larger machine."""
    served = INSTALLED.format(width=4)
    other = committed(tmp_path / "other", {"served.py": served}, {"served.py": "LOADED = b'1' * 10**9\n" + served})
    told = gate_of_last(other, tmp_path, *SERVED_BASELINE, "--budget", "5m")

    assert 1 == told.code
    [row] = told.result["benchmarks"]
    memory = row["quantities"][0]
    assert ("memory", "REGRESSION") == (memory["name"], memory["verdict"])
    assert 0.9e9 < memory["head"] - memory["base"] < 1.2e9
    assert row["why"].startswith("memory +")
    assert {"memory", "cold start", "build time", "SQNR"} == {each["name"] for each in row["quantities"]}


@pytest.mark.parametrize("model", ["mynet:create", "{here}/src/mynet/__init__.py:create"])
def test_editable_install_and_absolute_path_are_each_sides_own(tmp_path: Path, model: str) -> None:
    """A `.pth` file leads to the working folder, as `pip install -e .` makes it: neither side takes its code from there."""
    other = committed(tmp_path / "other", *({"src/mynet/__init__.py": INSTALLED.format(width=width)} for width in (4, 8)))
    path = f"{ROOT}{os.pathsep}{other.folder / 'src'}"  # what comes first on an interpreter's own path
    told = gate_of_last(other, tmp_path, "--model", model.format(here=other.folder), "-k", "baseline", *TOO_SHORT, path=path)

    assert 3 == told.code
    assert (["src/mynet/__init__.py"], ["src/mynet/__init__.py"]) == (told.result["base"]["code"], told.result["head"]["code"])


def test_code_of_another_version_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A factory that puts the working folder first, as some editable installs' import hooks do."""
    hook = f"import sys\nsys.path.insert(0, {str(tmp_path / 'other')!r})\nfrom blocks import create\n"
    other = committed(tmp_path / "other", {"blocks.py": INSTALLED.format(width=4), "served.py": hook}, {"README": "2"})
    told = gate_of_last(other, tmp_path, "--model", "served:create", "-k", "baseline")

    assert 2 == told.code
    assert f"base would not measure its own code: module blocks came from {other.folder / 'blocks.py'}" in told.result["error"]


WORKING = """\
import torch
from gated_work import LAYERS

def create():
    layers = [torch.nn.Conv2d(64, 64, 3, padding=1, bias=False) for _ in range(LAYERS)]
    return torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, 2, bias=False), *layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
"""


def gate_of_a_bump(tmp_path: Path, base: str, head: str) -> Told:
    """Gate a head that requires version 2.0 of a package with the code `head`, where base requires 1.0 with the code `base`."""
    versions = []
    for version, code in (("1.0", base), ("2.0", head)):
        wheel(tmp_path / "wheels", "gated_work", version, code)
        versions.append({"served.py": WORKING, "requirements.txt": requirements(tmp_path / "wheels", f"gated_work=={version}")})
    other = committed(tmp_path / "other", *versions)
    return gate_of_last(other, tmp_path, *SERVED_BASELINE, *TOO_SHORT, "--requirements", "requirements.txt")


def test_bump_of_a_dependency_by_head_is_measured(tmp_path: Path) -> None:
    """Its second version does five times the work; each side has its own, and this interpreter none."""
    told = gate_of_a_bump(tmp_path, "LAYERS = 2\n", "LAYERS = 10\n")

    assert 3 == told.code, told.out
    assert told.result["benchmarks"][0]["pairs"][0]["slowdown"] > 0.3
    assert {"field": "versions.gated_work", "base": "1.0", "head": "2.0"} in told.result["software"]
    assert "gated_work==1.0 to gated_work==2.0), and each side ran with its own" in told.result["notes"][0]
    assert importlib.util.find_spec("gated_work") is None


def test_bump_that_breaks_the_model_is_heads_error(tmp_path: Path) -> None:
    """The new version lacks what the model imports: head cannot be measured, and that is said of head."""
    told = gate_of_a_bump(tmp_path, "LAYERS = 2\n", "BLOCKS = 2\n")

    assert 2 == told.code
    assert "head" in told.result["error"]
    assert "cannot import name 'LAYERS'" in told.result["error"]


BESIDE = """\
import json, pathlib, torch

def create():
    here = pathlib.Path(__file__).parent
    width = json.loads((here / "config.json").read_text())["width"]
    model = torch.nn.Sequential(torch.nn.Conv2d(3, width, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
    model.load_state_dict(torch.load(here / "w.pt", weights_only=True)) if width == 8 else None
    return model
"""


def weights(seed: int) -> bytes:
    written = io.BytesIO()
    drawn = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    torch.save({"0.weight": drawn, "0.bias": torch.zeros(8)}, written)
    return written.getvalue()


@pytest.mark.parametrize("change", [{"w.pt": weights(2)}, {"config.json": '{"width": 16}'}, {}], ids=["weights", "config", "neither"])
def test_what_lies_beside_the_model_file_is_each_sides_own(tmp_path: Path, change: dict[str, str | bytes]) -> None:
    """Each side has artifacts and references of what its factory loads; with nothing changed they are the same ones."""
    first: dict[str, str | bytes] = {"served.py": BESIDE, "w.pt": weights(1), "config.json": '{"width": 8}'}
    other, cache = committed(tmp_path / "other", first, {"README": "2", **change}), tmp_path / "artifacts"
    told = gate_of_last(other, tmp_path, "--model", "served.py:create", "-k", ONNXRUNTIME, *TOO_SHORT)

    assert {"served.create-onnxruntime": "INCONCLUSIVE"} == told.verdicts, told.out
    contents = [json.loads(file.read_text())["content"] for file in cache.glob("*/manifest.json")]
    references = [each["reference"]["built"] for each in contents if "reference" in each]
    artifacts = [each["model"]["built"] for each in contents if each.get("runtime") == "onnxruntime"]
    sides = 2 if change else 1
    assert (sides, sides) == (len(references), len(artifacts))
    assert sides == len({(each["state"], each["settings"]) for each in artifacts})
    assert (cache / "second-builds").is_dir() == bool(change)
    [pair] = told.result["benchmarks"][0]["pairs"]
    assert pair["base"]["sqnr_samples"] == pair["head"]["sqnr_samples"] == 16


SERVED = """\
import torch

def create():
    layers = [torch.nn.Conv2d(16, 16, 3, padding=1, bias=False) for _ in range(4)]
    return torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, 2, bias=False), *layers, torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
"""


def test_two_gates_at_once_with_one_empty_cache_both_pass(tmp_path: Path) -> None:
    """A repository's first two pull requests on one machine: the second gate waits for what the first one builds, and takes it."""
    other = committed(tmp_path / "other", {"served.py": SERVED}, {"README": "a comment"})
    tolerant = ("--time-percent", "1000", "--memory-percent", "off", "--cold-start-percent", "off")  # they disturb each other
    common = ["--base", "HEAD^1", "--head", "HEAD", "--model", "served:create", "-k", ONNXRUNTIME, "--batch-size", "1", "--budget", "20m"]
    common += [*tolerant, "--artifact-cache", str(tmp_path / "artifacts")]
    processes = [start(other, [*common, "--json", str(tmp_path / f"{number}.json")], PYTHONPATH=str(ROOT)) for number in range(2)]
    told = [process.communicate(timeout=1800) for process in processes]

    assert [0, 0] == [process.returncode for process in processes], told
    assert ["PASS", "PASS"] == [json.loads((tmp_path / f"{number}.json").read_text())["verdict"] for number in range(2)]
    assert 1 == len(other.worktrees)
    contents = [json.loads(file.read_text())["content"] for file in (tmp_path / "artifacts").glob("*/manifest.json")]
    assert 1 == sum("runtime" in each for each in contents)


LAYERED = """\
import torch

N = {layers}

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self.blocks = torch.nn.Sequential(*[torch.nn.Conv2d(32, 32, 3, padding=1, bias=False) for _ in range(N)])

    def forward(self, x):
        return self.blocks(self.stem(x)).mean((2, 3))

def create():
    return Net()
"""


@pytest.mark.parametrize(
    "model",
    ["mynet:create", "{here}/src/mynet/__init__.py:create", "src/mynet/__init__.py:create"],
    ids=["installed", "absolute path", "relative path"],
)
def test_head_that_does_more_work_is_a_regression_by_whatever_name(tmp_path: Path, model: str) -> None:
    """A package in `src` that is installed editable in the judging environment: by its name, by an absolute and by a relative path.

    All 17 pairs are measured. An iteration lasts a few milliseconds, so that most of a pair is its start, and head does five times the
    work, so that a busy machine tells it, too: between equal sides, as where both import one file, there is nothing to find.
    """
    other = committed(tmp_path / "other", *({"src/mynet/__init__.py": LAYERED.format(layers=layers)} for layers in (4, 20)))
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    [site] = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "judge.pth").write_text(f"{sysconfig.get_path('purelib')}\n{other.folder / 'src'}\n")  # the latter as `pip install -e .` does
    own = ("--model", model.format(here=other.folder), "-k", "create and baseline", "--batch-size", "1", "--budget", "20m")
    told = gate_of_last(other, tmp_path, *own, python=str(python))

    assert 1 == told.code, told.out
    assert told.result["benchmarks"][0]["median_slowdown"] > 0.3
    assert (["src/mynet/__init__.py"], ["src/mynet/__init__.py"]) == (told.result["base"]["code"], told.result["head"]["code"])
