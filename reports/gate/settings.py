"""The gate's options as what both sides measure with, checked before anything is started."""

import argparse
import os
from pathlib import Path
from typing import Any

from fixtures import models
from fixtures.machine import this_machine
from fixtures.machine.threads import threads_to_use
from fixtures.models import weights
from fixtures.tasks import labelled
from reports.gate.benchmarks import MODELS
from reports.gate.command import complete, thresholds_of
from reports.gate.configuration import Configuration
from reports.gate.decision import Rules
from reports.gate.environments import check_name
from reports.gate.run import Request
from reports.gate.sides import Settings
from reports.text.options import image_of


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings. Raises Refusal with one clear sentence for a bad one."""
    complete(options)
    names = tuple(dict.fromkeys(options.model or MODELS))
    for name in names:
        models.full_name(name)
    machine = this_machine()
    return Settings(
        models=names,
        image=image_of(options),
        sequence_length=options.sequence_length,
        batch_size=options.batch_size,
        threads=threads_to_use(options.threads, machine.cpus, os.environ),
        weights=weights.of_one(options.weights, names, named=bool(options.model)),
        accuracy=_pictures(options.accuracy, options.accuracy_pictures),
        accuracy_pictures=options.accuracy_pictures,
        artifact_cache=options.artifact_cache.expanduser().absolute(),
        worker_timeout_s=float(options.worker_timeout),
        memory_limit_bytes=machine.workers_memory_bytes // 2,  # the workers of both sides live at the same time
    )


def request_of(options: argparse.Namespace, configured: Configuration, **given: Any) -> Request:
    """Return what a gate is asked for: `given`, and all else as the options say, where they say nothing as `configured`. Raises Refusal."""
    complete(options, configured)
    return Request(
        expression=options.expression,
        settings=settings_of(options),
        rules=Rules(),
        budget_s=options.budget,
        sources=tuple(options.source),
        thresholds=thresholds_of(options, configured),
        steps=tuple(options.steps),
        requirements=check_name(options.requirements) if options.requirements else None,
        **given,
    )


def _pictures(named: Path | None, most: int) -> Path | None:
    """Return where the labelled pictures are that both sides classify. Raises LabelsError where they cannot be read."""
    if named is None:
        return None
    place = named.expanduser().absolute()
    labelled.find(place, most)
    return place
