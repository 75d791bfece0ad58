"""The smaller commands of `python -m reports`, and the options that commands share."""

import argparse

from reports.text.options import Commands

MODULE = "python -m reports"


def as_typed(text: str, program: str) -> str:
    """Return a text whose commands are worded as this user can type them."""
    if program == MODULE:
        return text
    text = text.replace("pytest benchmarks/ ", f"{program} run ").replace("pytest benchmarks/", f"{program} run ")
    return text.replace(MODULE, program)


def add_command(commands: Commands, common: argparse.ArgumentParser, name: str, does: str) -> argparse.ArgumentParser:
    """Add a command, described by the same words in the list of all commands and in its own help."""
    return commands.add_parser(name, parents=[common], help=does, description=f"{does[0].upper()}{does[1:]}.")
