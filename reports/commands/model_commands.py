"""`python -m reports geomean` and `grid`: options in, tables and pictures out. What they know of models is loaded when they are used."""

import argparse
from functools import partial

from rich.console import Console

from reports.commands import add_command, add_plot, add_run
from reports.saved.load import read_run
from reports.saved.storage import Storage
from reports.show.pictures import check_plot, save_plot
from reports.show.tables import add_format, show
from reports.text.options import Commands


def add_model_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add both commands to the command line."""
    command = add_command(commands, common, "geomean", "show each model of a published set by its gain, and the geometric mean")
    add_run(command)
    add_format(command)
    command.set_defaults(command=_geomean)

    command = add_command(commands, common, "grid", "show language models over sequence lengths and batch sizes")
    add_run(command)
    add_format(command)
    add_plot(command, "a heat map of queries per second")
    command.set_defaults(command=_grid)


def _geomean(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    from reports.views.geomean import set_gains
    from reports.views.tables import weights_table
    from reports.views.tables.sets import sets_tables

    run = read_run(storage.find(options.run))
    show(console, [*sets_tables(run, set_gains(run)), *weights_table(run.measurements)], options.format)


def _grid(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    from reports.show.grid_picture import grids_picture
    from reports.views.grid import grids
    from reports.views.tables import weights_table
    from reports.views.tables.grid import grids_tables

    check_plot(options.plot)
    run = read_run(storage.find(options.run))
    found = grids(run)
    save_plot(options.plot, partial(grids_picture, found))
    show(console, [*grids_tables(found), *weights_table(run.measurements)], options.format)
