"""The template that starts a Graviton: its script is one, ends the instance whatever happens, and lets nobody in."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.processes import program

FILE = Path(__file__).parent.parent / "docs" / "graviton-instance.yaml"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The template; CloudFormation's own tags stay texts."""
    content: dict[str, Any] = YAML(typ="rt").load(FILE.read_text())
    return content


@pytest.fixture(scope="module")
def launched(template: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = template["Resources"]["Template"]["Properties"]["LaunchTemplateData"]
    return data


@pytest.fixture(scope="module")
def script(launched: dict[str, Any]) -> str:
    """What the instance runs, with every parameter filled in."""
    text = str(launched["UserData"]["Fn::Base64"].value)
    return re.sub(r"\$\{([^!}][^}]*)\}", "filled-in", text).replace("${!", "${")


def test_the_limit_is_set_before_anything_can_fail_or_hang(script: str, launched: dict[str, Any]) -> None:
    """And a shutdown is the end of the instance."""
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]

    assert commands[0].startswith("shutdown -h +filled-in ")
    assert "terminate" == launched["InstanceInitiatedShutdownBehavior"]
    assert commands.index("trap keep EXIT") < commands.index("set -eux")


def test_the_script_is_one(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)


def test_results_are_kept_and_the_instance_ends_however_the_script_ends(script: str, tmp_path: Path) -> None:
    """With stand-ins for the commands of the machine: the installation fails, the log is copied, the instance shuts down."""
    stand_ins = tmp_path / "bin"
    for name in ("shutdown", "aws", "dnf", "git"):
        program(stand_ins / name, f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\n[ {name} != dnf ]\n')
    moved = script.replace("/sys/kernel/mm/transparent_hugepage/enabled", str(tmp_path / "mode"))
    done = subprocess.run(
        ["bash", "-c", moved],
        env={"PATH": f"{stand_ins}:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = (tmp_path / "calls").read_text().splitlines()

    assert 0 != done.returncode
    assert ["shutdown", "dnf", "aws", "shutdown"] == [call.split()[0] for call in calls]
    assert "s3 cp log.txt s3://" in calls[2]
    assert "shutdown -h now" == calls[3]


def test_nobody_comes_in(template: dict[str, Any], launched: dict[str, Any]) -> None:
    """No rule lets traffic in, no key is asked for, credentials need a token, and the role may write results alone."""
    group = template["Resources"]["NobodyComesIn"]["Properties"]
    [statement] = template["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]

    assert "SecurityGroupIngress" not in group
    assert "KeyName" not in launched
    assert "required" == launched["MetadataOptions"]["HttpTokens"]
    assert "s3:PutObject" == statement["Action"]


def test_no_parameter_can_add_a_command(template: dict[str, Any]) -> None:
    """Each text that is filled into the script has a pattern that rules out all that a shell takes notice of."""
    texts = {name: each["AllowedPattern"] for name, each in template["Parameters"].items() if each["Type"] == "String"}

    assert {"InstanceType", "Repository", "Revision", "Models"} == set(texts)
    for name, pattern in texts.items():
        for hostile in ("a;b", "$(b)", "`b`", "a\nb", "a&b", "a'b", 'a"b', "../a|b"):
            assert not re.search(pattern.replace("$", r"\Z"), hostile), (name, hostile)


@pytest.mark.nightly
def test_cfn_lint_finds_no_fault() -> None:
    if (lint := shutil.which("cfn-lint")) is None:
        pytest.skip("cfn-lint is not installed -> pipx install cfn-lint")
    done = subprocess.run([lint, str(FILE)], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stdout)
