"""The smaller commands of `python -m reports`, and the options that commands share."""

import argparse


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser, name: str, does: str
) -> argparse.ArgumentParser:
    """Add a command, described by the same words in the list of all commands and in its own help."""
    return commands.add_parser(name, parents=[common], help=does, description=f"{does[0].upper()}{does[1:]}.")
