"""constraints.txt names an exact version of everything that is installed, within what pyproject.toml allows, for both architectures."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import Environment, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reports.deploy.locked import SERVING

ROOT = Path(__file__).parent.parent
MACHINES = ["x86_64", "aarch64"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def pins(file: Path) -> list[Requirement]:
    return [Requirement(line) for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for texts in (project["dependencies"], *project["optional-dependencies"].values()) for text in texts]


def faults(wanted: list[Requirement], exact: list[Requirement], machine: str, python: str) -> Iterator[str]:
    """Yield what is wrong with the pins on a machine: a requirement that has none, or one that it does not allow."""
    platform: Environment = default_environment() | {
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    found = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in exact
        if pin.marker is None or pin.marker.evaluate(platform)  # type: ignore[arg-type]
    }
    for each in wanted:
        version = found.get(canonicalize_name(each.name))
        if each.marker is not None and not each.marker.evaluate(platform):  # type: ignore[arg-type]
            continue
        if version is None:
            yield f"{each.name} has no pin"
        elif not each.specifier.contains(version, prereleases=True):
            yield f"{each.name} {version} is pinned, {each.specifier} is required"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_direct_dependency_has_one_exact_version(machine: str, python: str) -> None:
    assert [] == list(faults(declared(), pins(ROOT / "constraints.txt"), machine, python))


def test_pins_are_exact_and_hold_for_every_build() -> None:
    """No local version: a torch of any index is this release. pip takes no extras in constraints."""
    for pin in pins(ROOT / "constraints.txt"):
        assert re.fullmatch(r"==[\w.!]+", str(pin.specifier)), pin
        assert not pin.extras
        assert pin.url is None


def test_a_missing_and_a_wrong_pin_are_found() -> None:
    wanted = [Requirement("one>=2"), Requirement("two>=2"), Requirement("three; platform_machine == 'aarch64'"), Requirement("Four_5>=1")]
    exact = [Requirement("one==1.9"), Requirement("two==2.0; python_version < '3.12'"), Requirement("four-5==1.0")]

    assert ["one 1.9 is pinned, >=2 is required"] == list(faults(wanted, exact, "x86_64", "3.11"))
    assert ["one 1.9 is pinned, >=2 is required", "two has no pin"] == list(faults(wanted, exact, "x86_64", "3.13"))
    assert ["one 1.9 is pinned, >=2 is required", "three has no pin"] == list(faults(wanted, exact, "aarch64", "3.11"))


def test_deployments_serve_with_what_is_tested_here() -> None:
    """The emitted server's packages are the ones that constraints.txt installs for its tests."""
    exact = {canonicalize_name(pin.name): pin.specifier for pin in pins(ROOT / "constraints.txt")}
    [*serving] = [pin for pin in pins(SERVING) if pin.name in {"uvicorn", "starlette", "msgspec", "h11", "anyio"}]

    assert {"uvicorn", "starlette", "msgspec", "h11", "anyio"} == {pin.name for pin in serving}
    assert [] == [pin.name for pin in serving if exact[canonicalize_name(pin.name)] != pin.specifier]


def installations() -> Iterator[tuple[str, str]]:
    """Every line that installs the suite, in the docs, the workflows and CI."""
    files = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / ".ci/run",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / ".github").rglob("*.yml"),
    ]
    for file in files:
        for line in file.read_text().splitlines():
            if re.search(r"install\b.*(-e|--editable) ", line) or re.search(r"install\[@\]\}\" .*--editable", line):
                yield file.name, line


def test_whoever_installs_the_suite_takes_the_exact_versions() -> None:
    """And PyTorch's index is nowhere an equal of PyPI: by an extra index anybody's package of that name would do."""
    found = list(installations())

    assert {"README.md", "CONTRIBUTING.md", "run", "action.yml", "hosts.md", "graviton.md"} <= {name for name, _ in found}
    assert [] == [
        (name, line)
        for name, line in found
        if "constraint" not in line and "exact[@]" not in line and "install[@]" not in line and " -c " not in line
    ]
    for file in (
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / ".github").rglob("*.yml"),
        *(ROOT / "reports/deploy").rglob("*.py"),
    ):
        if file.name not in {"versions.md", "gate.yml"}:  # environments to throw away, and those of judged requirements
            assert not re.search("EXTRA_INDEX|extra-index", file.read_text()), file


def test_images_are_named_by_digest() -> None:
    for file in (ROOT / ".github").rglob("*.yml"):
        for image in re.findall(r"^\s+image: (\S+)", file.read_text(), re.MULTILINE):
            assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image
