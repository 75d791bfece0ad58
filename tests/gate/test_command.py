"""The gate's command line: exit codes, and messages that say what to do next. No side is started here."""

import json
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from fixtures import machine
from reports.__main__ import main
from reports.gate.decision import Verdict
from reports.gate.limits import Limits
from tests.gate.conftest import Repository
from tests.gate.pairs import held, result
from tests.machines import GRAVITON3

SIDES = ("--base", "HEAD", "--head", "HEAD")


@pytest.fixture(autouse=True)
def _in_the_repository(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository.folder)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.PASS, 0), (Verdict.REGRESSION, 1), (Verdict.ERROR, 2), (Verdict.INCONCLUSIVE, 3)])
def test_exit_code_is_the_verdict(monkeypatch: pytest.MonkeyPatch, verdict: Verdict, code: int) -> None:
    held(monkeypatch, result(verdict=verdict))
    assert code == main(["gate", *SIDES])


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("another"), AssertionError(), MemoryError()])
def test_defect_exits_2_and_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """1 would mean a regression."""
    held(monkeypatch, error)

    assert 2 == main(["gate", *SIDES, "--json", str(tmp_path / "gate.json")])
    assert f"a defect of the gate: {type(error).__name__}" in capsys.readouterr().out
    assert "ERROR" == json.loads((tmp_path / "gate.json").read_text())["verdict"]


def test_an_emulated_cpu_holds_no_gate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Times under emulation decide nothing."""
    monkeypatch.setattr(machine, "this_machine", lambda: replace(GRAVITON3, emulated=True))

    assert 2 == main(["gate", *SIDES])
    assert "Neoverse V1 (Graviton3) is emulated, so its times mean nothing" in " ".join(capsys.readouterr().out.split())


def test_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held(monkeypatch, KeyboardInterrupt())

    assert 2 == main(["gate", *SIDES, "--out", str(tmp_path)])
    assert f"the same command goes on with the pairs in {tmp_path}" in " ".join(capsys.readouterr().out.split())


def test_regression_stays_one_when_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """`gate | head -1` closes the pipe early."""

    def print_gate(*_: object) -> NoReturn:
        raise BrokenPipeError

    held(monkeypatch, result(verdict=Verdict.REGRESSION))
    monkeypatch.setattr("reports.gate.command.print_gate", print_gate)

    assert 1 == main(["gate", *SIDES])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "nothing to compare: name two sides with --base and --head"),
        (("--base", "no-such-revision"), "'no-such-revision' names no commit"),
        (("--base", "--upload-pack=x"), "expected one argument"),
        (("--head", "HEAD", "--base-python", "/no/such/python"), "no Python interpreter at /no/such/python"),
        ((*SIDES, "--model", "resnet"), "unknown model 'resnet'"),
        ((*SIDES, "--model", "a/served.py:create", "--model", "b/served.py:create"), "another model has the id served.create already"),
        ((*SIDES, "--accuracy-points", "1"), "--accuracy-points is a limit on labelled pictures: name them with --accuracy DIR"),
        ((*SIDES, "--threads", "4096"), "--threads 4096: this process may use"),
        ((*SIDES, "--weights", "w.pt"), "--weights belongs to one model"),
        ((*SIDES, "--weights", "w.pt", "--model", "resnet50"), "--weights 'w.pt': there is no file '"),
        ((*SIDES, "--budget", "20"), "expected a duration such as 90s, 20m or 1h30m, found '20'"),
        ((*SIDES, "--memory-percent", "much"), "could not convert string to float: 'much'"),
        ((*SIDES, "--memory-percent", "-1"), "expected a number of at least 0, or off, found '-1.0'"),
        ((*SIDES, "--time-percent", "off"), "expected a number above 0, found 'off'"),
        ((*SIDES, "--image-size", "0"), "expected 1 to 99999 pixels: 224 for squares, or HEIGHTxWIDTH"),
        (
            (*SIDES, "--json", "/no/such/folder/gate.json"),
            "--json '/no/such/folder/gate.json': there is no folder '/no/such/folder'; make it first",
        ),
        ((*SIDES, "--out", "/dev/null/x"), "Not a directory"),
    ],
)
def test_what_cannot_be_gated_is_an_error_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    try:
        code: object = main(["gate", *arguments])
    except SystemExit as exit_:
        code = exit_.code
    told = capsys.readouterr()

    assert 2 == code
    assert expected in " ".join((told.out + told.err).split())
    assert "Traceback" not in told.err


def test_folder_that_is_no_repository_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))  # a --basetemp may lie in a repository

    assert 2 == main(["gate", *SIDES])
    assert "not a git repository" in " ".join(capsys.readouterr().out.split())


def test_every_output_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held(monkeypatch, result(verdict=Verdict.REGRESSION))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    files = [part for name in ("markdown", "json", "junit") for part in (f"--{name}", str(tmp_path / name))]

    assert 1 == main(["gate", *SIDES, *files])
    assert "REGRESSION" == json.loads((tmp_path / "json").read_text())["verdict"]
    assert "testsuite" == ET.parse(tmp_path / "junit").getroot().tag
    markdown = (tmp_path / "markdown").read_text()
    assert markdown.startswith("### ❌ Performance gate")
    assert f"before\n{markdown}" == (tmp_path / "summary.md").read_text()
    told = capsys.readouterr().out
    assert "::error title=Performance gate::REGRESSION" in told
    found = re.fullmatch(r"::stop-commands::(\w{32})\n(.*)\n::\1::\n(::error .*)", told, re.DOTALL)
    assert found is not None, "no name in a table is a command"
    assert "::" not in found[2]


def test_annotations_are_for_github_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    held(monkeypatch, result(verdict=Verdict.REGRESSION))
    main(["gate", *SIDES])

    assert "::" not in capsys.readouterr().out


def test_reports_start_without_what_measures() -> None:
    """Other commands of `reports` load neither torch nor scipy's statistics for the gate's sake."""
    code = "import sys, reports.__main__; print([name for name in ('torch', 'scipy', 'fixtures', 'pytest') if name in sys.modules])"
    assert "[]" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_output_that_cannot_be_written_loses_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is printed first, the other files are whole, and the exit says that something is missing."""
    gone = tmp_path / "gone"
    gone.mkdir()
    held(monkeypatch, result(verdict=Verdict.REGRESSION), during=gone.rmdir)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(gone / "summary.md"))

    assert 2 == main(["gate", *SIDES, "--markdown", str(gone / "gate.md"), "--json", str(tmp_path / "gate.json")])
    told = capsys.readouterr()
    assert "REGRESSION" in told.out
    assert f"--markdown {gone / 'gate.md'} cannot be written: No such file or directory" in told.err
    assert f"the step summary {gone / 'summary.md'} cannot be written" in told.err
    assert "REGRESSION" == json.loads((tmp_path / "gate.json").read_text())["verdict"]


def test_gate_under_nohup_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    held(monkeypatch, result(), during=lambda: signal.raise_signal(signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert 0 == main(["gate", *SIDES])
    finally:
        signal.signal(signal.SIGHUP, before)


def test_limits_are_options(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = held(monkeypatch, result())
    main(["gate", *SIDES, "--memory-percent", "12.5", "--build-time-percent", "50", "--sqnr-db", "off"])

    assert [Limits(memory_percent=12.5, build_time_percent=50.0, sqnr_db=None)] == [request.thresholds.common for request in asked]
