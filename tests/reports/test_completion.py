"""`ladder completion`: a real shell completes commands, options and choices."""

import shutil
import subprocess
from pathlib import Path

import pytest

from reports.completion import completion
from tests.processes import ran

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_ladder ladder "${COMP_WORDS[$COMP_CWORD]}" "${COMP_WORDS[$COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["ga"], {"gate"}),
        (["qu"], {"quick"}),
        (["run", "--mod"], {"--model"}),
        (["quick", "--stack", "n"], {"not-slower"}),
        (["export", "--format", "b"], {"bmf"}),
    ],
    ids=" ".join,
)
def test_bash_completes(tmp_path: Path, typed: list[str], completed: set[str]) -> None:
    script = tmp_path / "ladder.bash"
    script.write_text(completion("bash"))
    done = ran(["bash", "-c", COMPLETE, "bash", str(script), "ladder", *typed])

    assert completed == set(done.stdout.split()), done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here -> apt-get install zsh")
def test_zsh_reads_it(tmp_path: Path) -> None:
    script = tmp_path / "_ladder"
    script.write_text(completion("zsh"))

    assert 0 == subprocess.run(["zsh", "-n", str(script)], timeout=60, check=False).returncode
