"""Processes that tests watch: whether they end, and which ones belong to a session."""

import os
import select
from pathlib import Path

LIMIT_S = 20.0


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
