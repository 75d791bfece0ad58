"""`python -m reports tune`: reads options, searches, prints the front, draws it, saves it."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from reports.commands import RUN_HELP, add_plot, read_and_tell
from reports.commands.measuring import (
    CannotMeasure,
    add_input_options,
    add_limit_options,
    add_model_options,
    bench,
    limits_of,
)
from reports.saved.files import check_folder
from reports.saved.machines import machine_differences, missing_identity
from reports.saved.record import Measurement
from reports.saved.storage import NoSuchRun, Storage
from reports.show.pictures import check_plot, save_plot
from reports.show.tables import add_format, show
from reports.text.image_shape import of_batch
from reports.text.options import Commands, image_of, shared, time_s
from reports.text.plain_text import say
from reports.views.recommend import NO_REQUESTS

if TYPE_CHECKING:
    from fixtures.bench.answers import Answers

INTERRUPTED = 130
DESCRIPTION = """\
Searches runtime, precision, batch, workers and threads for the fastest recipe within the limits. Every candidate is proved and
measured by the suite's own workers. The winner then takes turns with the ladder's best and with OpenVINO's benchmark_app. Ctrl-C
keeps the results so far, and the same command goes on with them. Exit codes: 0 a winner, 1 none within the limits, 2 an error."""


def add_tune(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("tune", parents=[common], help="search for the fastest recipe within limits", description=DESCRIPTION)
    add_model_options(command)
    add_input_options(command)
    add_limit_options(command)
    for name in ("--accuracy", "--accuracy-pictures", "--evaluate"):
        command.add_argument(name, **shared(name))
    command.add_argument(
        "--budget", type=time_s, default="15m", metavar="TIME", help="most time for all of it: 90s, 15m, 1h (default: %(default)s)"
    )
    command.add_argument(
        "--ladder",
        default="latest",
        metavar="RUN",
        help=f"run whose ladder tells which steps are worth trying, or none; {RUN_HELP} (default: the latest of the model)",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="file to save the search in (default: STORAGE/tune/MODEL/tuned.json)")
    add_plot(command, "throughput against p99")
    add_format(command)
    command.set_defaults(command=run_tune)


def run_tune(options: argparse.Namespace, storage: Storage, console: Console) -> int:
    """Search; 0 with a winner, 1 where nothing is within the limits, 130 after an interruption."""
    from fixtures.models import weights_of
    from reports.tune.run import JOURNAL, tune
    from reports.tune.texts import tuning_picture, tuning_tables

    check_plot(options.plot)
    limits = limits_of(options)
    made = bench(
        options,
        image=image_of(options),
        sequence_length=options.sequence_length,
        threads=options.threads,
        warmup_limit_s=1.5,
        answers=_answers(options),
    )
    out: Path = options.out or Path(options.storage.removeprefix("file://")) / "tune" / made.model_id / "tuned.json"
    check_folder("--out", options.out)
    if out.suffix == JOURNAL:
        raise CannotMeasure(f"--out {out}: a search keeps its journal in a file {JOURNAL} beside its result; name a file .json")
    ladder = _ladder(options, storage, made.model_id, made.rig.machine.fingerprint(), weights_of(made.model))
    found = tune(made, limits=limits, budget_s=options.budget, ladder=ladder, out=out.absolute(), say=say)
    if found.records:
        save_plot(options.plot, partial(tuning_picture, found))
    show(console, tuning_tables(found, out), options.format)
    if found.ended.startswith("interrupted"):
        return INTERRUPTED
    return 0 if found.is_within else 1


def _answers(options: argparse.Namespace) -> "Answers":
    """Return what is asked of the answers; a candidate beyond the limits is measured all the same. Raises LabelsError, EvaluateError."""
    from fixtures.bench.answers import asked_by, check_limits

    found = asked_by(options, [options.model])
    check_limits(found, options.max_accuracy_loss, options.metric_limit or ())
    return found


def _ladder(options: argparse.Namespace, storage: Storage, model: str, machine: dict[str, object], weights: str) -> list[Measurement]:
    """Return the model's measurements in the saved run that was named, or in the latest; none where they cannot guide this search."""
    if options.ladder == "none":
        return []
    try:
        run = read_and_tell(_newest_of(storage, model) if options.ladder == "latest" else storage.find(options.ladder))
    except NoSuchRun:
        if options.ladder != "latest":
            raise
        say("no saved ladder: steps are tried in the usual order (`pytest benchmarks/ --benchmark-autosave` saves one)")
        return []
    why, image = "", image_of(options)
    then = {name: value for name, value in run.fingerprint.items() if name in machine}
    ours = [m for m in run.measurements if m.model == model and m.family not in NO_REQUESTS]
    if missing_identity(run.fingerprint):
        why = "does not say which machine it is of"
    elif machine_differences(then, {name: value for name, value in machine.items() if name in then}):
        why = "is of another machine"
    elif not ours:
        why = f"has no measurement of {model} by a step that takes single requests"
    elif any(m.weights not in {"", weights} for m in ours):
        why = f"has other weights than {weights}"
    elif any(of_batch(m.input_shape) not in {None, image} for m in ours):
        why = f"has other images than {image}"
    elif any(m.sequence_length not in {None, options.sequence_length} for m in ours):
        why = f"has texts of another length than {options.sequence_length} tokens"
    if why and options.ladder != "latest":
        raise CannotMeasure(f"--ladder {options.ladder}: run {run.name} {why}; name another, or none")
    if why:
        say(f"run {run.name} {why}: it does not guide this search")
        return []
    say(f"guided by run {run.name}")
    return ours


def _newest_of(storage: Storage, model: str) -> Path:
    """Return the newest saved run that measured a step on the model that takes requests, else the newest of all. Raises NoSuchRun."""
    from fixtures.steps.optimizations import catalogue

    others = {name for name, step in catalogue().items() if step.family in NO_REQUESTS}
    of_model = (
        run.path
        for run in reversed(storage.shelf.runs)
        if any(each.model == model and each.step not in others for each in run.measurements)
    )
    return next(of_model, None) or storage.find("latest")
