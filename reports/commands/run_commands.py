"""The commands that look into saved runs as they are: list, show, ladder, compare, profile, history, export, geomean and grid.

What the last two know of models is loaded when they are used.
"""

import argparse
import sys
from functools import partial

from rich.console import Console

from reports.commands import RUN_HELP, add_command, add_plot, add_run, as_typed, read_and_tell
from reports.commands.exports import FORMATS as EXPORTED
from reports.commands.exports import export_json
from reports.saved.load import read_brief, read_run
from reports.saved.storage import Storage
from reports.show.pictures import check_plot, history_picture, ladders_picture, save_plot
from reports.show.profile_picture import profile_picture
from reports.show.tables import add_format, show
from reports.text.options import Commands
from reports.text.plain_text import plain, say
from reports.views.compare import compare
from reports.views.history import history
from reports.views.ladder import ladders
from reports.views.profile import breakdown, trace_file, without_small
from reports.views.tables import weights_table
from reports.views.tables.comparison import comparison_data, comparison_table
from reports.views.tables.history import history_tables
from reports.views.tables.ladder import ladder_tables, ladders_data
from reports.views.tables.profile import profile_data, profile_table
from reports.views.tables.runs import run_tables, runs_table


def add_run_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the commands to the command line."""
    command = add_command(commands, common, "list", "list saved runs: machine, commit, steps", _list)
    add_format(command)

    command = add_command(commands, common, "show", "show one run whole: machine, steps, evidence", _show)
    command.add_argument("run", metavar="RUN", help=RUN_HELP)
    add_format(command)

    command = add_command(commands, common, "ladder", "show the steps of a run in order, with gains and costs", _ladder)
    add_run(command)
    add_format(command)
    add_plot(command, "throughput by step and the gains")

    command = add_command(commands, common, "compare", "compare two runs: ratios with intervals, and what changed", _compare)
    command.add_argument("base", metavar="BASE", help=RUN_HELP)
    command.add_argument("head", metavar="HEAD", help="saved run to compare with BASE, named likewise")
    command.add_argument(
        "--across-machines", action="store_true", help="compare the speedups over each run's own baseline, for runs of two machines"
    )
    add_format(command)

    command = add_command(commands, common, "profile", "show where the time of a step goes, by operator, in a run with --profile", _profile)
    add_run(command)
    command.add_argument("--model", metavar="MODEL", help="model to look into (default: the only one of the run)")
    command.add_argument("--step", metavar="STEP", required=True, help="step to look into")
    command.add_argument("--against", metavar="STEP", help="another step of the same model and run, to show beside it")
    add_format(command)
    add_plot(command, "the bars")
    command.add_argument("--trace", action="store_true", help="also name the file of the Chrome trace, on stderr")

    command = add_command(commands, common, "history", "follow throughput over all runs of one machine", _history)
    command.add_argument("--step", action="append", default=[], help="show this step only, repeatable (default: all)")
    command.add_argument("--model", action="append", default=[], help="show this model only, repeatable (default: all)")
    command.add_argument("--machine-of", default="latest", metavar="RUN", help="follow the machine of this run (default: latest)")
    add_plot(command, "throughput over time")
    add_format(command)

    command = add_command(commands, common, "export", "write a run, or a gate's JSON, for other services' trackers", _export)
    add_run(command, or_else="what `gate --json` wrote")
    command.add_argument(
        "--format", choices=tuple(EXPORTED), required=True, help="form of the output: Bencher Metric Format, or customSmallerIsBetter"
    )

    command = add_command(commands, common, "geomean", "show each model of a published set by its gain, and the geometric mean", _geomean)
    add_run(command)
    add_format(command)

    command = add_command(commands, common, "grid", "show language models over sequence lengths and batch sizes", _grid)
    add_run(command)
    add_format(command)
    add_plot(command, "a heat map of queries per second")


def _list(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    if not storage.shelf.runs:
        action = as_typed("save one with `pytest benchmarks/ --benchmark-autosave`", options.program)
        console.print(f"no readable run in {plain(storage.folder, 1000)}: {action}", markup=False)
        return
    show(console, [runs_table(storage.shelf.runs)], options.format)


def _show(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    run = read_run(storage.find(options.run))
    show(console, run_tables(run), options.format, run)


def _ladder(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    check_plot(options.plot)
    run = read_and_tell(storage.find(options.run))
    found = ladders(run.measurements, run.outcomes)
    save_plot(options.plot, partial(ladders_picture, found))
    show(console, ladder_tables(found), options.format, ladders_data(found))


def _compare(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    base, head = (read_and_tell(storage.find(name)) for name in (options.base, options.head))
    comparison = compare(base, head, across_machines=options.across_machines, saved=storage.known)
    weights = [table for run in (base, head) for table in weights_table(run.measurements)]
    show(console, [comparison_table(comparison), *dict.fromkeys(weights)], options.format, comparison_data(comparison))


def _export(options: argparse.Namespace, storage: Storage, _console: Console) -> None:
    sys.stdout.write(export_json(storage.find(options.run), options.format))


def _history(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    check_plot(options.plot)
    runs = storage.shelf.runs
    newest = read_brief(storage.find(options.machine_of))
    found = history(runs, newest.fingerprint, steps=options.step, models=options.model)
    save_plot(options.plot, partial(history_picture, found))
    weights = weights_table(point.measured for series in found.series for point in series.points)
    show(console, [*history_tables(found), *weights], options.format)


def _profile(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    check_plot(options.plot)
    run = read_and_tell(storage.find(options.run))
    whole = breakdown(run, model=options.model, step=options.step, against=options.against)
    found = without_small(whole)
    traces = [trace_file(run, each) for each in whole.steps] if options.trace else []
    save_plot(options.plot, partial(profile_picture, found))
    weights = weights_table(each for each in run.measurements if each.model == whole.steps[0].model)
    show(console, [profile_table(found, whole), *weights], options.format, profile_data(whole))
    for each, file in zip(whole.steps, traces, strict=False):
        say(f"trace of {each.step} for ui.perfetto.dev or chrome://tracing: {file}", 1300)


def _geomean(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    from reports.views.geomean import set_gains
    from reports.views.tables.sets import sets_tables

    run = read_and_tell(storage.find(options.run))
    show(console, [*sets_tables(run, set_gains(run)), *weights_table(run.measurements)], options.format)


def _grid(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    from reports.show.grid_picture import grids_picture
    from reports.views.grid import grids
    from reports.views.tables.grid import grids_tables

    check_plot(options.plot)
    run = read_and_tell(storage.find(options.run))
    found = grids(run)
    save_plot(options.plot, partial(grids_picture, found))
    show(console, [*grids_tables(found), *weights_table(run.measurements)], options.format)
