"""The gate's options as what both sides measure with, checked before anything is started."""

import argparse
import os

from fixtures import models
from fixtures.machine import this_machine
from fixtures.machine.threads import ThreadsError, threads_to_use
from fixtures.models import UnknownModelError, WeightsError, weights
from reports.gate.benchmarks import SUBSET, GateError
from reports.gate.command import complete
from reports.gate.sides import Settings

MEMORY_SHARE = 0.375  # of what there is, for each side's workers: both live at the same time


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings. Raises GateError with one clear sentence for a bad one."""
    complete(options)
    names = tuple(dict.fromkeys(options.model or SUBSET))
    for name in names:
        try:
            models.full_name(name)
        except UnknownModelError as error:
            raise GateError(str(error)) from error
    machine = this_machine()
    try:
        threads = threads_to_use(options.threads, machine.cpus, os.environ)
    except ThreadsError as error:
        raise GateError(str(error)) from error
    if options.weights is not None and (len(names) != 1 or not options.model):
        raise GateError("--weights belongs to one model: name it with --model")
    try:
        named = weights.absolute(options.weights) if options.weights else None
    except WeightsError as error:
        raise GateError(str(error)) from error
    return Settings(
        models=names,
        image_size=options.image_size,
        sequence_length=options.sequence_length,
        batch_size=options.batch_size,
        threads=threads,
        weights=named,
        artifact_cache=options.artifact_cache.expanduser().absolute(),
        worker_timeout_s=float(options.worker_timeout),
        memory_limit_bytes=int(MEMORY_SHARE * min(machine.memory_bytes, machine.memory_limit_bytes or machine.memory_bytes)),
    )
