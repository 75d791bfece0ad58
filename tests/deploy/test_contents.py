"""What a deployment's own files say."""

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fixtures.launch import ROOT
from reports.deploy import contents
from reports.deploy.emit import CARRIED, EMITTED

LICENCE = "# SPDX-License-Identifier: Apache-2.0"
DEPLOYMENT: dict[str, Any] = {
    "model": "resnet50",
    "step": "openvino_int8@b4w2t1",
    "workers": 2,
    "huge_pages": "requested",
    "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
}

SHOW = "import os, sys; sys.stdout.write(f\"{os.environ.get('WORKER')} {os.environ['A']} {os.environ['B']} {sys.argv[1:]}\\n\")"


def test_requirements_are_pinned_and_say_where_cpu_builds_are() -> None:
    assert contents.requirements(DEPLOYMENT["versions"]).splitlines()[1:] == ["torch==2.13.0", "numpy==2.4.6"]
    assert "download.pytorch.org" in contents.requirements(DEPLOYMENT["versions"])
    assert "openvino==1\n" == contents.requirements({"openvino": "1"})


def test_a_variable_that_spans_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="spans lines"):
        contents.environment_file({"A": "1\nLD_PRELOAD=evil.so"})


def test_each_worker_is_an_instance_of_the_unit() -> None:
    unit = contents.unit(DEPLOYMENT, "my-model")

    for part in ("my-model@0 my-model@1", "EnvironmentFile=/opt/my-model/environment", "Environment=WORKER=%i", "serve.py --port 8080"):
        assert part in unit


def test_the_dockerfile_installs_what_the_recipe_needs() -> None:
    environment = {"LD_PRELOAD": "/usr/lib/x/libtcmalloc.so.4"}
    packages = contents.system_packages(environment, "inductor")
    text = contents.dockerfile(DEPLOYMENT, "my-model", packages, "3.11")

    assert ("libgoogle-perftools4", "g++", "openssl") == packages
    for part in ("FROM python:3.11-slim", "libgoogle-perftools4 g++ openssl", "ARG PIP_EXTRA_INDEX_URL", "madvise"):
        assert part in text
    plain = contents.dockerfile(DEPLOYMENT | {"huge_pages": None, "versions": {"openvino": "1"}}, "m", (), "3.12")
    assert "apt-get" not in plain
    assert "PIP_EXTRA_INDEX_URL" not in plain
    assert "madvise" not in plain


@pytest.mark.parametrize("workers", [1, 2])
def test_the_run_script_sets_the_environment_and_starts_every_worker(tmp_path: Path, workers: int) -> None:
    (tmp_path / "run.sh").write_text(contents.run_script(workers))
    (tmp_path / "environment").write_text(contents.environment_file({"A": "one two", "B": "x=$HOME;#"}))
    (tmp_path / "serve.py").write_text(SHOW)

    done = subprocess.run(["sh", str(tmp_path / "run.sh"), "--port", "1"], capture_output=True, text=True, check=False)

    numbers = ["None"] if workers == 1 else ["0", "1"]
    assert [f"{number} one two x=$HOME;# ['--port', '1']" for number in numbers] == sorted(done.stdout.splitlines())


def test_the_run_script_runs_a_program_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(contents.run_script(2))
    (tmp_path / "environment").write_text(contents.environment_file({}))
    (tmp_path / "check.py").write_text("import sys; print(sys.argv[1:]); sys.exit(7)")

    done = subprocess.run(["sh", str(tmp_path / "run.sh"), "check.py", "--throughput"], capture_output=True, text=True, check=False)

    assert (7, "['--throughput']\n") == (done.returncode, done.stdout)


def test_emitted_files_name_their_licence() -> None:
    """What is copied into somebody's product says under which terms."""
    texts = [contents.run_script(1), contents.unit(DEPLOYMENT, "m"), contents.dockerfile(DEPLOYMENT, "m", (), "3.12")]
    texts += [
        file.read_text()
        for file in [*EMITTED.glob("*.py"), *(Path(str(module.__file__)) for module in CARRIED)]
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
