"""The suite installed from a wheel, called as `ladder` in somebody's repository that has a `fixtures` and a `reports` of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fixtures.bench.launch import ROOT
from fixtures.models import UnknownModelError
from fixtures.models.factories import create
from reports.command_line import BENCHMARKS, NoSuchBenchmark, pytest_arguments
from tests import checkouts
from tests.conftest import LEAN

LADDER = "import sys; from inference_ladder import main; sys.exit(main())"
MODEL = """\
import torch
from torch import nn


def create():
    return nn.Sequential(nn.Conv2d(3, 16, 3, stride=4), nn.ReLU(), nn.Conv2d(16, 64, 3, stride=4), nn.Flatten(), nn.Linear(1024, 10))
"""
TEST = """\
import pytest


@pytest.mark.parametrize("step", ["baseline", "channels_last"])
@pytest.mark.parametrize("model", ["served.py:create"], indirect=True)
def test_mine(benchmark, measure, model, step):
    measure(benchmark, model, step)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip makes of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    checkouts.copied(folder / "source", "benchmarks", "inference_ladder")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--disable-pip-version-check", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(folder / "source")], check=True, timeout=600)
    [file] = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder of installed packages with the wheel's."""
    folder = wheel.parent / "site-packages"
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder)
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Somebody's repository: a model, packages called as the suite's, settings and a conftest.py that would end any run of pytest."""
    for name in ("fixtures", "reports", "benchmarks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('theirs')")
    (tmp_path / "conftest.py").write_text("raise SystemExit('their conftest.py')")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "served.py").write_text(MODEL)
    return tmp_path


def run(installed: Path, folder: Path, *command: str) -> tuple[int, str]:
    """Run Python in `folder` with what is installed; return the exit code and all output."""
    done = subprocess.run(
        [sys.executable, "-P", *command],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | {"PYTHONPATH": str(installed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout


def test_one_name_is_installed(wheel: Path) -> None:
    """Nothing takes the place of somebody's `fixtures` or `reports`, PyPI's `fixtures` among them."""
    names = zipfile.ZipFile(wheel).namelist()

    assert {"inference_ladder"} == {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    for name in ("benchmarks/ladder.ini", "benchmarks/test_memory.py", "reports/views/prices.json", "reports/page/templates/page.css"):
        assert f"inference_ladder/{name}" in names


def test_every_module_is_installed(wheel: Path) -> None:
    """A package that pyproject.toml does not name would be missing; the study of the gate is for the clone."""
    files = {str(file.relative_to(ROOT)) for name in ("fixtures", "reports", "benchmarks") for file in (ROOT / name).rglob("*.py")}
    names = {name.removeprefix("inference_ladder/") for name in zipfile.ZipFile(wheel).namelist()}

    assert {file for file in files - names if not file.startswith("benchmarks/gate_quality/")} == set()


def test_ladder_runs_where_others_have_its_names(installed: Path, theirs: Path) -> None:
    code, shown = run(installed, theirs, "-c", LADDER, "run", "--model", "./served.py:create", "--collect-only", "-q", *LEAN)

    assert code == 0, shown
    assert "benchmarks/test_memory.py::test_memory[served.create-channels_last]" in re.sub(r"\S*benchmarks/", "benchmarks/", shown)


@pytest.mark.parametrize("command", [("-c", LADDER), ("-m", "inference_ladder")], ids=["script", "module"])
def test_reports_are_read_where_others_have_its_names(installed: Path, theirs: Path, command: tuple[str, str]) -> None:
    (theirs / ".benchmarks").mkdir()
    code, shown = run(installed, theirs, *command, "list")

    assert (0, True) == (code, shown.startswith("no readable run in")), shown
    assert "save one with `ladder run --benchmark-autosave`" in shown


def test_refusals_name_the_command_that_is_installed(installed: Path, theirs: Path) -> None:
    code, shown = run(installed, theirs, "-c", LADDER, "list")

    assert code == 2
    assert "save a run with `ladder run --benchmark-autosave`" in shown


SAME = """\
import sys
import inference_ladder.reports.saved.load as one
from inference_ladder.fixtures.machine.cpus import Cpus
import benchmarks, fixtures.machine.cpus, reports.saved.load as two
assert one is two is sys.modules["inference_ladder.reports.saved.load"], (one, two)
assert sys.modules["inference_ladder.reports"] is sys.modules["reports"]
assert Cpus is fixtures.machine.cpus.Cpus
assert two.__spec__.name == two.__name__ == "reports.saved.load"
files = [module.__file__ for module in set(sys.modules.values()) if getattr(module, "__file__", None)]
assert len(files) == len(set(files)), sorted(file for file in files if files.count(file) > 1)
print(one.read_run.__name__)
"""


MINE = """\
import sys
sys.path.insert(0, "")
import fixtures
try:
    import inference_ladder.fixtures
except ImportError as error:
    print(error)
print(fixtures.mine)
"""


def test_each_module_is_one_object_by_both_names(installed: Path, tmp_path: Path) -> None:
    """From any folder, a folder of pages called `reports` beside it."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "same.py").write_text(SAME)

    assert (0, "read_run\n") == run(installed, tmp_path, str(tmp_path / "same.py"))


@pytest.mark.parametrize("name", ["fixtures", "reports", "benchmarks"])
def test_nothing_is_importable_by_a_short_name(installed: Path, tmp_path: Path, name: str) -> None:
    code, shown = run(installed, tmp_path, "-c", f"import {name}.__init__")

    assert (1, True) == (code, f"No module named '{name}'" in shown), shown


def test_another_package_of_its_name_is_never_taken_for_it(installed: Path, theirs: Path) -> None:
    """Nor shadowed: what was imported as `fixtures` by their code stays theirs."""
    (theirs / "fixtures" / "__init__.py").write_text("mine = 1\n")
    code, shown = run(installed, theirs, "-c", MINE)

    assert code == 0, shown
    assert "is another package called fixtures" in shown
    assert shown.endswith("\n1\n")


@pytest.mark.nightly
def test_ladder_measures_where_others_have_its_names(installed: Path, theirs: Path) -> None:
    """Workers run the suite's code, and the model of the folder."""
    small = ("--image-size=64", "--pairs=1", "--no-peaks", "--step=baseline")
    code, shown = run(installed, theirs, "-c", LADDER, "run", "--model", "./served.py:create", *small)

    assert code == 0, shown
    [file] = (theirs / ".benchmarks").glob("*/*.json")
    [saved] = json.loads(file.read_text())["benchmarks"]
    assert "benchmarks/test_baseline.py::test_baseline[served.create-baseline]" == saved["fullname"]


@pytest.mark.parametrize("conftest", ["", 'pytest_plugins = ["inference_ladder.fixtures.suite"]\n'], ids=["empty", "names the plugin"])
def test_own_file_of_benchmarks_needs_no_conftest(installed: Path, tmp_path: Path, conftest: str) -> None:
    """The command brings the plugin; a conftest.py that names it brings no second one."""
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "served.py").write_text(MODEL)
    (tmp_path / "test_mine.py").write_text(TEST)
    code, shown = run(installed, tmp_path, "-c", LADDER, "run", "test_mine.py", "--collect-only", "-q", *LEAN)

    assert code == 0, shown
    assert "test_mine.py::test_mine[served.create-baseline]" in shown


def test_own_conftest_names_the_installed_plugin(installed: Path, tmp_path: Path) -> None:
    """A package `benchmarks` beside it stays its owner's, as the suite itself imports none."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("mine = 1\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["inference_ladder.fixtures.suite"]\n')
    (tmp_path / "test_mine.py").write_text(f"from benchmarks import mine\n{TEST}")
    code, shown = run(installed, tmp_path, "-m", "pytest", *LEAN, "test_mine.py", "--collect-only", "-q")

    assert code == 0, shown
    assert "test_mine.py::test_mine[served.create-baseline]" in shown


PROFILING = 'def pytest_addoption(parser):\n    parser.addoption("--profile", action="store_true")\n'


def test_options_have_a_prefix_where_other_plugins_have_some(installed: Path, tmp_path: Path) -> None:
    """pytest-profiling has a --profile, too."""
    (tmp_path / "conftest.py").write_text(f'{PROFILING}pytest_plugins = ["inference_ladder.fixtures.suite"]\n')
    (tmp_path / "test_mine.py").write_text(TEST)
    mine = ("-m", "pytest", *LEAN, "test_mine.py", "--collect-only", "-q")
    code, shown = run(installed, tmp_path, *mine, "--profile", "--ladder-pairs", "2")
    refused, told = run(installed, tmp_path, *mine, "--ladder-weights", "lost.pt")

    assert code == 0, shown
    assert refused != 0
    assert "--ladder-weights belongs to one model: name it with --ladder-model" in told


def test_plugin_beside_another_package_of_its_name_says_what_to_do(installed: Path, tmp_path: Path) -> None:
    """In a pytest of its owner's, `fixtures` is the owner's: only a process of the command can have both."""
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "__init__.py").touch()
    (tmp_path / "conftest.py").write_text('import fixtures\npytest_plugins = ["inference_ladder.fixtures.suite"]\n')
    (tmp_path / "test_mine.py").write_text(TEST)
    code, shown = run(installed, tmp_path, "-m", "pytest", *LEAN, "test_mine.py", "--collect-only", "-q")

    assert code != 0
    assert f"{tmp_path / 'fixtures'} is another package called fixtures" in shown
    assert "`ladder run FILE`" in shown


def test_factory_that_imports_another_package_of_the_suites_name_is_refused(tmp_path: Path) -> None:
    """Workers have one `fixtures`."""
    (tmp_path / "served.py").write_text("from fixtures.of_mine import create\n")

    with pytest.raises(UnknownModelError, match=r"No module named 'fixtures.of_mine'; in a worker .* or rename it"):
        create(f"{tmp_path}/served.py:create")


def test_files_come_before_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_mine.py").touch()

    assert [str(BENCHMARKS), "-k", "openvino"] == pytest_arguments(["-k", "openvino"])[-3:]
    assert [f"{BENCHMARKS}/test_compile.py", "--set=torchbench"] == pytest_arguments(["test_compile.py", "--set=torchbench"])[-2:]
    assert f"{BENCHMARKS}/test_memory.py::test_memory" == pytest_arguments(["benchmarks/test_memory.py::test_memory"])[-1]
    assert f"--rootdir={ROOT}" in pytest_arguments(["test_memory.py"])
    assert f"--rootdir={ROOT}" not in pytest_arguments(["test_mine.py"])
    assert "--quick" in pytest_arguments([], quick=True)


def test_a_file_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(
        NoSuchBenchmark, match=r"'test_memry.py': no such file of benchmarks in .*: expected a path, or one of .*test_memory"
    ):
        pytest_arguments(["test_memry.py"])


def test_what_is_measured_is_saved_but_where_nothing_is_timed() -> None:
    assert "--benchmark-autosave" in pytest_arguments([])
    assert "--benchmark-autosave" not in pytest_arguments(["--proofs", "proofs.json"])
    assert "--benchmark-autosave" not in pytest_arguments(["--proofs=proofs.json"])
