"""What each side's files require, and how head's differ: packages that both sides share hide such a change, so it is named.

Files of both sides are data of unknown origin: bounded, no link is followed, nothing is installed.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from reports.text.plain_text import plain, some_of

PATTERNS = ("requirements*.txt", "requirements/*.txt", "constraints*.txt")
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "environment.yml", "setup.py", "setup.cfg")
LARGEST_BYTES = 8 * 2**20
MOST_FILES = 50
MOST_TOLD = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def requirement_changes(base: Path, head: Path, own: Set[str] = frozenset()) -> tuple[str, ...]:
    """Say which requirements differ between the checkouts in two folders; empty where none does.

    `own` are the files that each side has an environment of its own for: what they change is measured.
    """
    before, after = required(base), required(head)
    measured: list[str] = []
    hidden: list[str] = []
    for file in sorted({**before, **after}):
        old, new = before.get(file, {}), after.get(file, {})
        for name in sorted({**old, **new}):
            if old.get(name) != new.get(name):
                (measured if file in own else hidden).append(f"{file}: {_pair(name, old.get(name), new.get(name))}")
    told = []
    if measured:
        told.append(f"requirements differ ({some_of(measured, MOST_TOLD, '; ')}), and each side ran with its own")
    if hidden:
        told.append(
            f"requirements differ ({some_of(hidden, MOST_TOLD, '; ')}), and both sides ran with the same packages, so that this is not "
            "measured: give each side an environment of its own (--requirements FILE, or --base-python, --head-python)"
        )
    return tuple(told)


def required(folder: Path) -> Mapping[str, Mapping[str, str]]:
    """Return what a checkout requires: by file, each package's line; of a lock file its content as a whole."""
    found: dict[str, Mapping[str, str]] = {}
    files = [file for pattern in PATTERNS for file in sorted(folder.glob(pattern))[:MOST_FILES]]
    for file in files:
        if (content := _read(file)) is not None:
            found[plain(file.relative_to(folder), 100)] = _lines(content.decode(errors="replace").splitlines())
    if (content := _read(folder / "pyproject.toml")) is not None:
        found["pyproject.toml"] = _project(content.decode(errors="replace"))
    for lock in LOCKS:
        if (content := _read(folder / lock)) is not None:
            found[lock] = {"": hashlib.sha256(content).hexdigest()}
    return found


def _project(text: str) -> Mapping[str, str]:
    try:
        project: Any = tomllib.loads(text).get("project", {})
        found = dict(_lines(map(str, project.get("dependencies", []))))
        for extra, lines in project.get("optional-dependencies", {}).items():
            found |= {f"{extra}: {name}": line for name, line in _lines(map(str, lines)).items()}
        return found
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}


def _lines(lines: Iterable[str]) -> Mapping[str, str]:
    """Return each requirement by its package's name and marker; options such as `-r` and URLs by themselves.

    A package has several lines where it has a version for each Python, or for each machine.
    """
    found: dict[str, str] = {}
    for line in lines:
        said = line.partition(" #")[0].strip()
        if said and not said.startswith("#"):
            name = _NAME.match(said)
            marker = "".join(said.partition(";")[1:]).replace(" ", "")
            found[f"{name[0].lower().replace('_', '-')}{marker}" if name else said] = said
    return found


def _read(file: Path) -> bytes | None:
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > LARGEST_BYTES:
            return None
        return file.read_bytes()
    except OSError:
        return None


def _pair(name: str, old: str | None, new: str | None) -> str:
    if not name:
        return "changed" if old and new else "added" if new else "removed"
    return f"{plain(old, 80) if old else 'nothing'} to {plain(new, 80) if new else 'nothing'}"
