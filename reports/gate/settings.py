"""The gate's options as what both sides measure with, checked before anything is started."""

import argparse
import os
from dataclasses import replace
from typing import Any

from fixtures import models
from fixtures.bench.answers import asked, check_limits
from fixtures.machine import this_machine
from fixtures.machine.threads import threads_to_use
from fixtures.models import weights
from reports.gate.benchmarks import MODELS, GateError
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
    models.check_ids(names)
    machine = this_machine()
    answers = asked(names, accuracy=options.accuracy, most=options.accuracy_pictures, evaluate=options.evaluate)
    check_limits(answers, None, options.metric_limit)
    named = options.accuracy.expanduser().absolute() if options.accuracy else None
    return Settings(
        models=names,
        image=image_of(options),
        sequence_length=options.sequence_length,
        batch_size=options.batch_size,
        threads=threads_to_use(options.threads, machine.cpus, os.environ),
        weights=weights.of_one(options.weights, names, named=bool(options.model)),
        accuracy=named if answers.pictures else None,
        text=named if answers.text else None,
        evaluate=answers.metric.place if answers.metric else None,
        accuracy_pictures=options.accuracy_pictures,
        artifact_cache=options.artifact_cache.expanduser().absolute(),
        worker_timeout_s=float(options.worker_timeout),
        memory_limit_bytes=machine.workers_memory_bytes // 2,  # the workers of both sides live at the same time
    )


def request_of(options: argparse.Namespace, configured: Configuration, **given: Any) -> Request:
    """Return what a gate is asked for: `given`, and all else as the options say, where they say nothing as `configured`. Raises Refusal."""
    complete(options, configured)
    settings, thresholds = settings_of(options), thresholds_of(options, configured)
    if thresholds.common.accuracy_points is not None and settings.accuracy is None:
        raise GateError("--accuracy-points is a limit on labelled pictures: name them with --accuracy DIR")
    return Request(
        expression=options.expression,
        settings=settings,
        rules=Rules(),
        budget_s=options.budget,
        sources=tuple(options.source),
        thresholds=replace(thresholds, models={_identity(name): limits for name, limits in thresholds.models.items()}),
        steps=tuple(options.steps),
        requirements=check_name(options.requirements) if options.requirements else None,
        **given,
    )


def _identity(name: str) -> str:
    """Return the id of a model that is named as for `--model`, and an id as it is."""
    try:
        return models.model_id(name)
    except models.ModelError:
        return name
