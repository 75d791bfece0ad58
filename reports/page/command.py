"""`python -m reports page`: reads the named runs whole and the others in brief, writes one HTML file."""

import argparse
from pathlib import Path

from rich.console import Console

from reports.commands import RUN_HELP, add_peaks
from reports.commands.measuring import add_limit_options, limits_of
from reports.commands.price_options import add_price_options, known_costs
from reports.saved.files import check_folder, write_atomically
from reports.saved.load import read_calibration, read_run
from reports.saved.record import Measurement, Run, Throughput
from reports.saved.storage import Storage
from reports.statistics.roofline import roofline
from reports.text.options import Commands
from reports.text.plain_text import plain

DESCRIPTION = """\
Writes one HTML file that needs no network: the best recipe of each model, the ladder, the evidence of each step, the cost of inferences,
a comparison of the runs, and the history of their machine. The others are compared with the first RUN; the last is the run in question."""


def add_page(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("page", parents=[common], help="write runs as one HTML file for a browser", description=DESCRIPTION)
    command.add_argument("runs", metavar="RUN", nargs="*", default=["latest"], help=f"{RUN_HELP}; several are compared (default: latest)")
    command.add_argument("--out", type=Path, metavar="FILE", default=Path("report.html"), help="file to write (default: %(default)s)")
    add_peaks(command, of="last RUN")
    add_price_options(command)
    add_limit_options(command)
    command.set_defaults(command=_page)


def _page(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    from reports.page.render import page_html  # Jinja2 is needed here only
    from reports.page.sections import MOST_WHOLE, material

    out: Path = options.out
    check_folder("--out", out)
    named = tuple(read_run(path) for path in dict.fromkeys(storage.find(name) for name in options.runs))
    calibration = read_calibration(options.peaks) if options.peaks else None
    if calibration is not None:
        roofline(named[-1], calibration)  # refuses another machine's
    shown = material(named, _saved(storage, named), known_costs(named, options), calibration, limits_of(options))
    page = page_html(shown).encode()
    write_atomically(out, page)
    console.print(
        f"{plain(out, 500)}: {len(named)} run{'' if len(named) == 1 else 's'}, {len(page) / 1e3:.0f} kB", markup=False, soft_wrap=True
    )
    if len(named) > MOST_WHOLE:
        console.print(f"shown whole: the first run and the last {MOST_WHOLE - 1}; the others by their best recipes and in the history")


def _saved(storage: Storage, named: tuple[Run[Measurement], ...]) -> tuple[Run[Throughput], ...]:
    """Return all runs of the storage and those named from elsewhere, oldest first."""
    shelf = storage.known
    known = {run.path.resolve() for run in shelf}
    return tuple(sorted((*shelf, *(run for run in named if run.path.resolve() not in known)), key=lambda run: run.saved_at))
