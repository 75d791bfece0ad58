"""One gate of the study as it is recorded, and the file of them: JSON lines that never mix machines, versions or code."""

import hashlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from fixtures.bench.launch import ROOT
from fixtures.machine import this_machine
from fixtures.machine.versions import installed
from fixtures.session.journal import append_line, differences, read_lines
from reports.gate.pair import Pair
from reports.saved.machines import machine_differences

FILE = "gates.jsonl"
MEASURING = ("fixtures", "reports/gate")
SHOWING = "reports/gate/show"  # changes no verdict
HOLDING = ("blocks.py", "gates.py", "neighbour.py", "repository.py")  # of this folder


class StudyError(Exception):
    """The study cannot go on; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One whole command: how it ended, how long it took, and its pairs with all their rounds. `began` is UTC, ISO 8601."""

    kind: str
    began: str
    exit_code: int
    verdict: str
    why: str
    is_faster: bool
    took_s: float
    pairs: tuple[Pair, ...]

    @property
    def screen(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.phase == "screen")

    @property
    def confirm(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.phase == "confirm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A study so far: what it was measured on and with, and its gates in order."""

    conditions: Mapping[str, Any]
    gates: Sequence[Gate]


def conditions_now() -> dict[str, Any]:
    """Return what all gates of a study share; `commit` only names where to find the code, and may change where that does not."""
    return {
        "machine": this_machine().fingerprint(),
        "versions": {"python": platform.python_version()} | installed(("openvino", "numpy", "torch", "scipy")),
        "code": code_digest(ROOT),
        "commit": _commit(),
    }


def code_digest(root: Path) -> str:
    """Return a digest of the code that measures and decides."""
    found = [file for folder in MEASURING for file in sorted((root / folder).rglob("*.py"))]
    files = [file for file in found if root / SHOWING not in file.parents]
    files += [root / "benchmarks" / "gate_quality" / name for name in HOLDING]
    content = b"".join(f"{file.relative_to(root)}\0".encode() + file.read_bytes() for file in files)
    return hashlib.sha256(content).hexdigest()[:16]


def read(folder: Path) -> Recorded | None:
    """Return the study in `folder`, None where there is none; lines that were cut off are left out. Raises StudyError."""
    file = folder / FILE
    if not file.exists() or not file.stat().st_size:
        return None
    try:
        conditions, records = read_lines(file)
    except ValueError as error:
        raise StudyError(f"{error}; delete {file} to start anew") from error
    return Recorded(conditions=conditions, gates=[gate for record in records if (gate := _gate(record)) is not None])


def append(folder: Path, gate: Gate, conditions: Mapping[str, Any]) -> None:
    """Write a gate down, flushed to the disk. Raises OSError."""
    append_line(folder / FILE, asdict(gate), conditions)


def refuse_other(then: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Raise StudyError where a study would go on with another machine, other versions or other code."""
    machine = machine_differences(then.get("machine", {}), now["machine"])
    found = "; ".join(f"{each.field}: {each.base} then, {each.head} now" for each in machine[:3])
    others = ({name: value for name, value in each.items() if name not in {"machine", "commit"}} for each in (then, now))
    found = found or differences(*others)
    if found:
        raise StudyError(
            f"the study in {folder} was begun with another machine, other versions or other code ({found}); go on with those "
            f"(the code is that of commit {then.get('commit') or '(not recorded)'}), or name another --out"
        )


def _commit() -> str:
    """Return this checkout's commit, marked where files differ from it; empty where git knows of none."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - git on this checkout
    except OSError:
        return ""


def _gate(record: object) -> Gate | None:
    try:
        gate = msgspec.convert(record, Gate)
        _ = [pair.slowdown for pair in gate.pairs]
    except (msgspec.ValidationError, ValueError, ZeroDivisionError):
        return None
    return gate
