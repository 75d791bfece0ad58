"""What the commands that measure share: their options, checked, and the rig that the suite measures with."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reports.text.former_options import HIDDEN, renamed_to
from reports.text.image_shape import ImageShape
from reports.text.options import MODELS, OF_IMAGES, above_zero, cosine, shared
from reports.text.plain_text import say
from reports.text.progress_line import silent
from reports.text.refusal import Refusal
from reports.views.recommend import DeploymentLimits

if TYPE_CHECKING:
    from fixtures.bench.answers import Answers
    from fixtures.bench.rig import Rig
    from fixtures.machine import Machine
    from fixtures.protocol import ModelSpec


class CannotMeasure(Refusal):
    """A command that measures cannot go on; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A rig, and the model that is measured on it."""

    rig: "Rig"
    model: "ModelSpec"
    model_id: str


def add_model_options(command: argparse.ArgumentParser, *, model_required: bool = True) -> None:
    """Add the options that name a model and how it is built, as `pytest benchmarks/` has them."""
    command.add_argument("--model", required=model_required, metavar="NAME", help=f"model: {MODELS}")
    for name in ("--weights", "--pretrained", "--int8-images", "--int8-texts", "--preprocess", "--artifact-cache", "--worker-timeout"):
        command.add_argument(name, **shared(name))
    command.add_argument("--calibration", type=Path, dest="int8_images", action=renamed_to("--int8-images"), help=HIDDEN)


def add_input_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say what the model is fed, and with how many threads it computes."""
    for name in (*OF_IMAGES, "--sequence-length", "--threads"):
        command.add_argument(name, **shared(name))


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
    for name in ("--max-accuracy-loss", "--metric-limit"):
        command.add_argument(name, **shared(name))


def limits_of(options: argparse.Namespace) -> DeploymentLimits:
    """Return what `add_limit_options` were given."""
    return DeploymentLimits(
        p99_s=options.max_p99_ms / 1000 if options.max_p99_ms else None,
        sqnr_db=options.min_sqnr_db,
        cosine=options.min_cosine,
        accuracy_loss_points=options.max_accuracy_loss,
        metrics=tuple(options.metric_limit or ()),
    )


def hardware(threads: int | None) -> tuple["Machine", int]:
    """Return this machine, and the threads to compute with on it. Raises CannotMeasure on an emulated one, and ThreadsError."""
    from fixtures.machine import this_machine
    from fixtures.machine.threads import threads_to_use

    machine = this_machine()
    if machine.emulated:
        raise CannotMeasure(f"this {machine.cpu_model} is emulated, so its times mean nothing: measure on hardware")
    return machine, threads_to_use(threads, machine.cpus, os.environ)


def bench(
    options: argparse.Namespace,
    *,
    image: ImageShape,
    sequence_length: int = 128,
    batch_size: int = 8,
    threads: int | None = None,
    warmup_limit_s: float = 3.0,
    answers: "Answers | None" = None,
    progress: Callable[[str], None] = silent,
) -> Bench:
    """Return the rig for this machine, and the model that `options` names. Raises a Refusal, such as CannotMeasure."""
    from fixtures import models
    from fixtures.bench.answers import asked
    from fixtures.bench.assembly import assemble
    from fixtures.bench.fetching import fetch
    from fixtures.bench.variables import with_this_folder
    from fixtures.models import weights
    from fixtures.models.preprocessing import calibration_pictures
    from fixtures.protocol import ModelSpec
    from fixtures.tasks import texts

    machine, threads = hardware(threads)
    name = models.full_name(options.model)
    has_images = options.int8_images is not None
    rig = assemble(
        batch_size=batch_size,
        artifact_cache=options.artifact_cache.expanduser().absolute(),
        worker_timeout_s=float(options.worker_timeout),
        memory_limit_bytes=machine.workers_memory_bytes,
        inherited=with_this_folder(os.environ),
        threads=threads,
        calibration=texts.named(options.int8_texts, [name], has_images=has_images)
        or calibration_pictures(options.int8_images, options.preprocess),
        warmup_limit_s=warmup_limit_s,
        answers=answers or asked([name], accuracy=None, most=0, preprocess=options.preprocess, has_int8_images=has_images),
        progress=progress,
        note=progress,
    )
    try:
        rig.cache.open()
    except OSError as error:
        raise CannotMeasure(f"--artifact-cache: {error}") from error
    named = weights.absolute(options.weights) if options.weights else None
    if options.pretrained:
        weights.check_offered([name], named)
        fetch(rig.launcher, [name], image, progress=progress, note=say)
    spec = ModelSpec(
        name=name,
        image=image,
        sequence_length=sequence_length,
        weights=named,
        weights_digest=weights.digest(named),
        pretrained=options.pretrained,
    )
    return Bench(rig=rig, model=spec, model_id=models.model_id(name))
