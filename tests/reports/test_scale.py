"""A thousand saved runs of sixty benchmarks: memory, and that nothing is cached on the disk. Times: `python -m tests.reports.scale`."""

import sys
from pathlib import Path

import pytest

from tests.processes import ran
from tests.reports.scale import BENCHMARKS, RUNS, generate

MOST_BYTES = 300 * 2**20


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storage")
    generate(folder)
    return folder


@pytest.mark.nightly
@pytest.mark.parametrize("command", [["list"], ["compare", "1", "latest"], ["history"]], ids=lambda command: command[0])
def test_commands_stay_below_300_mb(storage: Path, command: list[str]) -> None:
    before = sorted(storage.rglob("*"))
    code = "import resource, sys; from reports.__main__ import main; code = main(); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024); sys.exit(code)"
    done = ran([sys.executable, "-c", code, *command, "--storage", str(storage)])

    assert (0, "") == (done.returncode, done.stderr)
    *shown, most_bytes = done.stdout.splitlines()
    assert int(most_bytes) < MOST_BYTES
    assert len(shown) >= {"list": RUNS, "compare": BENCHMARKS, "history": BENCHMARKS}[command[0]]
    assert before == sorted(storage.rglob("*"))
