"""`python -m reports bisect`: options in, the first bad commit out. Exit codes: 0 found, 2 error, 3 not to be told."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from reports.gate.benchmarks import GateError
from reports.gate.command import add_limits, add_requirements, add_settings, refuse_emulation
from reports.gate.configuration import configuration_of
from reports.show.tables import add_format, show
from reports.text.options import Commands, time_s
from reports.text.plain_text import say
from reports.views.tables import Cell, Column, Line, Table

if TYPE_CHECKING:
    from reports.gate.bisect import Found, Judgement

FOUND, UNKNOWN = 0, 3
_COLUMNS = (
    Column("commit", "commit", is_number=False),
    Column("verdict", "verdict", is_number=False),
    Column("subject", "subject", is_number=False, folds=True),
    Column("why", "why", is_number=False, folds=True, longest=2000),
)
DESCRIPTION = """\
Which commit between GOOD and BAD made it slower, or larger? git's bisect, each commit judged by a gate of its own against GOOD. A commit
that is INCONCLUSIVE or an ERROR is skipped. Exit codes: 0 found, 2 an error, 3 it cannot be told, or BAD is no regression."""


def add_bisect(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("bisect", parents=[common], help="find the commit that made it slower", description=DESCRIPTION)
    command.add_argument("--good", metavar="REVISION", required=True, help="git revision that is fast")
    command.add_argument("--bad", metavar="REVISION", required=True, help="git revision that is slower")
    add_requirements(command)
    add_settings(command)
    add_limits(command)
    command.add_argument("--budget", type=time_s, metavar="TIME", help="most time for the pairs of one commit: 90s, 20m, 1h (default: 20m)")
    add_format(command)
    command.set_defaults(command=run_bisect)


def run_bisect(options: argparse.Namespace, _storage: object, console: Console) -> int:
    """Search, and tell each commit as it is judged. Raises GateError."""
    from reports.gate.bisect import bisect
    from reports.gate.settings import request_of

    refuse_emulation()
    here = Path.cwd()
    configured = configuration_of("good", options.good, here)
    request = request_of(options, configured, base=options.good, head=options.bad)

    def tell(judgement: "Judgement") -> None:
        say(f"{judgement.commit[:12]} {judgement.verdict}: {judgement.subject}", 300)

    try:
        found = bisect(request, here, tell)
    except KeyboardInterrupt:
        raise GateError("interrupted; the worktrees of the search are gone: start it again") from None
    show(console, [_table(found)], options.format, found)
    return FOUND if len(found.first_bad) == 1 else UNKNOWN


def _table(found: "Found") -> Table:
    """Return the commits in the order in which they were judged, and the first bad one."""
    return Table(
        columns=_COLUMNS,
        rows=tuple((Cell(each.commit[:12], each.commit), Cell(each.verdict), Cell(each.subject), Cell(each.why)) for each in found.judged),
        marked=frozenset(place for place, each in enumerate(found.judged) if each.commit in found.first_bad),
        remarks=(Line(_ended(found)),),
    )


def _ended(found: "Found") -> str:
    if found.reason:
        return found.reason
    if len(found.first_bad) > 1:
        names = ", ".join(commit[:12] for commit in found.first_bad)
        return f"one of {names}: those between could not be told; raise --budget, or narrow -k"
    told = "".join(f": {each.subject}; {each.why}" for each in found.judged if each.commit in found.first_bad)
    return f"the first bad commit is {', '.join(found.first_bad)}{told}"
