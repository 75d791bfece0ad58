"""The bench of commands that measure, as their options make it, and the job of a worker in one thread."""

import argparse
from pathlib import Path
from typing import Any

from fixtures.protocol import Job, ModelSpec
from reports.commands.measuring import Bench, bench
from reports.text.image_shape import square


def bench_of(model: str, cache: Path, *, size: int = 64, **settings: Any) -> Bench:
    """Return the bench of a model as a command line makes it that names the size of images and a cache alone; `settings` are `bench`'s."""
    options = argparse.Namespace(
        model=model,
        weights=None,
        pretrained=False,
        int8_images=None,
        int8_texts=None,
        preprocess=None,
        artifact_cache=cache,
        worker_timeout=600,
    )
    return bench(options, image=square(size), **settings)


def job_of(model: ModelSpec, *transforms: str, runtime: str, inputs: Path | None = None) -> Job:
    """Return the job of a worker that serves a model in fp32 and one thread, in batches of the model's own size."""
    return Job(
        model=model,
        runtime=runtime,
        precision="fp32",
        transforms=transforms,
        batch_size=model.batch_size or 1,
        threads=1,
        inputs=str(inputs) if inputs else None,
    )
