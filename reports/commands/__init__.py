"""The smaller commands of `python -m reports`, and the options that commands share."""

import argparse

from reports.text.options import Commands


def add_command(commands: Commands, common: argparse.ArgumentParser, name: str, does: str) -> argparse.ArgumentParser:
    """Add a command, described by the same words in the list of all commands and in its own help."""
    return commands.add_parser(name, parents=[common], help=does, description=f"{does[0].upper()}{does[1:]}.")
