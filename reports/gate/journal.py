"""A gate's pairs, kept line by line with the conditions they were measured under: a killed gate goes on where it stopped."""

import fcntl
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields, replace
from pathlib import Path
from typing import Any

import msgspec

from fixtures.session.journal import Lines
from reports.gate.benchmarks import GateError
from reports.gate.pair import Figures, Pair
from reports.saved.record import LARGEST_FIGURE

FILE = "pairs.jsonl"


class PairJournal:
    """The pairs of one gate in a file of JSON lines."""

    def __init__(self, folder: Path, conditions: Mapping[str, Any]) -> None:
        """Take up what is there. Raises JournalError for pairs of other conditions and for a damaged file."""
        self._lines = Lines(folder / FILE, conditions, f"{folder} holds a gate")
        self.pairs = tuple(pair for record in self._lines.records if (pair := _pair(record)) is not None)

    def of(self, named: Mapping[str, str]) -> tuple[Pair, ...]:
        """Return the pairs of these models, `named` by id; others of the same id are of another gate in this folder."""
        return tuple(pair for pair in self.pairs if pair.named in {"", named.get(pair.model, "")})

    def add(self, pair: Pair) -> None:
        """Append a pair and flush it to the disk. Raises OSError."""
        self._lines.add(asdict(pair))


@contextmanager
def only_gate_in(folder: Path) -> Iterator[None]:
    """Hold the folder for one gate. Raises GateError where another one holds it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise GateError(f"another gate is at work in {folder}: name another --out, or wait for it") from error
        yield
    finally:
        os.close(lock)


def _pair(record: object) -> Pair | None:
    """Return the pair in a line, or None for a line that does not hold one."""
    if not isinstance(record, dict) or not record.keys() <= {field.name for field in fields(Pair)}:
        return None
    try:
        pair = msgspec.convert(record, Pair)
        return pair if math.isfinite(pair.slowdown) and all(map(_are_figures, (pair.base, pair.head))) else None
    except (msgspec.ValidationError, TypeError, ValueError, ZeroDivisionError):
        return None


def _are_figures(found: Figures) -> bool:
    numbers = [*astuple(replace(found, right=None, metrics=())), *(n for each in found.metrics for n in (each.value, *each.resampled))]
    return {*(found.right or "")} <= {"0", "1"} and all(not n or -LARGEST_FIGURE <= n <= LARGEST_FIGURE for n in numbers)
