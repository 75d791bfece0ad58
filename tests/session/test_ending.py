"""Signals that come while a session saves: they interrupt nothing, and leave no traceback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.bench.launch import ROOT
from tests.conftest import LEAN
from tests.session.test_suite import answer_interrupts

CONFTEST = """
import atexit, os, signal
atexit.register(os.kill, os.getpid(), {second})
pytest_plugins = ["fixtures.suite"]
def pytest_keyboard_interrupt():
    os.kill(os.getpid(), {second})
def pytest_benchmark_update_json():
    os.kill(os.getpid(), {second})
def pytest_terminal_summary():
    os.kill(os.getpid(), {second})
def pytest_unconfigure():
    os.kill(os.getpid(), {second})
"""
FINISHED = """
import os, signal
def test_finished(benchmark):
    benchmark.pedantic(lambda: None, rounds=3)
def test_interrupted():
    unclosed = [open(__file__)]
    unclosed.append(unclosed)
    os.kill(os.getpid(), {first})
"""


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(signal.SIGINT, signal.SIGTERM, 2), (signal.SIGTERM, signal.SIGINT, 128 + signal.SIGTERM)],
    ids=["Ctrl-C then SIGTERM", "SIGTERM then Ctrl-C"],
)
def test_what_comes_while_it_saves_interrupts_nothing(tmp_path: Path, first: signal.Signals, second: signal.Signals, status: int) -> None:
    """Whoever presses Ctrl-C again loses no finished record; a file that was open then is no error, where warnings are."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error")
    (tmp_path / "conftest.py").write_text(CONFTEST.format(second=int(second)))
    (tmp_path / "test_twice.py").write_text(FINISHED.format(first=int(first)))
    command = [sys.executable, "-m", "pytest", *LEAN, "--benchmark-autosave", f"--benchmark-storage=file://{tmp_path}/saved"]

    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=answer_interrupts,
    )

    assert status == done.returncode, done.stdout
    assert "Traceback" not in done.stdout
    assert "test_twice.py:8: KeyboardInterrupt" in done.stdout or "ended by SIGTERM" in done.stdout
    [saved] = (tmp_path / "saved").glob("*/*.json")
    assert ["test_finished"] == [each["name"] for each in json.loads(saved.read_text())["benchmarks"]]
