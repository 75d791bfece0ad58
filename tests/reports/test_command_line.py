"""The commands as typed: output, exit codes, and messages that say what to do next."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.commands import run_commands
from reports.show.tables import FORMATS
from tests.processes import ran
from tests.reports.saved_runs import FINGERPRINT, benchmark, ladder, outcome, save, saved_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Two runs of two models on one machine, a third on another, and a cut-off file."""
    for number in (1, 2):
        steps = [*ladder("baseline", "compile"), *ladder("baseline", "compile", model="vit")]
        outcomes = [outcome(name, "measured", model=model) for model in ("resnet50", "vit") for name in ("baseline", "compile")]
        outcomes.append(outcome("tcmalloc", "skipped", "libtcmalloc is not installed"))
        save(tmp_path, number, saved_run(steps, outcomes=outcomes, commit=f"{number}" * 40, saved_at=f"2026-11-1{number}T00:00:00+00:00"))
    save(tmp_path, 3, saved_run(ladder("baseline"), fingerprint=FINGERPRINT | {"vcpus": 64}, saved_at="2026-11-13T00:00:00+00:00"))
    save(tmp_path, 4, '{"benchmarks": [')
    return tmp_path


def test_list_shows_each_run_and_names_what_it_skipped(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["list", "--storage", str(storage)])

    shown = capsys.readouterr()
    assert ["run", "0001", "0002", "0003"] == [line.split()[0] for line in shown.out.splitlines()]
    assert "4 measured, 1 skipped" in shown.out
    assert "64 vCPUs" in shown.out
    assert "0004_run.json: truncated" in shown.err


def test_notes_that_cannot_be_written_change_no_exit_code(storage: Path) -> None:
    """An error that nobody can read is no regression (1), and what was found is shown."""
    command = [sys.executable, "-m", "reports"]
    with Path("/dev/full").open("wb") as full:
        failed = subprocess.run([*command, "show", "latest", "--storage", "/nowhere"], cwd=ROOT, stderr=full, check=False)
        listed = subprocess.run([*command, "list", "--storage", str(storage)], cwd=ROOT, stdout=subprocess.PIPE, stderr=full, check=False)

    assert (2, 0) == (failed.returncode, listed.returncode)
    assert b"2026-11-13" in listed.stdout


HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("command", ["list", "show", "ladder", "history", "export"])
def test_hostile_files_and_names_reach_no_terminal(
    storage: Path, capfdbinary: pytest.CaptureFixture[bytes], command: str, form: str
) -> None:
    """Names in a run, names of files that are not UTF-8, links to nothing and to all, pipes: a sentence each, and text that is inert."""
    folder = next(storage.glob("*/0001_*")).parent
    run_ = saved_run(ladder("baseline", model=f"m{HOSTILE}"), saved_at="2026-11-14T00:00:00+00:00")
    Path(os.fsdecode(os.fsencode(folder) + b"/0005_\xff.json")).write_text(json.dumps(run_))
    (folder / "0006_dangling.json").symlink_to("/nonexistent")
    (folder / "0007_loop.json").symlink_to("0007_loop.json")
    (folder / "0008_zero.json").symlink_to("/dev/zero")
    os.mkfifo(folder / "0009_pipe.json")
    words = [command, *(["--format", "bmf"] if command == "export" else ["--format", form]), "--storage", str(storage)]

    assert 0 == main(words if command in {"list", "history"} else [*words, "5"])
    shown = capfdbinary.readouterr()
    for text in (shown.out.decode(), shown.err.decode()):
        assert [] == [character for character in text if unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character != "\n"]
        assert "Traceback" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_any_command_in_order(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    """As Ctrl-C, so that `tune` keeps what it found; further ones do not break into the clearing up."""
    cleared = []

    def table(_runs: object) -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            cleared.append("workers")

    monkeypatch.setattr(run_commands, "runs_table", table)
    answer = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, answer)
    try:
        assert 130 == main(["list", "--storage", str(storage)])
        assert answer == signal.getsignal(number)
    finally:
        signal.signal(number, before)
    assert ["workers"] == cleared
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(("closed", "code", "told"), [("1", 0, ""), ("2", 2, "")])
def test_a_stream_that_is_closed_is_no_error(storage: Path, closed: str, code: int, told: str) -> None:
    """Nor do errors go where the output goes."""
    run_ = "1" if closed == "1" else "nope"
    shell = f'"$0" -m reports show {run_} --storage "$1" {closed}>&-'
    done = ran(["sh", "-c", shell, sys.executable, str(storage)])

    assert (code, told, told) == (done.returncode, done.stdout, done.stderr)


def test_a_folder_that_was_deleted_is_said(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    shell = 'mkdir "$1" && cd "$1" && rmdir "$1" && "$0" -m inference_ladder'
    for words in ("page --storage /", "run --quick"):
        done = ran(["sh", "-c", f"{shell} {words}", sys.executable, str(gone)], tmp_path, {"PYTHONPATH": str(ROOT)})

        assert done.returncode in {2, 4}
        assert "error: " in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("columns", ["0", "-5", "abc"])
def test_a_width_that_is_none_is_not_taken(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert 0 == main(["ladder", "1", "--storage", str(storage)])
    assert "baseline" in capsys.readouterr().out


def test_list_of_an_empty_storage_of_a_hostile_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (HOSTILE.encode(), b"\xff"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        folder.mkdir()

        assert 0 == main(["list", "--storage", str(folder)])
        assert {"\n"} == {character for character in capsys.readouterr().out if not character.isprintable()}


def test_show_tells_machine_commit_evidence_and_reasons(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["show", "1", "--storage", str(storage)])

    shown = capsys.readouterr().out
    for part in (
        "1" * 40,
        "cpu_part",
        "0xd4f",
        "versions.torch",
        "bf16 kernels: bf16 96 % of kernel time",
        "libtcmalloc is not installed",
        "brgconv",
    ):
        assert part in shown


def test_rows_of_show_name_model_and_step_also_of_what_was_skipped(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["show", "1", "--format", "csv", "--storage", str(storage)])

    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    steps = [(row["model"], row["step"]) for row in rows if row["fact"] == "throughput"]
    assert [(model, step) for model in ("resnet50", "vit") for step in ("baseline", "compile")] == steps
    assert {"model": "", "step": "", "fact": "vcpus", "value": "4"} in rows
    assert {"model": "resnet50", "step": "tcmalloc", "fact": "skipped", "value": "libtcmalloc is not installed"} in rows


def test_ladder_and_history_draw_into_a_file(storage: Path) -> None:
    """SVG notes the words that it draws."""
    for command in (["ladder", "1"], ["history", "--machine-of", "1", "--step", "compile"]):
        picture = storage / f"{command[0]}.svg"
        assert 0 == main([*command, "--storage", str(storage), "--plot", str(picture)])
        assert b"compile" in picture.read_bytes()
    assert not list(storage.glob(".*"))


def test_compare_prints_ratios_and_points_to_the_gate(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["compare", "1", "2", "--storage", str(storage)])

    shown = capsys.readouterr().out
    assert 4 == shown.count("3+3") + shown.count("6+6")
    assert "no measurable effect" in shown or "not resolved" in shown
    assert "python -m reports gate --base" in " ".join(shown.split())


@pytest.mark.parametrize(
    "words", ["ladder", "compare 1", "profile --step baseline --model vit", "geomean", "grid", "roofline", "cost", "recommend"]
)
def test_what_was_left_out_of_a_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    """Whatever the command makes of the run, and whether or not it has what the command shows."""
    save(tmp_path, 1, saved_run([*ladder("baseline"), benchmark("compile", complete=False)]))

    main([*words.split(), "1", "--storage", str(tmp_path)])
    assert "0001_run.json: 1 incomplete records (interrupted, or failed while timed) were left out" in capsys.readouterr().err


def test_history_follows_the_machine_of_the_run_that_is_named(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["history", "--machine-of", "2", "--model", "vit", "--storage", str(storage)])

    shown = capsys.readouterr().out
    assert "2 runs on c8g.xlarge, Neoverse-V2, 4 vCPUs" in shown
    assert "1 run on another machine, c8g.xlarge, Neoverse-V2, 64 vCPUs" in shown


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["show", "9"], "no run '9'"),
        (["show", "4"], "truncated"),
        (["ladder", "latest~9"], "holds 3 readable runs"),
        (["ladder", "1", "--plot", "x.pdf"], ".png or .svg"),
        (["compare", "1", "3"], "vcpus: base 4, head 64"),
        (["history", "--step", "nope"], "has step 'nope'"),
        (["history", "--machine-of", "4"], "truncated"),
    ],
)
def test_errors_exit_2_with_the_reason(storage: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str) -> None:
    assert 2 == main([*arguments, "--storage", str(storage)])

    shown = capsys.readouterr()
    assert "" == shown.out
    error = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert 1 == len(error)
    assert reason in error[0]


def test_an_empty_storage_and_one_that_is_missing_say_how_to_save(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To have none is an error."""
    codes = [main(["list", "--storage", str(folder)]) for folder in (tmp_path, tmp_path / "none")]

    assert [0, 2] == codes
    assert [1, 1] == [text.count("--benchmark-autosave") for text in capsys.readouterr()]


@pytest.mark.parametrize("arguments", [[], ["nope"], ["compare", "1"], ["ladder", "--format", "pdf"]])
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert 2 == ended.value.code


def test_a_defect_exits_2_never_1(storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """1 means a regression to whoever gates on it."""

    def broken(*_arguments: Any) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr("reports.commands.run_commands.runs_table", broken)
    assert 2 == main(["list", "--storage", str(storage)])
    assert "a defect" in capsys.readouterr().err


def test_an_unwritable_picture_leaves_the_old_one(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = storage / "ladder.svg"
    picture.write_text("old")

    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device", str(picture))

    monkeypatch.setattr("os.fdopen", full)
    assert 2 == main(["ladder", "1", "--storage", str(storage), "--plot", str(picture)])
    assert "old" == picture.read_text()
    assert [picture] == list(storage.glob("*.svg"))
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "told"), [("ladder 1", "best: compile"), ("page 1 --out {storage}/x.html", "x.html: 1 run, ")])
def test_it_runs_as_a_module_without_torch(storage: Path, words: str, told: str) -> None:
    """On a laptop that has only the saved files."""
    code = "import sys; sys.modules['torch'] = sys.modules['fixtures'] = None; from reports.__main__ import main; sys.exit(main())"
    done = ran([sys.executable, "-c", code, *words.format(storage=storage).split(), "--storage", str(storage)])

    assert (0, []) == (done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("skipped: ")])
    assert told in done.stdout


def test_a_closed_pipe_is_no_error(storage: Path) -> None:
    command = f"{sys.executable} -m reports show 1 --storage {storage} | head -1; echo ${{PIPESTATUS[0]}}"
    done = ran(["bash", "-c", command])

    assert ("0", "") == (done.stdout.splitlines()[-1], done.stderr)


@pytest.mark.parametrize("variables", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_terminal_that_is_not_utf_8_shows_tables(variables: dict[str, str]) -> None:
    """What cannot be encoded is a question mark, and no traceback."""
    program = (
        "import sys; from rich.console import Console; from reports.text.plain_text import let_any_text_through\n"
        "let_any_text_through(sys.stdout); print(sys.stdout.encoding); Console(width=60).print('[bold]2\\u00d7 \\u2026[/bold]')"
    )
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONIOENCODING", "PYTHONUTF8"}} | variables
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert "utf" not in done.stdout.splitlines()[0].lower()
    assert "2? ?" in done.stdout


def test_a_command_that_was_renamed_is_found_and_says_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["calibrate", "--help"])

    out, err = capsys.readouterr()
    assert "usage: python -m reports peaks" in out
    assert "note: calibrate is now called peaks; the old name goes with the next release" in err


def test_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ") and line[4] not in " -"]

    assert "compare" in names
    for name in names:
        with pytest.raises(SystemExit, match="0"):
            main([name, "--help"])
        usage, _, said = capsys.readouterr().out.partition("\n\n")
        assert usage
        assert said.split("\n\n")[0].strip().endswith((".", ".)")), name
