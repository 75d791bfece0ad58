"""The bench of commands that measure, as their options make it."""

import argparse
from pathlib import Path
from typing import Any

from reports.commands.measuring import Bench, bench
from reports.text.image_shape import square


def bench_of(model: str, cache: Path, *, size: int = 64, **settings: Any) -> Bench:
    """Return the bench of a model as a command line makes it that names the size of images and a cache alone; `settings` are `bench`'s."""
    options = argparse.Namespace(
        model=model, weights=None, pretrained=False, int8_images=None, int8_texts=None, artifact_cache=cache, worker_timeout=600
    )
    return bench(options, image=square(size), **settings)
