"""The command line: what every command shares, and how each ends. `python -m reports --help`."""

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from types import FrameType
from typing import TextIO, cast

from rich.console import Console

from reports.commands import MODULE, as_typed
from reports.commands.doctor_command import add_doctor
from reports.commands.peak_commands import add_peak_commands
from reports.commands.run_commands import add_run_commands
from reports.completion import add_completion
from reports.deploy.command import add_recommend
from reports.gate.bisect_command import add_bisect
from reports.gate.command import add_gate
from reports.page.command import add_page
from reports.saved.files import NO_CURRENT_FOLDER, has_current_folder
from reports.saved.storage import DEFAULT_STORAGE, Storage
from reports.text.former_options import as_now_called
from reports.text.options import Commands
from reports.text.output import Unfailing
from reports.text.plain_text import let_any_text_through, say
from reports.text.refusal import Refusal
from reports.tune.command import add_tune
from reports.under_load.command import add_load
from reports.versions.versions_command import add_versions

ERROR = 2
INTERRUPTED = 130
PIPE_WIDTH = 150
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Terminal(Console):
    """A console that leaves a closed pipe to its caller; rich's own would exit with 1, which means a regression."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def main(arguments: Sequence[str] | None = None, program: str = MODULE) -> int:
    """Run one command and return the exit code: 0, the gate's own, 130 after an interruption, or 2 with one paragraph on stderr."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started this
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for as long as the process lives
        let_any_text_through(getattr(sys, name))
    with redirect_stderr(cast(TextIO, Unfailing(sys.stderr))):  # a note that nobody can read ends no gate, nor is it a regression
        return _run(arguments, program)


def _run(arguments: Sequence[str] | None, program: str) -> int:
    options = command_parser(program).parse_args(as_now_called(sys.argv[1:] if arguments is None else arguments))
    options.program = program
    storage = Storage(options.storage)
    code: int = 0
    try:
        with ended_in_order():
            code = options.command(options, storage, _console()) or 0
        sys.stdout.flush()
    except KeyboardInterrupt:  # what was to be kept has been kept by now
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Refusal as error:
        return _fail(str(error), program)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return _fail(_told(error), program)
    except Exception as error:  # noqa: BLE001 - a defect must exit 2 as well: 1 means a regression
        if _is_unsupported(error):
            return _fail(str(error), program)
        traceback.print_exc()
        return ERROR
    finally:
        for reason in storage.unreadable:
            say(f"skipped: {reason}")
    return code


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let a cancelled job and a terminal that goes be what Ctrl-C is: workers are ended, worktrees removed, what was found is kept.

    Further signals wait for that.

    What was ignored from the start, as in the background of a shell or under nohup, stays so.
    """
    is_ending = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_ending
        if is_ending:
            return
        is_ending = True
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main one hears signals
        yield
        return
    heard = [number for number in ENDING_SIGNALS if signal.getsignal(number) not in {signal.SIG_IGN, None}]
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told(error: OSError) -> str:
    if not has_current_folder():
        return NO_CURRENT_FOLDER
    return f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error)


def _is_unsupported(error: Exception) -> bool:
    """Whether this system cannot be measured on; saved runs are read without `fixtures`, which is loaded where it raised the error."""
    cpus = sys.modules.get("fixtures.machine.cpus")
    return cpus is not None and isinstance(error, cpus.UnsupportedSystemError)


def _console() -> Console:
    """Return a console as wide as the terminal, or as COLUMNS says; a file or a pipe gets all columns."""
    told = os.environ.get("COLUMNS")
    wide = PIPE_WIDTH if told == "0" or (told is None and not sys.stdout.isatty()) else None
    return _Terminal(highlight=False, width=wide)


def _fail(message: str, program: str) -> int:
    """Print a refusal whose next action is worded as this user can type it."""
    say(f"error: {as_typed(message, program)}", 2000)
    return ERROR


def command_parser(program: str, also: "Callable[[Commands], None] | None" = None) -> argparse.ArgumentParser:
    """Return the parser of all commands, which speaks of itself as `program`; `also` adds more of them."""
    measures = "" if program == MODULE else "`ladder run` and `ladder quick` measure: `ladder run --help`. "
    parser = argparse.ArgumentParser(
        prog=program,
        description=f"{measures}The commands below read saved runs, or decide by measuring: docs/commands.md has each with an example.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--storage", default=DEFAULT_STORAGE, metavar="URI", help="folder of saved runs, as for pytest-benchmark (default: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add_run_commands(commands, common)
    add_page(commands, common)
    add_versions(commands, common)
    add_peak_commands(commands, common)
    add_gate(commands, common)
    add_bisect(commands, common)
    add_recommend(commands, common)
    add_load(commands, common)
    add_tune(commands, common)
    add_doctor(commands, common)
    add_completion(commands, common)
    if also is not None:
        also(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
