"""What the commands that measure share: their options, checked, and the rig that the suite measures with."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reports.saved.files import no_pictures_text
from reports.text.durations import seconds_of
from reports.text.former_options import HIDDEN, renamed_to
from reports.text.plain_text import plain
from reports.views.recommend import DeploymentLimits

if TYPE_CHECKING:
    from fixtures.bench.rig import Rig
    from fixtures.protocol import ModelSpec
    from fixtures.tasks.labelled import Labelled

MEMORY_SHARE = 0.75


class CannotMeasure(Exception):
    """A command that measures cannot go on; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A rig, and the model that is measured on it."""

    rig: "Rig"
    model: "ModelSpec"
    model_id: str


def add_model_options(command: argparse.ArgumentParser, *, model_required: bool = True) -> None:
    """Add the options that name a model and how it is built, as `pytest benchmarks/` has them."""
    command.add_argument(
        "--model",
        required=model_required,
        metavar="NAME",
        help="model: resnet50, vit, torchvision:NAME, timm:NAME, transformers:ARCH, my_package:create or path/to/file.py:create",
    )
    command.add_argument(
        "--weights", metavar="FILE[::KEY]", help="weights of the model: safetensors or a weights-only checkpoint (default: random)"
    )
    command.add_argument("--pretrained", action="store_true", help="take the weights that torchvision or timm offer for the model")
    command.add_argument("--int8-images", type=Path, metavar="DIR", help="folder of images to calibrate INT8 with (default: random images)")
    command.add_argument("--calibration", type=Path, dest="int8_images", action=renamed_to("--int8-images"), help=HIDDEN)
    command.add_argument(
        "--artifact-cache",
        type=Path,
        default=Path(".cache/artifacts"),
        metavar="DIR",
        help="folder of exported, compiled and quantized models (default: %(default)s)",
    )
    command.add_argument(
        "--worker-timeout",
        type=positive,
        default=900,
        metavar="SECONDS",
        help="longest wait for one answer of a worker (default: %(default)s)",
    )


def add_input_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say what the model is fed, and with how many threads it computes."""
    command.add_argument(
        "--image-size", type=positive, default=224, metavar="PIXELS", help="height and width of the images (default: %(default)s)"
    )
    command.add_argument(
        "--sequence-length",
        type=positive,
        default=128,
        metavar="TOKENS",
        help="tokens in each text, for models that take tokens (default: %(default)s)",
    )
    command.add_argument("--threads", type=positive, metavar="N", help="threads to compute with (default: the cores this process may use)")


def add_limit_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say what a deployment must keep."""
    command.add_argument("--max-p99-ms", type=above_zero, metavar="MS", help="longest p99 of a call, in milliseconds (default: no limit)")
    command.add_argument(
        "--min-sqnr-db",
        type=above_zero,
        metavar="DB",
        help="least SQNR of the outputs against fp32 eager's (default: each step's tolerance)",
    )
    command.add_argument(
        "--min-cosine", type=cosine, metavar="COSINE", help="least cosine similarity to fp32 eager; the SQNR tells more (default: no limit)"
    )
    command.add_argument(
        "--max-accuracy-loss",
        type=points,
        metavar="POINTS",
        help="most points of top-1 to lose against fp32 eager on labelled pictures, measured with --accuracy (default: no limit)",
    )


def limits_of(options: argparse.Namespace) -> DeploymentLimits:
    """Return what `add_limit_options` were given."""
    return DeploymentLimits(
        p99_s=options.max_p99_ms / 1000 if options.max_p99_ms else None,
        sqnr_db=options.min_sqnr_db,
        cosine=options.min_cosine,
        accuracy_loss_points=options.max_accuracy_loss,
    )


def bench(
    options: argparse.Namespace,
    *,
    image_size: int,
    sequence_length: int = 128,
    batch_size: int = 8,
    threads: int | None = None,
    warmup_limit_s: float = 3.0,
    pictures: "Labelled | None" = None,
    progress: Callable[[str], None] = lambda _stage: None,
) -> Bench:
    """Return the rig for this machine, and the model that `options` names. Raises CannotMeasure."""
    from fixtures import models
    from fixtures.artifacts.cache import ArtifactCache
    from fixtures.bench.launch import Launcher
    from fixtures.bench.rig import Rig
    from fixtures.environment import clean_environment, with_this_folder
    from fixtures.machine import this_machine
    from fixtures.machine.threads import ThreadsError, threads_to_use
    from fixtures.models import weights
    from fixtures.protocol import ModelSpec
    from fixtures.session.options import folder_digest
    from fixtures.steps.optimizations import catalogue, environment_variables

    machine = this_machine()
    if machine.emulated:
        raise CannotMeasure(f"this {machine.cpu_model} is emulated, so its times mean nothing: measure on hardware")
    try:
        threads = threads_to_use(threads, machine.cpus, os.environ)
    except ThreadsError as error:
        raise CannotMeasure(str(error)) from error
    if options.int8_images is not None and not options.int8_images.is_dir():
        raise CannotMeasure(no_pictures_text(options.int8_images))
    try:
        name = models.full_name(options.model)
    except models.UnknownModelError as error:
        raise CannotMeasure(str(error)) from error
    calibration = str(options.int8_images.resolve()) if options.int8_images else None
    cache = ArtifactCache(options.artifact_cache.expanduser().absolute(), progress=progress, note=progress)
    try:
        cache.open()
    except OSError as error:
        raise CannotMeasure(f"--artifact-cache: {error}") from error
    steps = catalogue(batch_size)
    rig = Rig(
        machine=machine,
        launcher=Launcher(
            environment=with_this_folder(clean_environment(os.environ, environment_variables(steps))),
            timeout_s=float(options.worker_timeout),
            memory_limit_bytes=int(MEMORY_SHARE * min(machine.memory_bytes, machine.memory_limit_bytes or machine.memory_bytes)),
        ),
        cache=cache,
        catalogue=steps,
        threads=threads,
        calibration=calibration,
        calibration_digest=folder_digest(calibration),
        warmup_limit_s=warmup_limit_s,
        pictures=pictures,
        progress=progress,
    )
    try:
        named = weights.absolute(options.weights) if options.weights else None
        digest = weights.digest(named)
    except models.WeightsError as error:
        raise CannotMeasure(str(error)) from error
    if options.pretrained and (named or models.source_of(name) not in models.SOURCES):
        raise CannotMeasure(f"--pretrained is for models of {' and '.join(models.SOURCES)} without --weights: give one of the two")
    spec = ModelSpec(
        name=name,
        image_size=image_size,
        sequence_length=sequence_length,
        weights=named,
        weights_digest=digest,
        pretrained=options.pretrained,
    )
    return Bench(rig=rig, model=spec, model_id=models.model_id(name))


def positive(text: str) -> int:
    """Return an option's whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {plain(text)!r}")
    return int(text)


def above_zero(text: str) -> float:
    """Return an option's number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {plain(text)!r}")
    return value


def cosine(text: str) -> float:
    """Return an option's cosine similarity."""
    value = above_zero(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"expected a cosine similarity, at most 1, found {plain(text)!r}")
    return value


def points(text: str) -> float:
    """Return an option's points of a share, from 0 to 100."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected points from 0 to 100, found {plain(text)!r}")
    return value


def time_s(text: str) -> float:
    """Return an option's duration in seconds."""
    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(plain(error)) from error
