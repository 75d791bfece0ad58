"""`python -m reports versions`: reads saved runs, lets two interpreters take turns where they are named, and shows the table."""

import argparse
import math

from rich.console import Console

from reports.gate.benchmarks import GateError
from reports.gate.command import add_out, add_settings, refuse_emulation
from reports.gate.decision import Rules
from reports.gate.limits import UNJUDGED, Thresholds
from reports.gate.result import Result
from reports.saved.load import UnreadableRun, read_run
from reports.saved.record import Measurement, Run
from reports.saved.storage import NoSuchRun, Storage
from reports.show.tables import add_format, show
from reports.text.options import Commands, positive, time_s
from reports.text.plain_text import say
from reports.versions import comparable, from_runs, with_pairs
from reports.versions.tables import versions_table
from reports.views.tables import weights_table

DESCRIPTION = """\
Steps by release of a package: throughput from the saved runs of this machine, and what works in one release and not in another. With
--base-python and --head-python the two environments also take turns, pair by pair, which gives the gains between them."""


def add_versions(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "versions", parents=[common], help="compare steps by release: what an upgrade gives or breaks", description=DESCRIPTION
    )
    command.add_argument(
        "--of",
        metavar="PACKAGE",
        default="torch",
        help="package whose releases are the columns, for example openvino (default: %(default)s)",
    )
    command.add_argument("--base-python", metavar="PYTHON", help="interpreter or environment of one release, for example .tox/torch210")
    command.add_argument("--head-python", metavar="PYTHON", help="interpreter or environment of another release; the two take turns")
    command.add_argument(
        "--pairs", type=positive, default=3, metavar="N", help="fresh pairs a step, where two interpreters are named (default: %(default)s)"
    )
    add_settings(command)
    add_out(command)
    command.add_argument(
        "--budget", type=time_s, default="2h", metavar="TIME", help="most time for pairs: 90s, 20m, 1h (default: %(default)s)"
    )
    add_format(command)
    command.set_defaults(command=run_versions)


def run_versions(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    """Show the table. Raises NoSuchRun or GateError where there is nothing to show."""
    if (options.base_python is None) != (options.head_python is None):
        raise GateError("two interpreters take turns: name both, --base-python and --head-python")
    runs = _saved_runs(storage, needed=options.base_python is None)
    table = from_runs(runs, options.of)
    if options.base_python is not None:
        table = with_pairs(table, _take_turns(options))
    if not table.rows:
        raise NoSuchRun(f"no saved run in {str(storage.folder)!r} names a version of {options.of}; save one with `tox -e torch213`")
    weights = weights_table(each for run in runs for each in run.measurements)
    show(console, [versions_table(comparable(table)), *weights], options.format)


def _saved_runs(storage: Storage, *, needed: bool) -> list[Run[Measurement]]:
    runs = []
    try:
        files = [run.path for run in storage.shelf.runs]
    except NoSuchRun:
        if needed:
            raise
        return []
    for file in files:
        try:
            runs.append(read_run(file))
        except UnreadableRun as error:
            say(f"skipped: {error}")
    return runs


def _take_turns(options: argparse.Namespace) -> Result:
    """Let both environments take turns by the gate's own machinery: a screen of `--pairs` that nothing can fail."""
    from reports.gate.run import Request, hold
    from reports.gate.settings import settings_of

    refuse_emulation()
    return hold(
        Request(
            base_python=options.base_python,
            head_python=options.head_python,
            expression=options.expression,
            settings=settings_of(options),
            rules=Rules(early_pairs=0, screen_pairs=options.pairs, tolerated=math.inf),
            budget_s=options.budget,
            out=options.out,
            thresholds=Thresholds(common=UNJUDGED),
        )
    )
