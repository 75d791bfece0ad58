"""`ladder doctor`: what of this machine and environment is missing, or disturbs measuring, each with its remedy."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from reports.commands import add_command
from reports.saved.storage import Storage
from reports.text.plain_text import plain

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Commands = _SubParsersAction[argparse.ArgumentParser]

STYLES = {"fine": "green", "note": "dim", "missing": "red", "disturbs": "yellow"}


def add_doctor(commands: "Commands", common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = add_command(
        commands,
        common,
        "doctor",
        "tell what is missing on this machine or disturbs measuring (exit code 1), with the remedies",
    )
    command.add_argument(
        "--artifact-cache",
        type=Path,
        default=Path(".cache/artifacts"),
        metavar="DIR",
        help="folder of exported, compiled and quantized models (default: %(default)s)",
    )
    command.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace, _storage: Storage, console: Console) -> int:
    # Here alone: saved runs are read where nothing can be measured.
    from reports.commands.doctor import diagnose

    checks = diagnose(options.artifact_cache.expanduser().absolute())
    for check in checks:
        line = Text(f"{check.state:<9}", style=STYLES[check.state])
        line.append(f"{plain(check.name)}: {plain(check.found, 500)}", style="")
        console.print(line, soft_wrap=True)
        if check.remedy:
            console.print(Text(f"{'':9}-> {plain(check.remedy, 500)}", style="bold" if not check.is_well else "dim"), soft_wrap=True)
    ill = [check for check in checks if not check.is_well]
    if not ill:
        console.print("nothing is missing, and nothing seen disturbs measuring", soft_wrap=True)
        return 0
    missing = sum(check.state == "missing" for check in ill)
    console.print(f"{missing} missing, {len(ill) - missing} that disturb measuring", soft_wrap=True)
    return 1
