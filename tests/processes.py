"""Processes that tests watch: whether they end, and which ones belong to a session."""

import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_S = 20.0


def ran(
    command: Sequence[str],
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    *,
    both: bool = False,
    limit_s: float = 300.0,
) -> "subprocess.CompletedProcess[str]":
    """Run a program of tests to its end, with more variables than this process has; `both` of its streams are one where that is asked."""
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if both else subprocess.PIPE,
        text=True,
        timeout=limit_s,
        check=False,
    )


def program(file: Path, text: str) -> Path:
    """Write a program that stands in for a real one, and return its file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


def ended(pid: int, limit_s: float = LIMIT_S) -> bool:
    """Wait for the end of process `pid`, a child or not; False if it is still running after `limit_s`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(limit_s * 1000))
    finally:
        os.close(descriptor)


def with_variable(name: str, value: str) -> set[int]:
    """Return the processes that have the variable `name` with the value `value` in their environment."""
    entry = f"{name}={value}".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found
