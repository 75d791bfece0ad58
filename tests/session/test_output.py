"""A session whose output cannot be written any more measures on, and saves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.bench.launch import ROOT
from tests.conftest import LEAN

CONFTEST = 'pytest_plugins = ["fixtures.suite"]'
TESTS = """
import os
import pytest
from fixtures.session.session import session_of
def test_before(benchmark):
    benchmark.pedantic(lambda: None, rounds=3)
def test_goes_on():
    assert os.read({gate}, 1) == b""
@pytest.mark.parametrize("number", range(3))
def test_says_something(number, request):
    session_of(request.config).progress.note("a line of the suite's own")
def test_after(benchmark):
    benchmark.pedantic(lambda: None, rounds=3)
"""


@pytest.mark.parametrize("merged", [False, True], ids=["stdout", "both streams"])
@pytest.mark.parametrize("ends", ["the reader leaves", "the disk is full"])
def test_a_run_is_saved_whose_output_goes_nowhere(tmp_path: Path, ends: str, merged: bool) -> None:
    """As after `| head -1`, and in a log on a full disk."""
    gate, ours = os.pipe()
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS.format(gate=gate))
    command = [sys.executable, "-m", "pytest", "-v", *LEAN, "--benchmark-autosave", f"--benchmark-storage=file://{tmp_path}/saved"]
    with Path("/dev/full").open("wb") as full:
        output = full if ends == "the disk is full" else subprocess.PIPE
        run = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            pass_fds=[gate],
        )
    os.close(gate)
    if run.stdout is not None:
        assert b"session starts" in run.stdout.readline()
        run.stdout.close()
    os.close(ours)
    said = run.communicate(timeout=120)[1]

    assert 0 == run.returncode, said
    [saved] = (tmp_path / "saved").glob("*/*.json")
    assert ["test_before", "test_after"] == [each["name"] for each in json.loads(saved.read_text())["benchmarks"]]
    if not merged:
        reason = "No space left on device" if ends == "the disk is full" else "Broken pipe"
        assert 1 == said.decode().count(f"note: the output cannot be written any more ({reason}): the run goes on without it\n")


def test_an_ended_session_leaves_nothing_open(tmp_path: Path) -> None:
    """Python would say so after the last line, where warnings are errors."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_end.py").write_text("import pytest\ndef test_end():\n    pytest.exit('no room', returncode=4)\n")
    command = [sys.executable, "-X", "dev", "-m", "pytest", *LEAN]

    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False
    )

    assert 4 == done.returncode, done.stdout + done.stderr
    assert "no room" in done.stdout
    assert "unclosed" not in done.stderr + done.stdout
