"""What a deployment's own files say."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fixtures.bench.launch import ROOT
from fixtures.machine import allocators, cpus, memory
from fixtures.models import torchvision_import
from fixtures.protocol import kernels
from reports.commands.measuring import CannotMeasure
from reports.deploy import contents, locked
from reports.deploy.emit import CARRIED, EMITTED, _carry, _copy_code
from tests.processes import ended, ran

LICENCE = "# SPDX-License-Identifier: Apache-2.0"
DEPLOYMENT: dict[str, Any] = {
    "model": "resnet50",
    "step": "openvino_int8@b4w2t1",
    "workers": 2,
    "huge_pages": "requested",
    "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
    "batch_size": 2,
    "run": "1",
    "machine": "m",
    "architecture_of_cpu": "x86_64",
    "runtime": "onnxruntime",
}

SHOW = """
import os, signal, sys
said = f"{os.environ.get('WORKER')} {os.environ['A']} {os.environ['B']} {sys.argv[1:]}\\n"
os.write(1, said.encode())  # at once: the workers share the pipe
signal.pause()
"""

FEW_PROCESSES = """
import subprocess, workers
start = subprocess.Popen
def popen(command, env):
    if env["WORKER"] == "1":
        raise BlockingIOError("no more processes")
    process = start(command, env=env)
    print(process.pid, flush=True)
    return process
subprocess.Popen = popen
workers.main()
"""


def test_requirements_are_pinned_and_say_where_cpu_builds_are() -> None:
    """The measured packages, what they need, and what serves: each once, by an exact version; only torch's come from PyTorch's index."""
    text = contents.requirements(locked.requirements(DEPLOYMENT["versions"]))
    pins = [line for line in text.splitlines() if not line.startswith("#")]

    assert ["torch==2.13.0", "numpy==2.4.6"] == pins[:2]
    assert "pip install --no-deps --index-url https://download.pytorch.org/whl/cpu torch==2.13.0\n" in text
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][^+ ]*", pin) for pin in pins), pins
    names = [pin.partition("==")[0] for pin in pins]
    assert len(set(names)) == len(names)
    assert {"sympy", "typing-extensions", "uvicorn", "starlette", "h11", "msgspec"} <= set(names)
    assert not [name for name in names if name.startswith("nvidia")]
    assert "download.pytorch.org" not in contents.requirements(locked.requirements({"openvino": "1"}))


def test_what_a_package_needs_here_is_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own metadata: markers and extras count, what is not installed is left out, circles end."""
    for name, needs in {
        "one": ["two[fast]>=1", "three; python_version < '3'", "no-such-thing"],
        "two": ["four; extra == 'fast'", "five; extra == 'slow'", "one"],
        "three": [], "four": [], "five": [],
    }.items():  # fmt: skip
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0+cpu", *(f"Requires-Dist: {each}" for each in needs)]
        (folder / "METADATA").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)

    assert {"one": "1.0", "two": "1.0", "four": "1.0"} == locked.needed_by(["one"])


def test_a_variable_that_spans_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="spans lines"):
        contents.environment_file({"A": "1\nLD_PRELOAD=evil.so"})


def test_the_dockerfile_installs_what_the_recipe_needs() -> None:
    packages = contents.system_packages("tcmalloc", ("g++", "openssl"))
    text = contents.dockerfile(DEPLOYMENT, "my-model", packages, "3.11")

    assert ("libgoogle-perftools4", "g++", "openssl") == packages
    for part in (
        "ARG BASE=python:3.11-slim",
        "libgoogle-perftools4 g++ openssl",
        "--no-deps --index-url $TORCH_INDEX torch==2.13.0",
        "madvise",
    ):
        assert part in text
    plain = contents.dockerfile(DEPLOYMENT | {"huge_pages": None, "versions": {"openvino": "1"}}, "m", (), "3.12")
    assert [] == [part for part in ("apt-get", "TORCH_INDEX", "madvise") if part in plain]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_run_script_sets_the_environment_and_starts_every_worker(tmp_path: Path, workers: int) -> None:
    (tmp_path / "run.sh").write_text(contents.run_script(workers))
    (tmp_path / "environment").write_text(contents.environment_file({"A": "one two", "B": "x=$HOME;#"}))
    (tmp_path / "serve.py").write_text(SHOW)
    (tmp_path / "deployment.json").write_text(json.dumps({"workers": workers}))
    shutil.copy(EMITTED / "workers.py", tmp_path)
    command, environment = ["sh", str(tmp_path / "run.sh"), "--port", "1"], dict(os.environ) | {"PYTHON": sys.executable}

    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = sorted(process.stdout.readline().rstrip("\n") for _ in range(workers))
        process.terminate()

    numbers = ["None"] if workers == 1 else ["0", "1"]
    assert [f"{number} one two x=$HOME;# ['--port', '1']" for number in numbers] == said


def test_workers_that_do_not_all_start_are_ended(tmp_path: Path) -> None:
    """The first ones would serve on, and nobody would end them."""
    (tmp_path / "serve.py").write_text("import time; time.sleep(600)")
    (tmp_path / "deployment.json").write_text(json.dumps({"workers": 2}))
    shutil.copy(EMITTED / "workers.py", tmp_path)

    done = ran([sys.executable, "-c", FEW_PROCESSES], tmp_path)

    assert (1, True) == (done.returncode, "no more processes" in done.stderr), done.stderr
    assert ended(int(done.stdout))


@pytest.mark.parametrize("given", ["2", "-1", "one", ""])
def test_a_worker_that_the_recipe_does_not_have_is_refused(given: str, tmp_path: Path) -> None:
    shutil.copy(EMITTED / "deployed.py", tmp_path)
    for module in (allocators, cpus, memory):
        _carry(module, tmp_path)
    opens = "from pathlib import Path; import deployed; deployed.session(Path(), {'pinned': True, 'workers': 2, 'threads': 1})"

    done = subprocess.run(
        [sys.executable, "-c", opens], cwd=tmp_path, env=os.environ | {"WORKER": given}, capture_output=True, text=True, check=False
    )

    told = f"WORKER={given}: the recipe has 2 pinned workers; give each a number of its own from 0 to 1\n"
    assert (1, told) == (done.returncode, done.stderr)


def test_the_run_script_runs_a_program_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(contents.run_script(2))
    (tmp_path / "environment").write_text(contents.environment_file({}))
    (tmp_path / "check.py").write_text("import sys; print(sys.argv[1:]); sys.exit(7)")

    done = subprocess.run(["sh", str(tmp_path / "run.sh"), "check.py", "--throughput"], capture_output=True, text=True, check=False)

    assert (7, "['--throughput']\n") == (done.returncode, done.stdout)


def test_a_models_package_takes_no_folder_of_the_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("artifact", "written/artifact"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "artifact" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(CannotMeasure, match="the model's module 'artifact' cannot be copied: rename it"):
        _copy_code("artifact.models", tmp_path / "written")


def test_emitted_files_name_their_licence() -> None:
    """What is copied into somebody's product says under which terms."""
    texts = [contents.run_script(1), contents.unit(DEPLOYMENT, "m"), contents.dockerfile(DEPLOYMENT, "m", (), "3.12")]
    texts += [
        file.read_text()
        for file in [*EMITTED.rglob("*.py"), *(Path(str(module.__file__)) for module in (*CARRIED, kernels, torchvision_import))]
        if file.name != "__init__.py"
    ]

    assert [] == [text for text in texts if LICENCE not in text.splitlines()[:2]]


def test_licence_of_the_suite_is_declared() -> None:
    """The text, the metadata and the citation agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")

    assert ("Apache-2.0", ["LICENSE"]) == (project["license"], project["license-files"])
    assert (project["license"], project["version"]) == (citation["license"], citation["version"])
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_container_has_no_rights_and_tells_its_health() -> None:
    text = contents.dockerfile({"huge_pages": None, "versions": {"openvino": "1"}}, "m", (), "3.12")

    for part in (
        "\nUSER 10001\n",
        "\nHEALTHCHECK ",
        "http://127.0.0.1:8080/v2/health/ready",
        "--read-only",
        "--cap-drop ALL",
        "FROM $BASE\n",
    ):
        assert part in text
    assert {".venv", ".git", "__pycache__"} <= set(contents.DOCKERIGNORE.splitlines())


def test_each_worker_is_an_instance_of_the_unit_without_rights() -> None:
    """It has what `systemd-analyze security` asks for, but for what forbids compilers at run time."""
    unit = contents.unit(DEPLOYMENT, "my-model")
    lines = set(unit.splitlines())

    for part in ("my-model@0 my-model@1", "EnvironmentFile=/opt/my-model/environment", "Environment=WORKER=%i", "serve.py --port 8080"):
        assert part in unit
    assert {
        "DynamicUser=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
        "PrivateDevices=yes", "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "TimeoutStopSec=15",
    } <= lines  # fmt: skip
    assert "MemoryDenyWriteExecute=yes" not in lines


def test_the_readme_shows_how_to_ask() -> None:
    """The program for Triton's client compiles; braces and the model's name are as they have to be."""
    text = contents.readme(DEPLOYMENT | {"model": "timm.a+b"}, "s", "f", ())
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]

    compile("\n".join(lines[lines.index("import numpy, tritonclient.http") :][:5]), "README.md", "exec")
    assert 'infer("timm.a+b"' in text
    assert "curl localhost:8080/v2/models/timm.a%2Bb\n" in text


def test_a_runs_own_names_are_text_in_the_readme() -> None:
    """Usual ones are as they were; markup of somebody's run is none."""
    usual, hostile = "c8g.xlarge, Neoverse V2 (Graviton4), 4 vCPUs", "<script>alert(1)</script> [log in](https://example.com)"

    assert f" on {usual};" in contents.readme(DEPLOYMENT | {"machine": usual}, "s", "f", ())
    text = contents.readme(DEPLOYMENT | {"step": hostile, "machine": hostile, "run": hostile}, "s", "f", ())
    assert "<script>" not in text
    assert "](" not in text
