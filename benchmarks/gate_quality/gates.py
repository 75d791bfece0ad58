"""Holds one gate of the study: the whole command in a process of its own, read by its exit code and its JSON."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.gate_quality.kinds import Kind, branch
from benchmarks.gate_quality.record import Gate, StudyError
from benchmarks.gate_quality.repository import MODEL, clean_environment
from fixtures.bench.launch import ROOT
from reports.gate.pair import Pair

IMAGE_SIZE = 64
BATCH_SIZE = 1
ENDING_S = 60.0  # a gate that is told to end ends its workers within seconds
BUILD_BUDGET = "1s"  # the first pair is always measured, so all is built


def hold(kind: Kind, folder: Path, budget: str | None = None) -> Gate:
    """Hold one gate on the repository in `folder`. Raises StudyError where the command says nothing that can be read."""
    with tempfile.TemporaryDirectory(prefix="gate-quality-") as scratch, _neighbour(present=kind.is_noisy):
        file = Path(scratch, "gate.json")
        artifacts = Path(scratch, "artifacts") if kind.has_other_weights else folder / "artifacts"
        command = [sys.executable, "-m", "reports", "gate", *arguments(kind, budget), "--json", str(file)]
        began, begin_s = datetime.now(UTC), time.monotonic()
        code, last_line = _run([*command, "--artifact-cache", str(artifacts)], folder / "repository")
        took_s = time.monotonic() - begin_s
        try:
            told = json.loads(file.read_text())
            return read_gate(told, kind=kind.name, began=f"{began:%Y-%m-%dT%H:%M:%SZ}", exit_code=code, took_s=took_s)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StudyError(f"a gate of kind {kind.name} ended with status {code} and no result: {last_line}") from error


def arguments(kind: Kind, budget: str | None = None) -> list[str]:
    """Return the gate's options for a kind."""
    head = branch(kind.head_blocks, other_weights=kind.has_other_weights)
    sides = ["--base", branch(kind.base_blocks), "--head", head, "-k", kind.step, "--budget", budget or kind.budget]
    return [*sides, "--model", MODEL, "--image-size", str(IMAGE_SIZE), "--batch-size", str(BATCH_SIZE)]


def build(kind: Kind, folder: Path) -> None:
    """Fill the artifact cache for a kind by a gate that does not count. Raises StudyError with the gate's own reason."""
    gate = hold(kind, folder, BUILD_BUDGET)
    if gate.verdict == "ERROR":
        raise StudyError(f"a gate of kind {kind.name} cannot be held here: {gate.why}")


def read_gate(told: Mapping[str, Any], *, kind: str, began: str, exit_code: int, took_s: float) -> Gate:
    """Return what the gate's JSON tells. Raises KeyError and TypeError where it is none."""
    rows = told["benchmarks"]
    pairs = [_pair(row, pair) for row in rows for pair in row["pairs"]]
    return Gate(
        kind=kind,
        began=began,
        exit_code=exit_code,
        verdict=told["verdict"],
        why=told["error"] or "; ".join(row["why"] for row in rows),
        is_faster=any(row["is_faster"] for row in rows),
        took_s=took_s,
        pairs=tuple(pairs),
    )


def _pair(row: Mapping[str, Any], fields: Mapping[str, Any]) -> Pair:
    rounds = {name: tuple(round(value, 9) for value in fields[name]) for name in ("base_rounds_s", "head_rounds_s")}
    rest = {name: value for name, value in fields.items() if name != "slowdown"}
    return Pair(**{"model": row["model"], "step": row["step"]} | rest | rounds)


def _run(command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run a gate to its end and return its status and its last line on stderr; when interrupted, let it end its workers first.

    A session of its own keeps Ctrl-C from reaching it twice.
    """
    with subprocess.Popen(  # noqa: S603 - the gate's own command
        command, cwd=folder, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            _, told = process.communicate()
        except BaseException:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=ENDING_S)
            process.kill()
            raise
    return process.returncode, (told.strip().splitlines() or ["(nothing)"])[-1]


@contextmanager
def _neighbour(*, present: bool) -> Iterator[None]:
    """Have a noisy neighbour while the block runs."""
    if not present:
        yield
        return
    command = [sys.executable, "-m", "benchmarks.gate_quality.neighbour"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:  # noqa: S603 - the study's own module
        try:
            yield
        finally:
            process.kill()
