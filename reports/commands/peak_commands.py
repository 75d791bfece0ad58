"""`python -m reports peaks`, `roofline` and `cost`: options in, tables and pictures out."""

import argparse
from functools import partial

from rich.console import Console

from reports.commands import RUN_HELP, add_command, add_peaks, add_plot, add_run, read_and_tell
from reports.commands.measuring import CannotMeasure, hardware
from reports.commands.price_options import add_price_options, costs
from reports.saved.load import read_calibration
from reports.saved.machines import machine_name
from reports.saved.storage import Storage
from reports.show.pictures import check_plot, save_plot
from reports.show.roofline_picture import roofline_picture
from reports.show.tables import add_format, show
from reports.statistics.roofline import roofline
from reports.text.options import Commands, shared
from reports.text.plain_text import say
from reports.views.cost import machine_costs
from reports.views.tables import weights_table
from reports.views.tables.cost import cost_tables
from reports.views.tables.roofline import calibration_table, roofline_tables


def add_peak_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the three commands to the command line."""
    command = add_command(commands, common, "peaks", "measure the machine's peaks: arithmetic and memory bandwidth", _calibrate)
    command.add_argument("--redo", action="store_true", help="measure again, on an idle machine, whatever is cached")
    for name in ("--threads", "--artifact-cache"):
        command.add_argument(name, **shared(name))
    add_format(command)

    command = add_command(commands, common, "roofline", "show each step's share of the machine's peaks, and what bounds it", _roofline)
    add_run(command)
    command.add_argument("--model", action="append", default=[], help="show this model only, repeatable (default: all)")
    add_peaks(command)
    add_plot(command, "the roofline")
    add_format(command)

    command = add_command(commands, common, "cost", "price a million inferences, by step and by machine", _cost)
    command.add_argument("run", metavar="RUN", nargs="*", default=["latest"], help=f"{RUN_HELP}; several are compared (default: latest)")
    add_price_options(command)
    add_format(command)


def _calibrate(options: argparse.Namespace, _storage: Storage, console: Console) -> None:
    # Here alone: everything else runs on a laptop that has only the saved files.
    from fixtures.artifacts.cache import ArtifactCache
    from fixtures.bench.calibration import Calibrator
    from fixtures.bench.launch import Launcher, WorkerError
    from fixtures.bench.variables import for_workers
    from fixtures.steps.optimizations import catalogue

    machine, threads = hardware(options.threads)
    calibrator = Calibrator(
        launcher=Launcher(environment=for_workers(catalogue())),
        cache=ArtifactCache(options.artifact_cache.expanduser().absolute(), progress=say, note=say),
        machine=machine,
        threads=threads,
        progress=say,
    )
    try:
        found = calibrator.calibration(redo=options.redo)
    except WorkerError as error:
        raise CannotMeasure(f"this machine's peaks could not be measured: {error}") from error
    show(console, [calibration_table(found, machine_name(machine.fingerprint()))], options.format, found)


def _roofline(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    check_plot(options.plot)
    calibration = read_calibration(options.peaks) if options.peaks else None
    run = read_and_tell(storage.find(options.run))
    found = roofline(run, calibration, models=options.model)
    save_plot(options.plot, partial(roofline_picture, found))
    show(console, [*roofline_tables(found), *weights_table(run.measurements)], options.format, found)


def _cost(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    runs = [read_and_tell(path) for path in dict.fromkeys(storage.find(name) for name in options.run)]
    found = costs(runs, options)
    machines = machine_costs(found)
    weights = weights_table(each for run in runs for each in run.measurements)
    show(console, [*cost_tables(found, machines), *weights], options.format, {"runs": found, "machines": machines})
