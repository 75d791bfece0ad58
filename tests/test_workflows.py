"""The workflows keep to what makes them safe and repeatable; zizmor and the JSON schemas (.ci/lint) check the rest."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.processes import program

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FILES = [*WORKFLOWS, *sorted((ROOT / ".github/actions").glob("*/action.yml"))]
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def load(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(file)
    return content


def steps(file: Path) -> Iterator[dict[str, Any]]:
    content = load(file)
    for job in content.get("jobs", {"action": content.get("runs")}).values():
        yield from job.get("steps", [])


@pytest.fixture(params=FILES, ids=lambda file: file.parent.name if file.name == "action.yml" else file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


@pytest.fixture(params=WORKFLOWS, ids=lambda file: file.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(request.param)


def test_actions_are_pinned_by_commit(file: Path) -> None:
    """A tag can be moved; the version stands beside the commit. What is this repository's own comes with the running commit."""
    for line in file.read_text().splitlines():
        if "uses:" in line:
            assert PINNED.search(line) or "uses: $/.github/" in line, line


def test_one_commit_for_each_action() -> None:
    """Two versions of one action would be an update that was forgotten somewhere."""
    used = {line.split("uses: ")[1] for file in FILES for line in file.read_text().splitlines() if "uses: " in line and "@" in line}

    assert len(used) == len({each.split("@")[0] for each in used})


def test_no_index_stands_beside_another(file: Path) -> None:
    """Beside PyPI, for every name, whoever gets a package of the right name into either would be installed."""
    assert not re.search(r"extra-index|EXTRA_INDEX", file.read_text())


def test_pull_requests_code_never_meets_rights(workflow: dict[str, Any]) -> None:
    """No pull_request_target; by default a workflow reads the code, or nothing; only the comment may write, and only comments."""
    assert "pull_request_target" not in workflow["on"]
    assert workflow["permissions"] in ({"contents": "read"}, {})
    rights = {name for job in workflow["jobs"].values() for name, right in job.get("permissions", {}).items() if right == "write"}
    assert rights == ({"pull-requests"} if "workflow_run" in workflow["on"] else set())


def test_no_secret_is_used(file: Path) -> None:
    """There is nothing to steal but the job's own token, which is not left in the checkout either."""
    assert "secrets." not in file.read_text()
    assert "secrets: inherit" not in file.read_text()
    for step in steps(file):
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_scripts_contain_no_expressions(file: Path) -> None:
    """What GitHub would paste into a script is passed as a variable, or a branch's name could be a command."""
    for step in steps(file):
        assert "${{" not in step.get("run", "")


def test_scripts_are_well_formed(file: Path) -> None:
    """Bash reads each of them without a complaint."""
    for step in steps(file):
        if "run" in step:
            checked = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True, check=False)
            assert (0, "") == (checked.returncode, checked.stderr)


def test_inputs_of_the_gate_are_arguments_and_never_commands(tmp_path: Path) -> None:
    """Each is one argument of the gate's, whatever is in it; one that is empty is none. Sizes of images are texts in every workflow."""
    [hold] = [step for step in steps(ROOT / ".github/workflows/gate.yml") if step.get("name") == "Hold the gate"]
    python = program(tmp_path / "python", "#!/bin/bash\nprintf '%s\\n' \"$@\"\n")
    hostile = "240x320; touch bad $(touch bad) `touch bad` * --out=/etc"
    named = {"IMAGE_SIZE": "--image-size=", "BUDGET": "--budget=", "REQUIREMENTS": "--requirements=", "BASE": "--base=", "HEAD": "--head="}

    def told(value: str) -> list[str]:
        given = dict.fromkeys(hold["env"], "") | dict.fromkeys(named, value) | {"PYTHON": str(python), "OUT": str(tmp_path / "out")}
        ran = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", hold["run"]],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"} | given,
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.splitlines()

    assert {option + hostile for option in named.values()} <= {*told(hostile)}
    assert ["--image-size=240x320"] == [each for each in told("240x320") if each.startswith("--image-size")]
    assert not any(each.startswith(("--image-size", "--budget", "--requirements")) for each in told(""))
    assert not (tmp_path / "bad").exists()
    for file in WORKFLOWS:
        on = load(file)["on"]
        inputs = [event.get("inputs", {}) for event in on.values() if isinstance(event, dict)] if isinstance(on, dict) else []
        assert {each["image-size"]["type"] for each in inputs if "image-size" in each} <= {"string"}


def test_every_job_ends(workflow: dict[str, Any]) -> None:
    """A hung job would hold a paid machine for six hours."""
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job or "uses" in job


def test_comment_runs_nothing_of_the_pull_request() -> None:
    """It checks out its own repository at its own commit, and downloads no artifact to disk."""
    [checkout, write] = steps(ROOT / ".github/workflows/comment.yml")

    assert "${{ job.workflow_sha }}" == checkout["with"]["ref"]
    assert "python3 -m reports.gate_comment" == write["run"]


def test_whoever_restores_artifacts_keeps_them_however_the_job_ends() -> None:
    """And nothing that another job left on the runner is loaded."""
    [setup] = (ROOT / ".github/actions").glob("*/action.yml")
    names = [step.get("id", "") for step in steps(setup)]
    [emptied] = [step for step in steps(setup) if 'rm -rf "$HOME/.cache/ladder-artifacts"' in step.get("run", "")]
    using = [file for file in WORKFLOWS if "steps.setup.outputs.artifacts" in file.read_text()]
    kept = [step for file in using for step in steps(file) if step.get("uses", "").startswith("actions/cache/save@")]

    assert names.index(emptied["id"]) < names.index("artifacts")
    assert {"gate", "nightly", "fleet"} == {file.stem for file in using}
    assert 3 == len(kept)
    assert all("always()" in step["if"] for step in kept)


def test_pythons_are_those_of_tox() -> None:
    """Each has an environment there, by the name that the job makes of it."""
    pythons = load(ROOT / ".github/workflows/check.yml")["jobs"]["pythons"]["strategy"]["matrix"]["python"]
    [factors] = re.findall(r"^\[testenv:py3\{([\d,]+)\}\]$", (ROOT / "tox.ini").read_text(), re.MULTILINE)

    assert [f"3.{factor}" for factor in factors.split(",")] == pythons


def test_linters_have_one_version() -> None:
    """`tox -e lint` does not install the whole suite, so it names its tools itself."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    lint = (ROOT / "tox.ini").read_text().split("[testenv:lint]")[1].split("[testenv")[0]
    named = re.findall(r"[\w-]+==[\w.]+", lint)

    assert len(named) == 3
    assert set(named) <= set(extras)
