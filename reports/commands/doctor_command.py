"""`ladder doctor`: what of this machine and environment is missing, or disturbs measuring, each with its remedy."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console

from reports.commands import add_command
from reports.saved.storage import Storage
from reports.show.tables import add_format, show
from reports.text.options import Commands, shared
from reports.views.tables import Line, Table

if TYPE_CHECKING:
    from reports.commands.doctor import Check

STYLES = {"fine": "green", "note": "dim", "missing": "red", "disturbs": "yellow"}


def add_doctor(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = add_command(
        commands,
        common,
        "doctor",
        "tell what is missing on this machine or disturbs measuring (exit code 1), with the remedies",
        _doctor,
    )
    command.add_argument("--artifact-cache", **shared("--artifact-cache"))
    add_format(command)


def _doctor(options: argparse.Namespace, _storage: Storage, console: Console) -> int:
    # Here alone: saved runs are read where nothing can be measured.
    from reports.commands.doctor import diagnose

    checks = diagnose(options.artifact_cache.expanduser().absolute())
    ill = [check for check in checks if not check.is_well]
    missing = sum(check.state == "missing" for check in ill)
    ended = (
        f"{missing} missing, {len(ill) - missing} that disturb measuring"
        if ill
        else "nothing is missing, and nothing seen disturbs measuring"
    )
    told = tuple(line for check in checks for line in _told(check))
    show(console, [Table(before=told, remarks=(ended,), data=tuple(map(asdict, checks)))], options.format)
    return 1 if ill else 0


def _told(check: "Check") -> Iterator[Line]:
    """Yield a check and, below it, its remedy."""
    padding = " " * (9 - len(check.state))
    yield Line(f"{padding}{check.name}: {check.found}", lead=check.state, lead_style=STYLES[check.state], is_copied=True)
    if check.remedy:
        yield Line(f"{'':9}-> {check.remedy}", "dim" if check.is_well else "bold", is_copied=True)
