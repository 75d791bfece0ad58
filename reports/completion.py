"""`ladder completion SHELL`: what a shell needs to complete the commands, their options and their choices."""

import argparse
import sys

import shtab
from rich.console import Console

from reports.commands import add_command
from reports.saved.storage import Storage
from reports.text.options import Commands

PROGRAM = "ladder"
MEASURING = {"run": "measure the whole ladder, or files of benchmarks", "quick": "measure a first answer: the best recipe of each runtime"}


def add_completion(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = add_command(
        commands, common, "completion", "print the script that makes a shell complete `ladder` (docs/commands.md)", _completion
    )
    command.add_argument("shell", metavar="SHELL", choices=("bash", "zsh"), help="shell to complete in: bash or zsh")


def _completion(options: argparse.Namespace, _storage: Storage, _console: Console) -> None:
    sys.stdout.write(completion(options.shell))


def completion(shell: str) -> str:
    """Return the script for `shell`, of all commands and of those that measure."""
    # Here alone: saved runs are read where nothing can be measured.
    from fixtures.session.options import described
    from reports.__main__ import command_parser

    def measuring(commands: Commands) -> None:
        for name, text in MEASURING.items():
            described().add_to(commands.add_parser(name, help=text, usage=argparse.SUPPRESS))

    return shtab.complete(command_parser(PROGRAM, also=measuring), shell)
