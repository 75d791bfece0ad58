"""The command line: read saved runs, compare, render. `python -m reports --help`."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from reports.commands import add_command
from reports.commands.doctor_command import add_doctor
from reports.commands.exports import FORMATS, export_json
from reports.commands.measuring import CannotMeasure
from reports.commands.model_commands import add_model_commands
from reports.commands.peak_commands import add_peak_commands
from reports.completion import add_completion
from reports.deploy.command import add_recommend
from reports.gate.benchmarks import GateError
from reports.gate.bisect_command import add_bisect
from reports.gate.command import add_gate
from reports.page.command import NoFolder, add_page
from reports.saved.files import write_atomically
from reports.saved.load import UnreadableRun, read_brief, read_run
from reports.saved.record import Measurement, Run
from reports.saved.storage import DEFAULT_STORAGE, NoSuchRun, Storage
from reports.show.pictures import CannotPlot, check_plot, history_picture, ladders_picture
from reports.show.profile_picture import profile_picture
from reports.show.tables import add_format, show
from reports.statistics.roofline import CannotPlace
from reports.text.former_options import as_now_called
from reports.text.plain_text import let_any_text_through, plain
from reports.tune.command import add_tune
from reports.under_load.command import add_load
from reports.versions.versions_command import add_versions
from reports.views.compare import DifferentMachines, compare
from reports.views.history import NothingToFollow, history
from reports.views.ladder import ladders
from reports.views.prices import PriceError
from reports.views.profile import NoProfile, breakdown, trace_file, without_small
from reports.views.recommend import NothingToRecommend
from reports.views.tables.comparison import comparison_data, comparison_table
from reports.views.tables.history import history_tables
from reports.views.tables.ladder import ladder_tables, ladders_data
from reports.views.tables.profile import profile_data, profile_table
from reports.views.tables.runs import run_tables, runs_table

RUN_HELP = "saved run: a number, latest, latest~1, a file, a commit or a git revision"
ERROR = 2
MODULE = "python -m reports"
PIPE_WIDTH = 150
REFUSALS = (
    CannotMeasure,
    CannotPlace,
    CannotPlot,
    DifferentMachines,
    GateError,
    NoFolder,
    NoProfile,
    NoSuchRun,
    NothingToFollow,
    NothingToRecommend,
    PriceError,
    UnreadableRun,
)


class _Terminal(Console):
    """A console that leaves a closed pipe to its caller; rich's own would exit with 1, which means a regression."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def main(arguments: Sequence[str] | None = None, program: str = MODULE) -> int:
    """Run one command and return the exit code: 0, the gate's own, or 2 with one paragraph on stderr."""
    for stream in (sys.stdout, sys.stderr):
        let_any_text_through(stream)
    options = command_parser(program).parse_args(as_now_called(sys.argv[1:] if arguments is None else arguments))
    storage = Storage(options.storage)
    code: int = 0
    try:
        code = options.command(options, storage, _console()) or 0
        sys.stdout.flush()
    except REFUSALS as error:
        return _fail(str(error), program)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return _fail(f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error), program)
    except Exception as error:  # noqa: BLE001 - a defect must exit 2 as well: 1 means a regression
        if _is_unsupported(error):
            return _fail(str(error), program)
        traceback.print_exc()
        return ERROR
    finally:
        for reason in storage.unreadable:
            print(f"skipped: {plain(reason, 500)}", file=sys.stderr)
    return code


def _is_unsupported(error: Exception) -> bool:
    """Whether this system cannot be measured on; saved runs are read without `fixtures`, which is loaded where it raised the error."""
    cpus = sys.modules.get("fixtures.machine.cpus")
    return cpus is not None and isinstance(error, cpus.UnsupportedSystemError)


def _list(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    if not storage.shelf.runs:
        console.print(f"no readable run in {storage.folder}: save one with `pytest benchmarks/ --benchmark-autosave`", markup=False)
        return
    show(console, [runs_table(storage.shelf.runs)], options.format)


def _show(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    run = read_run(storage.find(options.run))
    show(console, run_tables(run), options.format, run)


def _ladder(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    if options.plot:
        check_plot(options.plot)
    run = _read(storage, options.run)
    found = ladders(run.measurements, run.outcomes)
    if options.plot:
        write_atomically(options.plot, ladders_picture(found, options.plot.suffix))
    show(console, ladder_tables(found), options.format, ladders_data(found))


def _compare(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    base, head = (_read(storage, name) for name in (options.base, options.head))
    comparison = compare(base, head, across_machines=options.across_machines, saved=storage.known)
    show(console, [comparison_table(comparison)], options.format, comparison_data(comparison))


def _export(options: argparse.Namespace, storage: Storage, _console: Console) -> None:
    sys.stdout.write(export_json(storage.find(options.run), options.format))


def _history(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    if options.plot:
        check_plot(options.plot)
    runs = storage.shelf.runs
    newest = read_brief(storage.find(options.machine_of))
    found = history(runs, newest.fingerprint, steps=options.step, models=options.model)
    if options.plot:
        write_atomically(options.plot, history_picture(found, options.plot.suffix))
    show(console, history_tables(found), options.format)


def _profile(options: argparse.Namespace, storage: Storage, console: Console) -> None:
    if options.plot:
        check_plot(options.plot)
    run = _read(storage, options.run)
    whole = breakdown(run, model=options.model, step=options.step, against=options.against)
    found = without_small(whole)
    traces = [trace_file(run, each) for each in whole.steps] if options.trace else []
    if options.plot:
        write_atomically(options.plot, profile_picture(found, options.plot.suffix))
    show(console, [profile_table(found, whole)], options.format, profile_data(whole))
    for each, file in zip(whole.steps, traces, strict=False):
        print(f"trace of {plain(each.step)} for ui.perfetto.dev or chrome://tracing: {plain(file, 1000)}", file=sys.stderr)


def _read(storage: Storage, name: str) -> Run[Measurement]:
    run = read_run(storage.find(name))
    for note in run.notes:
        print(f"note: {plain(run.path, 300)}: {plain(note)}", file=sys.stderr)
    return run


def _console() -> Console:
    """Return a console as wide as the terminal; a file or a pipe gets all columns."""
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return _Terminal(highlight=False, width=wide)


def _fail(message: str, program: str) -> int:
    """Print a refusal whose next action is worded as this user can type it."""
    if program != MODULE:
        message = message.replace("pytest benchmarks/ ", f"{program} run ").replace("pytest benchmarks/", f"{program} run ")
        message = message.replace(MODULE, program)
    print(f"error: {plain(message, 2000)}", file=sys.stderr)
    return ERROR


def command_parser(
    program: str, also: "Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None] | None" = None
) -> argparse.ArgumentParser:
    """Return the parser of all commands, which speaks of itself as `program`; `also` adds more of them."""
    measures = "" if program == MODULE else "`ladder run` and `ladder quick` measure: `ladder run --help`. "
    parser = argparse.ArgumentParser(
        prog=program,
        description=f"{measures}The commands below read saved runs, or decide by measuring: docs/commands.md has each with an example.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--storage", default=DEFAULT_STORAGE, metavar="URI", help="folder of saved runs, as for pytest-benchmark (default: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _add_run_commands(commands, common)
    add_model_commands(commands, common, RUN_HELP)

    command = add_command(commands, common, "history", "follow throughput over all runs of one machine")
    command.add_argument("--step", action="append", default=[], help="show this step only, repeatable (default: all)")
    command.add_argument("--model", action="append", default=[], help="show this model only, repeatable (default: all)")
    command.add_argument("--machine-of", default="latest", metavar="RUN", help="follow the machine of this run (default: latest)")
    command.add_argument("--plot", type=Path, metavar="FILE", help="also draw throughput over time, as .png or .svg")
    add_format(command)
    command.set_defaults(command=_history)

    command = add_command(commands, common, "export", "write a run, or a gate's JSON, for other services' trackers")
    command.add_argument(
        "run", metavar="RUN", nargs="?", default="latest", help=f"{RUN_HELP}, or what `gate --json` wrote (default: latest)"
    )
    command.add_argument(
        "--format", choices=tuple(FORMATS), required=True, help="form of the output: Bencher Metric Format, or customSmallerIsBetter"
    )
    command.set_defaults(command=_export)

    add_page(commands, common, RUN_HELP)
    add_versions(commands, common)
    add_peak_commands(commands, common, RUN_HELP)
    add_gate(commands, common)
    add_bisect(commands, common)
    add_recommend(commands, common, RUN_HELP)
    add_load(commands, common)
    add_tune(commands, common, RUN_HELP)
    add_doctor(commands, common)
    add_completion(commands, common)
    if also is not None:
        also(commands)
    return parser


def _add_run_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    """What looks into saved runs as they are."""
    command = add_command(commands, common, "list", "list saved runs: machine, commit, steps")
    add_format(command)
    command.set_defaults(command=_list)

    command = add_command(commands, common, "show", "show one run whole: machine, steps, evidence")
    command.add_argument("run", metavar="RUN", help=RUN_HELP)
    add_format(command)
    command.set_defaults(command=_show)

    command = add_command(commands, common, "ladder", "show the steps of a run in order, with gains and costs")
    command.add_argument("run", metavar="RUN", nargs="?", default="latest", help=f"{RUN_HELP} (default: latest)")
    add_format(command)
    command.add_argument("--plot", type=Path, metavar="FILE", help="also draw throughput by step and the gains, as .png or .svg")
    command.set_defaults(command=_ladder)

    command = add_command(commands, common, "compare", "compare two runs: ratios with intervals, and what changed")
    command.add_argument("base", metavar="BASE", help=RUN_HELP)
    command.add_argument("head", metavar="HEAD", help="saved run to compare with BASE, named likewise")
    command.add_argument(
        "--across-machines", action="store_true", help="compare the speedups over each run's own baseline, for runs of two machines"
    )
    add_format(command)
    command.set_defaults(command=_compare)

    command = add_command(commands, common, "profile", "show where the time of a step goes, by operator, in a run with --profile")
    command.add_argument("run", metavar="RUN", nargs="?", default="latest", help=f"{RUN_HELP} (default: latest)")
    command.add_argument("--model", metavar="MODEL", help="model to look into (default: the only one of the run)")
    command.add_argument("--step", metavar="STEP", required=True, help="step to look into")
    command.add_argument("--against", metavar="STEP", help="another step of the same model and run, to show beside it")
    add_format(command)
    command.add_argument("--plot", type=Path, metavar="FILE", help="also draw the bars, as .png or .svg")
    command.add_argument("--trace", action="store_true", help="also name the file of the Chrome trace, on stderr")
    command.set_defaults(command=_profile)


if __name__ == "__main__":
    sys.exit(main())
