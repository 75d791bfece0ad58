"""The study: gate after gate until all are held or the time is used up. Every gate is written down when it ends."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.gate_quality import gates, repository
from benchmarks.gate_quality.kinds import KINDS, Kind, next_kind
from benchmarks.gate_quality.record import Gate, StudyError, append, conditions_now, read, refuse_other
from reports.text.durations import duration

ERRORS_IN_A_ROW = 3
BUILT = "built"


def go_on(folder: Path, kinds: Sequence[Kind], *, seconds: float, most_gates: int) -> None:
    """Hold gates of `kinds`, and end between two of them. Raises StudyError and OSError."""
    conditions = conditions_now()
    recorded = read(folder)
    if recorded is not None:
        refuse_other(recorded.conditions, conditions, folder)
    end_s = time.monotonic() + seconds
    prepare(folder, conditions["code"])
    held = list(recorded.gates) if recorded else []
    for _ in range(most_gates):
        kind = next_kind(Counter(gate.kind for gate in held), kinds)
        if kind is None or time.monotonic() + likely_s(kind, held) > end_s:
            return
        build(kind, folder)
        gate = gates.hold(kind, folder)
        append(folder, gate, conditions)
        held.append(gate)
        _tell(gate, held, kind)
        _stop_at_errors(held)


def prepare(folder: Path, code: str) -> None:
    """Make the repository, unless it is there and holds this code."""
    made = folder / "repository-of"
    if not made.is_file() or made.read_text() != code:
        made.unlink(missing_ok=True)
        shutil.rmtree(folder / BUILT, ignore_errors=True)
        repository.make(folder / "repository", KINDS)
        made.write_text(code)


def build(kind: Kind, folder: Path) -> None:
    """Build the models of a kind by a gate that does not count, unless that is done or each has its own. Raises StudyError."""
    if kind.has_other_weights:
        return
    built = folder / BUILT / f"{kind.base_blocks}-{kind.head_blocks}"
    if not built.exists():
        print(f"building models of {kind.base_blocks} and {kind.head_blocks} blocks", file=sys.stderr)
        gates.build(kind, folder)
        built.parent.mkdir(exist_ok=True)
        built.touch()


def likely_s(kind: Kind, held: Sequence[Gate]) -> float:
    """Return about how long a gate of `kind` takes: as those before, 0 where there are none."""
    return median([gate.took_s for gate in held if gate.kind == kind.name] or [0.0])


def _tell(gate: Gate, held: Sequence[Gate], kind: Kind) -> None:
    done = sum(each.kind == kind.name for each in held)
    print(f"{kind.name} {done}/{kind.gates}: {gate.verdict} in {duration(gate.took_s)}: {gate.why}", file=sys.stderr, flush=True)


def _stop_at_errors(held: Sequence[Gate]) -> None:
    last = held[-ERRORS_IN_A_ROW:]
    if len(last) == ERRORS_IN_A_ROW and all(gate.verdict == "ERROR" for gate in last):
        raise StudyError(f"{ERRORS_IN_A_ROW} gates in a row ended in ERROR, the last one because {last[-1].why}")
