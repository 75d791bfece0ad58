"""Where saved runs lie and which one a name means, as pytest-benchmark has it: <storage>/<machine id>/NNNN_<name>.json."""

import os
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reports.saved.load import UnreadableRun, number_of, read_brief
from reports.saved.record import Run, Throughput
from reports.text.refusal import Refusal

DEFAULT_STORAGE = ".benchmarks"

_LATEST = re.compile(r"latest(?:~(\d{1,6}))?")
_COMMIT = re.compile(r"[0-9a-f]{4,40}")


class NoSuchRun(Refusal):
    """No saved run is meant by a name, or more than one is."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """All files of a storage that could be read, oldest first, and why the others could not."""

    runs: tuple[Run[Throughput], ...]
    unreadable: tuple[str, ...]


class Storage:
    """One place of saved runs, by its URI (`file://./.benchmarks`) or path; it is looked at only when a name asks for it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    @cached_property
    def folder(self) -> Path:
        """Raises NoSuchRun unless the URI names a folder."""
        scheme, found, rest = self._uri.partition("://")
        if found and scheme != "file":
            raise NoSuchRun(f"storage {self._uri!r}: only folders can be read, not {scheme}: name one as PATH or file://PATH")
        folder = Path(rest if found else self._uri)
        if not folder.is_dir():
            raise NoSuchRun(
                f"storage {str(folder)!r} is not a folder: save a run with `pytest benchmarks/ --benchmark-autosave`, "
                "or name another folder with --storage"
            )
        return folder

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Every JSON file in the order of the numbers; one folder deep, as pytest-benchmark looks. Raises NoSuchRun."""
        return tuple(sorted((file for folder in self._folders for file in _entries(folder) if file.suffix == ".json"), key=_place))

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        return (self.folder, *(each for each in _entries(self.folder) if _is_folder(each)))

    @cached_property
    def shelf(self) -> Shelf:
        runs, unreadable = [], [f"{each}: Permission denied; its runs are not shown" for each in self._folders if not _may_be_listed(each)]
        for path in self.files:
            try:
                runs.append(read_brief(path))
            except UnreadableRun as error:
                unreadable.append(str(error))
        return Shelf(runs=tuple(sorted(runs, key=lambda run: (run.saved_at.timestamp(), run.number or 0))), unreadable=tuple(unreadable))

    @property
    def known(self) -> tuple[Run[Throughput], ...]:
        """All runs that could be read, oldest first; none where there is no such storage, as runs can be named by their files."""
        try:
            return self.shelf.runs
        except NoSuchRun:
            return ()

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Why files were passed over, if all were looked at."""
        return self.shelf.unreadable if "shelf" in self.__dict__ else ()

    def find(self, name: str) -> Path:
        """Return the file that `name` means: a file, `latest`, `latest~N`, a number, `MACHINE/NUMBER`, a commit or a git revision.

        Among several runs of one commit the last one saved is meant. Raises NoSuchRun.
        """
        if _is_file(name):
            return Path(name)
        if match := _LATEST.fullmatch(name):
            return self._latest(int(match[1] or 0))
        files = self._numbered(name)
        if len(files) > 1:
            raise NoSuchRun(f"run {name!r} means {len(files)} files: {', '.join(str(file) for file in files[:5])}; name one of them")
        if files:
            return files[0]
        commit = name if _COMMIT.fullmatch(name) else _git_commit(name)
        found = [run for run in self.shelf.runs if run.commit.id.startswith(commit)] if commit else []
        if found:
            return found[-1].path
        measured = f"commit {commit} has none" if commit and commit != name else f"no run {name!r}"
        raise NoSuchRun(
            f"{measured} in {str(self.folder)!r}, which holds {self._numbers()}: name a number, `latest`, `latest~1`, a file or a measured "
            "commit; `python -m reports list` shows them"
        )

    def _latest(self, back: int) -> Path:
        runs = self.shelf.runs
        if back >= len(runs):
            raise NoSuchRun(
                f"{str(self.folder)!r} holds {len(runs)} readable runs, so there is no latest{f'~{back}' if back else ''}: "
                "save one with `pytest benchmarks/ --benchmark-autosave`"
            )
        return runs[-1 - back].path

    def _numbered(self, name: str) -> list[Path]:
        machine, _, number = name.rpartition("/")
        if not (number.isascii() and number.isdecimal() and len(number) <= 9):
            return []
        return [file for file in self.files if number_of(file) == int(number) and machine in ("", file.parent.name)]

    def _numbers(self) -> str:
        numbers = [number for file in self.files if (number := number_of(file)) is not None]
        return f"{min(numbers):04} to {max(numbers):04}" if numbers else "no run"


def _git_commit(revision: str) -> str | None:
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - no shell, and git takes the name as data
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder; nothing where it cannot be looked into."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _may_be_listed(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except PermissionError:
        return os.sep in name  # a path; whoever reads it says why it cannot be read
    except (OSError, ValueError):
        return False


def _place(path: Path) -> tuple[int, str, str]:
    number = number_of(path)
    return (10**9 if number is None else number, path.name, path.parent.name)
