"""`python -m reports geomean` and `grid`: options in, tables and pictures out. What they know of models is loaded when they are used."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from reports.commands import add_command
from reports.saved.files import write_atomically
from reports.saved.load import read_run
from reports.saved.storage import Storage
from reports.show.pictures import check_plot
from reports.show.tables import add_format, show

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Commands = _SubParsersAction[argparse.ArgumentParser]


def add_model_commands(commands: "Commands", common: argparse.ArgumentParser, run_help: str) -> None:
    """Add both commands to the command line."""
    command = add_command(commands, common, "geomean", "show each model of a published set by its gain, and the geometric mean")
    command.add_argument("run", metavar="RUN", nargs="?", default="latest", help=f"{run_help} (default: latest)")
    add_format(command)
    command.set_defaults(command=_geomean)

    command = add_command(commands, common, "grid", "show language models over sequence lengths and batch sizes")
    command.add_argument("run", metavar="RUN", nargs="?", default="latest", help=f"{run_help} (default: latest)")
    add_format(command)
    command.add_argument("--plot", type=Path, metavar="FILE", help="also draw a heat map of queries per second, as .png or .svg")
    command.set_defaults(command=_grid)


def _geomean(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    from reports.views.geomean import set_gains
    from reports.views.tables.sets import sets_tables

    run = read_run(storage.find(options.run))
    show(console, sets_tables(run, set_gains(run)), options.format)


def _grid(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    from reports.show.grid_picture import grids_picture
    from reports.views.grid import grids
    from reports.views.tables.grid import grids_tables

    if options.plot:
        check_plot(options.plot)
    found = grids(read_run(storage.find(options.run)))
    if options.plot:
        write_atomically(options.plot, grids_picture(found, options.plot.suffix))
    show(console, grids_tables(found), options.format)
