"""Each side's requirements in an environment of its own, and the judge's untouched."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from reports.gate import environments
from reports.gate.benchmarks import GateError
from reports.gate.checkouts import Checkout
from reports.gate.environments import MARKER, TORCH_INDEX, Interpreter, SideRequirements, check_name, files_of, with_requirements
from tests.gate.wheels import requirements, wheel

FILE = "requirements.txt"
NAME = "gated_dependency"


@dataclass
class Place:
    """Two checkouts, and where environments are kept."""

    folder: Path
    told: list[str] = field(default_factory=list)

    def checkout(self, side: Literal["base", "head"], text: str | None, commit: str = "1" * 40) -> Checkout:
        made = self.folder / side
        made.mkdir(exist_ok=True)
        if text is not None:
            (made / FILE).write_text(text)
        return Checkout(
            side=side,
            revision=side,
            commit=commit,
            subject="",
            digest="",
            folder=made,
            python=sys.executable,
            fixtures="the gate's",
            top=made,
            repository=self.folder,
        )

    def installed(self, stack: ExitStack, checkout: Checkout, name: str = FILE) -> Checkout:
        return stack.enter_context(with_requirements(checkout, name, self.folder / "kept", self.told.append))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for version in ("1.0", "2.0"):
        wheel(tmp_path / "wheels", NAME, version, f"VERSION = {version!r}\n")
    return Place(tmp_path)


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    """What this interpreter says of itself."""
    return environments._describe(Place(tmp_path_factory.mktemp("described")).checkout("base", None))


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch, interpreter: Interpreter) -> None:
    """Let environments be empty folders, on top of an interpreter that was asked once: which one it is, is what counts."""

    def build(wanted: SideRequirements, folder: Path) -> None:
        folder.mkdir()
        (folder / MARKER).write_text(json.dumps({"of": wanted.name, "packages": {}}))

    monkeypatch.setattr(environments, "_build", build)
    monkeypatch.setattr(environments, "_describe", lambda _checkout: interpreter)


def ask(checkout: Checkout, code: str) -> str:
    return subprocess.run([checkout.python, "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout.strip()


@pytest.mark.slow
def test_each_side_has_what_it_requires_and_the_judge_nothing_of_it(place: Place) -> None:
    """The rest is the judge's own packages, seen from below; and what is built is kept.

    A judged revision that requires another markupsafe decides nothing about how it is judged.
    """
    wheels = place.folder / "wheels"
    wheel(wheels, "markupsafe", "99.0", "HOSTILE = True\n")
    before = {each.name: each.version for each in importlib.metadata.distributions()}
    with ExitStack() as stack:
        sides = [
            place.installed(stack, place.checkout("base", requirements(wheels, f"{NAME}==1.0"))),
            place.installed(stack, place.checkout("head", requirements(wheels, f"{NAME}==2.0", "markupsafe==99.0"))),
        ]
        assert "True" == ask(sides[1], "import markupsafe; print(markupsafe.HOSTILE)")
        assert ["1.0", "2.0"] == [ask(side, f"import {NAME}; print({NAME}.VERSION)") for side in sides]
        assert ["1.0", "2.0"] == [side.packages[NAME] for side in sides]
        assert msgspec.__file__ == ask(sides[0], "import msgspec; print(msgspec.__file__)")
        assert "requirements.txt of this revision is installed in an environment of its own" in sides[0].notes[0]
    assert before == {each.name: each.version for each in importlib.metadata.distributions()}
    assert importlib.util.find_spec(NAME) is None
    assert not hasattr(importlib.import_module("markupsafe"), "HOSTILE")
    assert 2 == len(place.told)

    with ExitStack() as stack:
        again = place.installed(stack, place.checkout("head", requirements(wheels, f"{NAME}==1.0")))
        assert sides[0].python == again.python
        assert "1.0" == ask(again, f"import {NAME}; print({NAME}.VERSION)")
    assert 2 == len(place.told), "nothing was installed again"


@pytest.mark.slow
def test_only_torchs_packages_come_from_its_index(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gets another name into that index is not installed; the rest comes from where it came from before."""
    simple, wheels = place.folder / "simple", place.folder / "wheels"
    for name in ("torchaudio", NAME):
        made = wheel(simple / name, name, "99.0", "WHENCE = 'the index of torch'\n")
        (simple / name / "index.html").write_text(f'<a href="{made.name}">{made.name}</a>')
    monkeypatch.setenv(TORCH_INDEX, simple.as_uri())
    with ExitStack() as stack:
        side = place.installed(stack, place.checkout("head", requirements(wheels, f"{NAME}>=1.0", "torchaudio==99.0 # speech")))
        assert ("2.0", "99.0") == (side.packages[NAME], side.packages["torchaudio"])
        assert "the index of torch" == ask(side, "import torchaudio; print(torchaudio.WHENCE)")
        with pytest.raises(GateError, match=f"No matching distribution found for {NAME}==99.0"):
            place.installed(stack, place.checkout("base", requirements(wheels, f"{NAME}==99.0")))


@pytest.mark.parametrize(
    ("line", "is_torchs"),
    [
        ("torch", True),
        ("torch==2.12.0", True),
        ("Torch >= 2.10, <2.13 ; python_version > '3.10'", True),
        ("torchvision[gdown]", True),
        ("torch==2.12.0 --hash=sha256:00", False),
        ("torch @ https://example.org/torch.whl", False),
        ("torch-scatter==2.1", False),
        ("torchao", False),
        ("-c constraints.txt", False),
    ],
)
def test_which_lines_are_of_torchs_index(place: Place, monkeypatch: pytest.MonkeyPatch, line: str, is_torchs: bool) -> None:
    """In the file and in those that it includes; what only constrains asks for nothing."""
    checkout = place.checkout("base", "-r more.txt\n-c constraints.txt\n")
    (place.folder / "base" / "more.txt").write_text(f"{line}\n")
    (place.folder / "base" / "constraints.txt").write_text("torchaudio==1.0\n")
    assert () == environments._from_torch_index(checkout, checkout.folder / FILE)
    monkeypatch.setenv(TORCH_INDEX, "https://example.org/cpu")
    assert ((line,) if is_torchs else ()) == environments._from_torch_index(checkout, checkout.folder / FILE)


def test_requirements_that_cannot_be_installed_are_an_error_with_side_file_and_remedy(place: Place) -> None:
    checkout = place.checkout("head", requirements(place.folder / "wheels", f"{NAME}==3.0"))
    with pytest.raises(GateError) as refused, ExitStack() as stack:
        place.installed(stack, checkout)

    told = str(refused.value)
    assert told.startswith("head: requirements.txt of head cannot be installed on top of ")
    assert f"No matching distribution found for {NAME}==3.0" in told
    assert told.endswith("; mend requirements.txt there, or name an environment that has it: --head-python")
    assert [] == [each for each in (place.folder / "kept").iterdir() if each.is_dir()]


def test_revision_without_the_file_keeps_its_interpreter(place: Place) -> None:
    with ExitStack() as stack:
        base = place.installed(stack, place.checkout("base", None))

    assert sys.executable == base.python
    assert (f"no requirements.txt in this revision, so measured with the packages of {sys.executable}",) == base.notes
    assert "msgspec" in base.packages


def test_equal_requirements_share_an_environment(place: Place, unbuilt: None) -> None:
    with ExitStack() as stack:
        pythons = {place.installed(stack, place.checkout(side, "numpy\n")).python for side in ("base", "head")}
    assert 1 == len(pythons)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: (folder / FILE).write_text("numpy\n-r more.txt\n./local\n# a comment counts\n"), id="the file"),
        pytest.param(lambda folder: (folder / "more.txt").write_text("scipy\n"), id="a file that it includes"),
        pytest.param(lambda folder: (folder / "local" / "setup.py").write_text("changed"), id="a package in a folder of it"),
    ],
)
def test_what_is_installed_otherwise_is_another_environment(place: Place, unbuilt: None, change: Callable[[Path], object]) -> None:
    checkout = place.checkout("base", "numpy\n-r more.txt\n./local\n", commit="")
    (checkout.folder / "more.txt").write_text("torch\n")
    (checkout.folder / "local").mkdir()
    (checkout.folder / "local" / "setup.py").write_text("")
    with ExitStack() as stack:
        before = place.installed(stack, checkout).python
        assert before == place.installed(stack, checkout).python
        change(checkout.folder)
        assert before != place.installed(stack, checkout).python


def test_package_of_the_repository_is_each_commits_own(place: Place, unbuilt: None) -> None:
    """`-e .` installs what is checked out, of which the file tells nothing."""
    with ExitStack() as stack:
        pythons = {place.installed(stack, place.checkout("base", "-e .[fast]\n", commit=digit * 40)).python for digit in "12"}
    assert 2 == len(pythons)


def test_included_files_are_named(place: Place) -> None:
    checkout = place.checkout("base", "--requirement=parts/a.txt\n-c constraints.txt  # pins\n")
    (checkout.folder / "parts").mkdir()
    (checkout.folder / "parts" / "a.txt").write_text("-r b.txt\n-r a.txt\n")
    for name in ("parts/b.txt", "constraints.txt"):
        (checkout.folder / name).write_text("numpy\n")

    assert {FILE, "parts/a.txt", "parts/b.txt", "constraints.txt"} == files_of(checkout, FILE)


def test_unused_environments_are_dropped_and_used_ones_stay(place: Place, unbuilt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        kept = Path(place.installed(stack, place.checkout("base", "numpy\n")).python).parents[1]
        monkeypatch.setattr(environments, "UNUSED_S", -60.0)
        place.installed(stack, place.checkout("head", "scipy\n"))
        assert kept.is_dir(), "in use"
    with ExitStack() as stack:
        place.installed(stack, place.checkout("head", "torch\n"))
        assert not kept.exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "../requirements.txt"])
def test_file_is_the_repositorys(name: str) -> None:
    with pytest.raises(GateError, match="expected a file of the repository"):
        check_name(name)


def test_link_out_of_the_repository_is_refused(place: Place) -> None:
    checkout = place.checkout("head", None)
    (place.folder / "elsewhere.txt").write_text("numpy\n")
    (checkout.folder / FILE).symlink_to(place.folder / "elsewhere.txt")
    with pytest.raises(GateError, match=r"head: requirements\.txt leads out of the repository"), ExitStack() as stack:
        place.installed(stack, checkout)
