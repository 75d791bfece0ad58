"""`python -m reports recommend`: names the recipe to deploy, and writes what runs it."""

import argparse
from pathlib import Path

from rich.console import Console

from reports.deploy.texts import print_recommendation, recommendation_json
from reports.load import read_run
from reports.measurement import Measurement, Run
from reports.measuring import above_zero, add_model_options, bench, cosine
from reports.plain_text import plain
from reports.recommend import Limits, NothingToRecommend, Recommendation, recommend
from reports.storage import Storage

DESCRIPTION = """\
Which recipe of a run is the fastest within the limits? --emit writes it as a folder that runs without this suite."""


def add_recommend(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser, run_help: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("recommend", parents=[common], help="the recipe to deploy, and what runs it", description=DESCRIPTION)
    command.add_argument("run", metavar="RUN", nargs="?", default="latest", help=f"{run_help}, or what `tune` wrote (latest)")
    command.add_argument("--max-p99-ms", type=above_zero, metavar="MS", help="longest p99 of a call (no limit)")
    command.add_argument(
        "--min-cosine", type=cosine, metavar="COSINE", help="least cosine similarity to fp32 eager (each step's tolerance)"
    )
    command.add_argument("--step", action="append", metavar="STEP", help="choose among these only, repeatable (all of the run)")
    command.add_argument("--format", choices=("text", "json"), default="text")
    command.add_argument("--emit", type=Path, metavar="DIR", help="write what runs the winner into this new folder")
    add_model_options(command, model_required=False)
    command.set_defaults(command=run_recommend)


def run_recommend(options: argparse.Namespace, storage: Storage, console: Console) -> int:
    """Recommend, print, and emit where asked."""
    run = read_run(storage.find(options.run))
    limits = Limits(p99_s=options.max_p99_ms / 1000 if options.max_p99_ms else None, cosine=options.min_cosine)
    found = recommend(_among(run, options.step), _model(run, options.model), limits)
    if options.format == "json":
        console.file.write(recommendation_json(found))
    else:
        print_recommendation(console, run, found)
    if options.emit is not None:
        _emit(options, run, found, console)
    return 0


def _among(run: Run[Measurement], steps: list[str] | None) -> tuple[Measurement, ...]:
    known = {m.step for m in run.measurements}
    for step in steps or ():
        if step not in known:
            raise NothingToRecommend(f"run {run.name} has no measurement of step {step!r}: expected one of {', '.join(sorted(known))}")
    return tuple(m for m in run.measurements if not steps or m.step in steps)


def _emit(options: argparse.Namespace, run: Run[Measurement], found: Recommendation, console: Console) -> None:
    from reports.deploy.emit import Emission, emit, recipe_of

    winner = found.winner.measurement
    options.model = winner.model_name or winner.model
    recipe = recipe_of(winner)
    per_core = winner.workers if recipe.step.worker_per_core else 1
    made = bench(options, image_size=winner.input_shape[-1], batch_size=winner.batch_size, threads=per_core * (winner.threads or 1))
    emit(Emission(run=run, recommendation=found, recipe=recipe, bench=made), options.emit)
    console.print(f"Written to {plain(options.emit, 300)}: read its README.md, then `./run.sh check.py`.", markup=False, soft_wrap=True)


def _model(run: Run[Measurement], name: str | None) -> str:
    """Return the id of the model that is meant: by its id or its name, or the only one of the run. Raises NothingToRecommend."""
    known = {m.model: m.model_name for m in run.measurements}
    if name is None:
        if len(known) != 1:
            raise NothingToRecommend(f"run {run.name} has {len(known)} models ({', '.join(known)}): name one with --model")
        return next(iter(known))
    return next((model for model, full in known.items() if name in {model, full} or name.replace(":", ".") == model), name)
