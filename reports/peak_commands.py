"""`python -m reports calibrate`, `roofline` and `cost`: options in, tables and pictures out."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from reports.cost import machine_costs, one_machine, price_of, run_cost
from reports.files import write_atomically
from reports.load import read_calibration, read_run
from reports.machines import machine_name
from reports.measuring import CannotMeasure, positive
from reports.plain_text import plain
from reports.prices import DEFAULT_REGION, PriceError, price_table
from reports.render_cost import cost_json, cost_tables
from reports.render_plot import check_plot
from reports.render_roofline import calibration_json, calibration_table, roofline_json, roofline_tables
from reports.render_roofline_plot import roofline_picture
from reports.render_tables import PRINTED, print_tables
from reports.roofline import roofline
from reports.storage import Storage

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Commands = _SubParsersAction[argparse.ArgumentParser]

FORMATS = ("table", "markdown", "csv", "json")


def add_peak_commands(commands: "Commands", common: argparse.ArgumentParser, run_help: str) -> None:
    """Add the three commands to the command line."""
    command = commands.add_parser("calibrate", parents=[common], help="what this machine can do at most: arithmetic and memory bandwidth")
    command.add_argument("--redo", action="store_true", help="measure again (on an idle machine), whatever is cached")
    command.add_argument("--threads", type=positive, metavar="N", help="threads to compute with (the CPUs this process may use)")
    command.add_argument(
        "--artifact-cache", type=Path, default=Path(".cache/artifacts"), metavar="DIR", help="where it is kept, as for pytest (%(default)s)"
    )
    _add_format(command)
    command.set_defaults(command=_calibrate)

    command = commands.add_parser("roofline", parents=[common], help="each step's share of the machine's peak, and what bounds it")
    command.add_argument("run", metavar="RUN", nargs="?", default="latest", help=f"{run_help} (latest)")
    command.add_argument("--model", action="append", default=[], help="only this model (repeatable)")
    command.add_argument("--calibration", type=Path, metavar="FILE", help="a later calibration of the run's machine, as JSON")
    command.add_argument("--plot", type=Path, metavar="FILE", help="also draw it, as .png or .svg")
    _add_format(command)
    command.set_defaults(command=_roofline)

    command = commands.add_parser("cost", parents=[common], help="what a million inferences cost, by step and by machine")
    command.add_argument("run", metavar="RUN", nargs="*", default=["latest"], help=f"{run_help}; several are compared (latest)")
    command.add_argument("--price", type=_price, metavar="PER_HOUR", help="price of the machine, whatever the currency")
    command.add_argument("--prices", type=Path, metavar="FILE", help="prices of your own as JSON; they come before the built-in ones")
    command.add_argument("--instance", metavar="TYPE", help="instance type of runs whose machine names none: c8g.xlarge")
    command.add_argument("--region", default=DEFAULT_REGION, help="region of the prices (%(default)s)")
    _add_format(command)
    command.set_defaults(command=_cost)


def _calibrate(options: argparse.Namespace, _storage: Storage, console: Console) -> None:
    # Here alone: everything else runs on a laptop that has only the saved files.
    from fixtures.cache import ArtifactCache
    from fixtures.calibration import Calibrator
    from fixtures.environment import clean_environment
    from fixtures.launch import Launcher, WorkerError
    from fixtures.machine import this_machine
    from fixtures.optimizations import catalogue, environment_variables

    machine = this_machine()
    if machine.emulated:
        raise CannotMeasure(f"this {machine.cpu_model} is emulated, its speed means nothing: calibrate on the hardware")
    allowed = len(machine.allowed_cpus)
    if options.threads is not None and options.threads > allowed:
        raise CannotMeasure(f"--threads {options.threads}: this process may use {allowed} CPUs; name at most as many")
    calibrator = Calibrator(
        launcher=Launcher(environment=clean_environment(os.environ, environment_variables(catalogue()))),
        cache=ArtifactCache(options.artifact_cache.expanduser().absolute()),
        machine=machine,
        threads=options.threads or allowed,
        progress=lambda stage: print(stage, file=sys.stderr),
    )
    try:
        found = calibrator.calibration(redo=options.redo)
    except WorkerError as error:
        raise CannotMeasure(f"this machine could not be calibrated: {error}") from error
    if options.format == "json":
        sys.stdout.write(calibration_json(found))
        return
    table = calibration_table(found, machine_name(machine.fingerprint()))
    if options.format == "table":
        print_tables(console, [table])
    else:
        sys.stdout.write(PRINTED[options.format]([table]))


def _roofline(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    if options.plot:
        check_plot(options.plot)
    calibration = read_calibration(options.calibration) if options.calibration else None
    run = read_run(storage.find(options.run))
    found = roofline(run, calibration, models=options.model)
    if options.plot:
        write_atomically(options.plot, roofline_picture(found, options.plot.suffix))
    if options.format == "json":
        sys.stdout.write(roofline_json(found))
    elif options.format == "table":
        print_tables(console, roofline_tables(found))
    else:
        sys.stdout.write(PRINTED[options.format](roofline_tables(found)))


def _cost(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    runs = [read_run(storage.find(name)) for name in dict.fromkeys(options.run)]
    if options.price is not None and not one_machine(runs):
        names = "; ".join(dict.fromkeys(machine_name(run.fingerprint) for run in runs))
        raise PriceError(
            f"--price is one price, and the runs are of several machines ({plain(names, 500)}): give a table with --prices FILE"
        )
    table = price_table(options.prices)
    costs = [run_cost(run, price_of(run, table, region=options.region, per_hour=options.price, instance=options.instance)) for run in runs]
    machines = machine_costs(costs)
    if options.format == "json":
        sys.stdout.write(cost_json(costs, machines))
    elif options.format == "table":
        print_tables(console, cost_tables(costs, machines))
    else:
        sys.stdout.write(PRINTED[options.format](cost_tables(costs, machines)))


def _add_format(command: argparse.ArgumentParser) -> None:
    command.add_argument("--format", choices=FORMATS, default="table")


def _price(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1e-9 <= number <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a price: expected a number above 0")
    return number
