"""Other processes that use the CPUs: named with their numbers, never the suite's own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.machine import neighbours, this_machine
from fixtures.machine.neighbours import Neighbour, Processes

ALLOWED = frozenset(this_machine().allowed_cpus)
PINNED_ELSEWHERE = 6


def stat(parent: int, cpu_ticks: int, name: str = "make", started: int = 5) -> str:
    """Return a line of /proc/PID/stat of a process of that parent."""
    return f"7 ({name}) R {parent} {'0 ' * 9}{cpu_ticks} 0 0 0 20 0 1 0 {started} 0 0"


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is read in place of /proc."""
    monkeypatch.setattr(neighbours, "PROC", tmp_path)
    monkeypatch.setattr("fixtures.machine.neighbours.os.getpid", lambda: 100)
    monkeypatch.setattr("fixtures.machine.neighbours.os.sysconf", lambda _: 100)
    monkeypatch.setattr("fixtures.machine.neighbours.os.sched_getaffinity", lambda number: {999} if number == PINNED_ELSEWHERE else ALLOWED)
    return tmp_path


def write(proc: Path, number: int, text: str) -> None:
    (proc / str(number)).mkdir(exist_ok=True)
    (proc / str(number) / "stat").write_text(text)


def between(proc: Path, later: dict[int, str]) -> list[Neighbour]:
    """Return the neighbours of ten seconds, from what the folder says to `later`."""
    before = Processes.now()
    for number, text in later.items():
        write(proc, number, text)
    return replace(Processes.now(), moment_s=before.moment_s + 10).neighbours_since(before)


def test_the_busiest_come_first_and_the_idle_not_at_all(proc: Path) -> None:
    for number in (7, 8, 9):
        write(proc, number, stat(1, 500))

    found = between(proc, {7: stat(1, 800), 8: stat(1, 1490), 9: stat(1, 501)})

    assert [(8, 0.99), (7, 0.3)] == [(each.number, each.cpus) for each in found]


def test_processes_below_this_one_are_its_own(proc: Path) -> None:
    write(proc, 100, stat(1, 0))
    write(proc, 101, stat(100, 0))
    write(proc, 102, stat(101, 0))

    assert [] == between(proc, {100: stat(1, 900), 101: stat(100, 900), 102: stat(101, 900)})


def test_who_is_kept_off_these_cpus_is_no_neighbour(proc: Path) -> None:
    write(proc, PINNED_ELSEWHERE, stat(1, 0))

    assert [] == between(proc, {PINNED_ELSEWHERE: stat(1, 900)})


def test_a_number_that_was_given_anew_is_another_process(proc: Path) -> None:
    write(proc, 7, stat(1, 100_000))

    [found] = between(proc, {7: stat(1, 900, name="a) R 3 (b", started=6)})

    assert (0.9, "a) R 3 (b (process 7) used 90% of a CPU") == (found.cpus, str(found))


def test_what_cannot_be_read_is_nobody(proc: Path) -> None:
    write(proc, 7, "7 (make")
    (proc / "8").mkdir()

    assert [] == between(proc, {9: ""})


@contextmanager
def orphan() -> Iterator[int]:
    """Give the number of a process that never rests and is not below this one."""
    code = (
        "import os, time\nif os.fork(): os._exit(0)\nprint(os.getpid(), flush=True)\nend = time.time() + 5\nwhile time.time() < end: pass"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        number = int(started.stdout.readline())
        started.wait()
        try:
            yield number
        finally:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def test_a_real_process_is_seen() -> None:
    with orphan() as number:
        before = Processes.now()
        time.sleep(0.3)
        found = Processes.now().neighbours_since(before)

    assert number in {each.number for each in found}
