"""`python -m reports recommend`: names the recipe to deploy, and writes what runs it."""

import argparse
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.console import Console

from reports.commands import add_run, read_and_tell
from reports.commands.measuring import CannotMeasure, add_limit_options, add_model_options, bench, limits_of
from reports.deploy.texts import recommendation_data, recommendation_table
from reports.saved.record import Measurement, Run
from reports.saved.storage import Storage
from reports.show.tables import add_format, show
from reports.text.image_shape import USUAL, of_batch
from reports.text.options import Commands, above_zero, shared
from reports.text.plain_text import plain
from reports.views.generated import usual_point
from reports.views.recommend import MEASURE, DeploymentLimits, NothingToRecommend, Recommendation, is_served, recommend

DESCRIPTION = """\
Names the fastest recipe of a run within the limits; of a model that generates text the one that decodes fastest. --emit writes it as a
folder that runs without this suite."""


def add_recommend(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "recommend", parents=[common], help="name the recipe to deploy, and write the folder that runs it", description=DESCRIPTION
    )
    add_run(command, or_else="what `tune` wrote")
    add_limit_options(command)
    command.add_argument(
        "--max-ttft-ms",
        type=above_zero,
        metavar="MS",
        help="longest time to the first token of the longest prompt that was measured, at the median (default: no limit)",
    )
    command.add_argument(
        "--max-tpot-ms", type=above_zero, metavar="MS", help="longest time per output token after it, at the median (default: no limit)"
    )
    command.add_argument(
        "--step", action="append", metavar="STEP", help="choose among these steps only, repeatable (default: all of the run)"
    )
    add_format(command)
    command.add_argument(
        "--emit", type=Path, metavar="DIR", help="new folder to write the deployment of the winner into (default: none is written)"
    )
    add_model_options(command, model_required=False)
    for name in ("--accuracy", "--accuracy-pictures"):
        command.add_argument(name, **shared(name))
    command.set_defaults(command=run_recommend)


def run_recommend(options: argparse.Namespace, storage: Storage, console: Console) -> int:
    """Recommend, print, and emit where asked."""
    run = read_and_tell(storage.find(options.run))
    if not run.measurements:
        raise NothingToRecommend(f"run {run.name} holds no measured step, so there is no recipe to recommend: {MEASURE}")
    found = recommend(_among(run, options.step), _model(run, options.model), _limits(options))
    show(console, [recommendation_table(run, found)], options.format, recommendation_data(found))
    if options.emit is not None:
        _emit(options, run, found, console)
    return 0


def _limits(options: argparse.Namespace) -> DeploymentLimits:
    """Return the limits that deployments and searches have in common, and those of generated text."""
    return replace(
        limits_of(options),
        first_token_s=options.max_ttft_ms / 1000 if options.max_ttft_ms else None,
        token_s=options.max_tpot_ms / 1000 if options.max_tpot_ms else None,
    )


def _among(run: Run[Measurement], steps: list[str] | None) -> tuple[Measurement, ...]:
    known = {m.step for m in run.measurements}
    for step in steps or ():
        if step not in known:
            raise NothingToRecommend(f"run {run.name} has no measurement of step {step!r}: expected one of {', '.join(sorted(known))}")
    return tuple(m for m in run.measurements if not steps or m.step in steps)


def _emit(options: argparse.Namespace, run: Run[Measurement], found: Recommendation, console: Console) -> None:
    from fixtures.bench.answers import asked_by
    from reports.deploy.emit import Emission, emit, recipe_of

    winner = found.winner.measurement
    options.model = _chosen_model(run, winner, options.model)
    recipe = recipe_of(winner)
    console.print(
        f"Building {plain(winner.model)} ({plain(options.model, 300)}) by {plain(winner.step)}, batch {winner.batch_size}",
        markup=False,
        soft_wrap=True,
    )
    per_core = winner.workers if recipe.step.worker_per_core else 1
    image = of_batch(winner.input_shape) or USUAL
    answers = asked_by(options, [options.model])
    made = bench(options, image=image, batch_size=winner.batch_size, threads=per_core * (winner.threads or 1), answers=answers)
    if (generated := winner.generation) is not None:
        model = msgspec.structs.replace(
            made.model,
            batch_size=winner.batch_size,
            sequence_length=generated.tokens,
            phase=generated.phase,
            new_tokens=generated.new_tokens,
        )
        made = replace(made, model=model)
    emit(Emission(run=run, recommendation=found, recipe=recipe, bench=made), options.emit)
    console.print(f"Written to {plain(options.emit, 300)}: read its README.md, then `./run.sh check.py`.", markup=False, soft_wrap=True)


def _chosen_model(run: Run[Measurement], winner: Measurement, named: str | None) -> str:
    """Return the model to build: a saved run never chooses code, so that is named on the command line and must be the recorded one.

    Raises CannotMeasure.
    """
    from fixtures import models

    recorded = winner.model_name or winner.model
    try:
        full, identity = models.full_name(recorded), models.model_id(recorded)
        if (at := winner.generation) is not None:
            identity = models.point_id(recorded, at.phase, at.tokens, winner.batch_size)
    except models.UnknownModelError as error:
        raise CannotMeasure(f"run {run.name} names a model that cannot be built: {error}") from error
    if identity != winner.model:
        raise CannotMeasure(
            f"run {run.name} calls its model {plain(winner.model)}, and {plain(full, 300)} would be built for it: "
            "its record was altered; measure anew with `pytest benchmarks/`"
        )
    if not models.runs_own_code(full) or (named is not None and _full_name(named) == full):  # an id names no file
        return full
    raise CannotMeasure(
        f"run {run.name} was measured on code of its own, {plain(full, 300)}, and a saved run never chooses which code runs here: "
        f"if you trust it, name it with --model {plain(full, 300)}"
    )


def _model(run: Run[Measurement], name: str | None) -> str:
    """Return the id of the model that is meant: by its id or its name, or the only one of the run. Raises NothingToRecommend."""
    measured = {m.model: m.model_name for m in run.measurements}
    known = {m.model: m.model_name for m in run.measurements if is_served(m)} or measured  # `recommend` says what those are
    if name is None:
        generating = {m.model for m in run.measurements if m.generation is not None}
        if len(known) > 1 and known.keys() <= generating and len(set(known.values())) == 1:
            return usual_point(run.measurements, known)
        if len(known) != 1:
            raise NothingToRecommend(f"run {run.name} has {len(known)} models ({', '.join(known)}): name one with --model")
        return next(iter(known))
    names = {name, _full_name(name)}
    if name in measured:
        return name
    called = [model for model, full in measured.items() if names & {model, full} or name.replace(":", ".") == model]
    meant = [model for model in called if model in known] or called
    return usual_point(run.measurements, meant) if meant else name


def _full_name(name: str) -> str:
    """Return the full name of a model that is named by a relative path, else the name as it is, which may be an id."""
    from fixtures import models

    try:
        return models.full_name(name)
    except models.UnknownModelError:
        return name
