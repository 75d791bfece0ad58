"""The smaller commands of `python -m reports`, and the options that commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from reports.saved.load import read_run
from reports.saved.record import Measurement, Run
from reports.saved.storage import Storage
from reports.text.former_options import HIDDEN, renamed_to
from reports.text.options import Commands
from reports.text.plain_text import say

MODULE = "python -m reports"
RUN_HELP = "saved run: a number, latest, latest~1, a file, a commit or a git revision"


def as_typed(text: str, program: str) -> str:
    """Return a text whose commands are worded as this user can type them."""
    if program == MODULE:
        return text
    text = text.replace("pytest benchmarks/ ", f"{program} run ").replace("pytest benchmarks/", f"{program} run ")
    return text.replace(MODULE, program)


def add_command(
    commands: Commands,
    common: argparse.ArgumentParser,
    name: str,
    does: str,
    run: Callable[[argparse.Namespace, Storage, Console], int | None],
) -> argparse.ArgumentParser:
    """Add a command that is done by `run`, described by the same words in the list of all commands and in its own help."""
    command = commands.add_parser(name, parents=[common], help=does, description=f"{does[0].upper()}{does[1:]}.")
    command.set_defaults(command=run)
    return command


def add_run(command: argparse.ArgumentParser, *, or_else: str = "") -> None:
    """Let a command name a saved run, or something else that it reads."""
    told = f"{RUN_HELP}, or {or_else}" if or_else else RUN_HELP
    command.add_argument("run", metavar="RUN", nargs="?", default="latest", help=f"{told} (default: latest)")


def add_plot(command: argparse.ArgumentParser, what: str) -> None:
    """Let a command draw, too."""
    command.add_argument("--plot", type=Path, metavar="FILE", help=f"also draw {what}, as .png or .svg")


def add_peaks(command: argparse.ArgumentParser, of: str = "run") -> None:
    """Let a command take a machine's peaks from a file."""
    help_ = f"peaks of the {of}'s machine, as `peaks --format json` wrote them (default: those saved with the run)"
    command.add_argument("--peaks", type=Path, metavar="FILE", help=help_)
    command.add_argument("--calibration", type=Path, dest="peaks", action=renamed_to("--peaks"), help=HIDDEN)


def read_and_tell(path: Path) -> Run[Measurement]:
    """Read a saved run, and say what was left out of it. Raises UnreadableRun."""
    run = read_run(path)
    for note in run.notes:
        say(f"note: {run.path}: {note}")
    return run
