"""An environment for each side with the requirements of its own revision, so that a bump of a dependency is measured.

It lies on top of the side's interpreter, whose packages it sees and never changes: what a file does not name is the same on both sides.
Built once and kept, by the file's content and the interpreter. Nothing that a judged revision requires is installed for the gate itself.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

from fixtures.artifacts import entry_locks
from reports.gate.benchmarks import GateError
from reports.gate.checkouts import Checkout
from reports.saved.files import write_atomically
from reports.text.plain_text import plain

MARKER = "environment.json"
INSTALL_S = 1800.0
ASK_S = 60.0
UNUSED_S = 14 * 86400.0
LARGEST_BYTES = 2**20
MOST_FILES = 50
MOST_LISTED = 5000
LONGEST_REASON = 1500
# What would install anywhere else than into the environment.
REDIRECTING = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "VIRTUAL_ENV")
_OPTION = re.compile(r"(-r|--requirement|-c|--constraint|-e|--editable|-f|--find-links)(?:[ =]\s*|(?<=-[rcef]))(\S.*)")
_REQUIREMENTS = {"-r", "--requirement"}
_NESTED = _REQUIREMENTS | {"-c", "--constraint"}
# PyPI's builds of these bring gigabytes of CUDA libraries; no other name is looked for in their index.
TORCH_INDEX = "TORCH_INDEX"
_OF_TORCH = re.compile(r"(?:torch|torchvision|torchaudio)\s*(?:[\[=<>!~;(].*)?", re.IGNORECASE)
_DESCRIBE = """
import json, os, sys
from importlib.metadata import distributions
sites = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages") and os.path.isdir(path)]
print(json.dumps({"version": sys.version, "sites": sites, "packages": {d.name: d.version for d in distributions()}}))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """What an interpreter brings: its version, the folders of its packages, and those packages by name with their versions."""

    version: str
    sites: tuple[str, ...]
    packages: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SideRequirements:
    """A side, its requirements file by its name and as a path, and the interpreter that they are installed on top of."""

    checkout: Checkout
    name: str
    file: Path
    interpreter: Interpreter


@contextmanager
def with_requirements(checkout: Checkout, name: str, root: Path, tell: Callable[[str], None]) -> Iterator[Checkout]:
    """Yield the checkout with an environment that has what its own version of the file `name` requires; built in `root`, held while used.

    A revision without the file keeps its interpreter, which is noted. `tell` is told what takes long. Raises GateError naming side, file
    and remedy.
    """
    file = _file_of(checkout, name)
    interpreter = _describe(checkout)
    if file is None:
        note = f"no {name} in this revision, so measured with the packages of {checkout.python}"
        yield replace(checkout, packages=interpreter.packages, notes=(*checkout.notes, note))
        return
    with ExitStack() as stack:
        try:
            entry_locks.check_path(root)
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            entry_locks.check_owner(root)
            _drop_unused(root)
            wanted = SideRequirements(checkout=checkout, name=name, file=file, interpreter=interpreter)
            folder = stack.enter_context(_held(wanted, root, tell))
            packages = interpreter.packages | json.loads((folder / MARKER).read_text())["packages"]
        except OSError as error:
            raise GateError(f"{checkout.side}: no environment can be kept in {root}: {error}; name another --artifact-cache") from error
        note = f"{name} of this revision is installed in an environment of its own, on top of {checkout.python}"
        yield replace(checkout, python=str(folder / "bin" / "python"), packages=packages, notes=(*checkout.notes, note))


def check_name(name: str) -> str:
    """Return the name of a requirements file as both sides have it. Raises GateError for one that is not the repository's."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise GateError(f"--requirements {name}: expected a file of the repository, relative to where the gate starts; name such a file")
    return name


def _file_of(checkout: Checkout, name: str) -> Path | None:
    file = checkout.folder / name
    if not file.is_file():
        return None
    top = (checkout.top or checkout.folder).resolve()
    if not file.resolve().is_relative_to(top):
        raise GateError(f"{checkout.side}: {name} leads out of the repository, to {file.resolve()}; name a file of the repository")
    if file.stat().st_size > LARGEST_BYTES:
        raise GateError(f"{checkout.side}: {name} has more than {LARGEST_BYTES} bytes; shorten it")
    return file


def _describe(checkout: Checkout) -> Interpreter:
    try:
        told = json.loads(_run([checkout.python, "-I", "-c", _DESCRIBE], Path(checkout.python).parent, ASK_S))
        return Interpreter(version=told["version"], sites=tuple(told["sites"]), packages=told["packages"])
    except (_FailedError, ValueError, KeyError, TypeError) as error:
        raise GateError(
            f"{checkout.side}: {checkout.python} does not tell what is installed: {plain(error, LONGEST_REASON)}; "
            f"name a working interpreter with --{checkout.side}-python"
        ) from error


@contextmanager
def _held(wanted: SideRequirements, root: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    """Yield the environment's folder, built where there is none, and kept from being dropped meanwhile."""
    checkout, interpreter = wanted.checkout, wanted.interpreter
    top = str(checkout.top or checkout.folder)
    files = {str(path).removeprefix(top): content for path, content in _content(checkout, wanted.file).items()}
    content = {"python": checkout.python, "version": interpreter.version, "packages": interpreter.packages, "files": files}
    if _from_torch_index(checkout, wanted.file):
        content["torch_index"] = os.environ[TORCH_INDEX]
    folder = root / hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
    lock, told = root / f"{folder.name}.lock", set[str]()

    def waiting(holder: str) -> None:
        if holder not in told:
            told.add(holder)
            tell(f"{checkout.side}: waiting for {holder} the environment of {wanted.name}")

    while True:
        entry_locks.share(lock, waiting)
        if (folder / MARKER).is_file():
            break
        entry_locks.give_up(lock)
        with entry_locks.alone(lock, waiting):
            if not (folder / MARKER).is_file():
                tell(f"{checkout.side}: installing {wanted.name} into an environment of its own")
                _build(wanted, folder)
    try:
        os.utime(folder / MARKER)
        yield folder
    finally:
        entry_locks.give_up(lock)


def _build(wanted: SideRequirements, folder: Path) -> None:
    checkout, name = wanted.checkout, wanted.name
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    try:
        _run([checkout.python, "-I", "-m", "venv", "--without-pip", str(folder)], folder.parent, ASK_S)
        own = Path(_run([str(python), "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder.parent, ASK_S).strip())
        lines = [f"import site; site.addsitedir({site!r})\n" for site in wanted.interpreter.sites]
        (own / "packages_below.pth").write_text("".join(lines))
        if of_torch := _from_torch_index(checkout, wanted.file):
            index = ["--no-deps", "--index-url", os.environ[TORCH_INDEX]]
            _run([*_installer(str(python)), *index, *of_torch], checkout.folder, INSTALL_S)
        _run([*_installer(str(python)), "--requirement", str(wanted.file)], checkout.folder, INSTALL_S)
        found = {found.name: found.version for found in distributions(path=[str(own)])}
        write_atomically(folder / MARKER, json.dumps({"of": name, "packages": found}, indent=1).encode())
    except _FailedError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise GateError(
            f"{checkout.side}: {name} of {checkout.revision} cannot be installed on top of {checkout.python}: "
            f"{plain(error, LONGEST_REASON)}; mend {name} there, or name an environment that has it: --{checkout.side}-python"
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _installer(python: str) -> list[str]:
    """Return the command that installs for another interpreter, by this one's pip, else by uv."""
    if find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip", "--python", python, "install", "--disable-pip-version-check", "--no-input", "--quiet"]
    if (uv := shutil.which("uv")) is not None:
        return [uv, "pip", "install", "--quiet", "--python", python]
    raise GateError(f"--requirements needs pip or uv, and {sys.executable} has neither: install one ({sys.executable} -m ensurepip)")


class _FailedError(Exception):
    """A command failed; the message is what it said last."""


def _run(command: Sequence[str], folder: Path, longest_s: float) -> str:
    """Return what a command prints; it asks nobody, and installs nowhere else than it is told. Raises _FailedError."""
    environment = {variable: value for variable, value in os.environ.items() if variable not in REDIRECTING} | {"PIP_USER": "0"}
    try:
        ran = subprocess.run(  # noqa: S603 - a side's interpreter, or the installer for it
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=longest_s,
        )
    except OSError as error:
        raise _FailedError(f"{command[0]} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise _FailedError(f"not done after {longest_s:.0f} s") from error
    if ran.returncode != 0:
        lines = [line.strip() for line in (ran.stderr or ran.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise _FailedError("; ".join(errors[-3:]) or f"status {ran.returncode}")
    return ran.stdout


def files_of(checkout: Checkout, name: str) -> frozenset[str]:
    """Return the files that `name` installs from, itself and those that it includes, relative to the side's folder."""
    file = _file_of(checkout, name)
    return frozenset(os.path.relpath(path, checkout.folder) for path in _content(checkout, file)) if file else frozenset()


def _from_torch_index(checkout: Checkout, file: Path) -> tuple[str, ...]:
    """Return the requirements of torch's packages, which come from the index that `TORCH_INDEX` names; none where it names none.

    A line with a hash is of one index's file, and stays with the others.
    """
    if not os.environ.get(TORCH_INDEX):
        return ()
    texts = _content(checkout, file, _REQUIREMENTS).values()
    return tuple(dict.fromkeys(said for text in texts for said in _lines(text) if _OF_TORCH.fullmatch(said) and "--hash" not in said))


def _content(checkout: Checkout, file: Path, followed: Set[str] = _NESTED) -> Mapping[Path, str]:
    """Return all that decides the packages of a requirements file, as far as it is here: its text, those that it names, local packages."""
    found: dict[Path, str] = {}
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current in found or len(found) > MOST_FILES or not current.is_file() or current.stat().st_size > LARGEST_BYTES:
            continue
        text = current.read_text(errors="replace")
        found[current] = text
        for option, value in _named(text):
            for place in dict.fromkeys((current.parent / value, checkout.folder / value)):
                if option in followed:
                    waiting.append(place)
                elif option not in _NESTED and place.exists():
                    found[place] = _mark(checkout, place)
    return found


def _named(text: str) -> Iterator[tuple[str, str]]:
    """Yield what the lines of a requirements file name beside packages of an index: options with their values, and paths."""
    for said in _lines(text):
        option = _OPTION.match(said)
        name, value = (option[1], option[2]) if option else ("", said.rpartition(" @ ")[2])
        value = value.partition(";")[0].strip().removeprefix("file://")
        is_path = bool(option) or value.startswith((".", "/")) or value.endswith((".whl", ".tar.gz", ".zip"))
        if value and is_path and "://" not in value:
            yield name, re.sub(r"\[[^\]]*\]$", "", value)


def _lines(text: str) -> list[str]:
    """Return the lines of a requirements file, continued ones as one, without comments."""
    return [re.sub(r"(^|\s)#.*", "", line).strip() for line in text.replace("\\\n", " ").splitlines()]


def _mark(checkout: Checkout, path: Path) -> str:
    """Return what changes with a local package: a file's content, a commit for a folder of it, else its files' names, sizes and times."""
    if path.is_file():
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    if checkout.commit and checkout.top is not None and path.resolve().is_relative_to(checkout.top.resolve()):
        return checkout.commit
    listed = []
    for number, each in enumerate(sorted(path.rglob("*"))):
        if number == MOST_LISTED:
            break
        if each.is_file():
            stat = each.stat()
            listed.append(f"{each.relative_to(path)} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256(os.fsencode("\n".join(listed))).hexdigest()


def _drop_unused(root: Path) -> None:
    """Delete environments that no gate has used for long, and the rest of killed builds of that age."""
    for folder in root.iterdir():
        if folder.suffix == ".lock" or not folder.is_dir():
            continue
        with suppress(OSError):  # another gate deletes it
            marker, lock = folder / MARKER, root / f"{folder.name}.lock"
            if (marker if marker.exists() else folder).stat().st_mtime >= time.time() - UNUSED_S:
                continue
            with entry_locks.alone_if_unused(lock) as is_unused:
                if is_unused:
                    shutil.rmtree(folder, ignore_errors=True)
                    entry_locks.discard(lock)
