# SPDX-License-Identifier: Apache-2.0
"""The deployed language model: `load()` it once in a process, then `generate()` from one prompt after the other, greedily.

Needs what requirements.txt names, and nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from deployed import FOLDER, read, sample, session

__all__ = ["Model", "load", "sample"]

PIECE = 512  # tokens of a prompt that are taken at once: what attention holds meanwhile grows with them times all that came before


class Model:
    """The model in the recipe's runtime, precision, threads and CPUs, with one cache: one text at a time."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.deployment: dict[str, Any] = read(folder)
        self.batch_size: int = self.deployment["batch_size"]
        self.context: int = self.deployment["context"]  # tokens of a prompt and of what follows it, together
        self.vocabulary: int = self.deployment["vocabulary"]
        self.ends = frozenset(self.deployment["ends"])
        self.session = session(folder, self.deployment)

    def generate(self, prompt: Sequence[int], most: int, goes_on: Callable[[], bool] = lambda: True) -> Iterator[int]:
        """Yield up to `most` new tokens, each the one of highest logit, until one that ends a text, which is yielded too.

        Before each piece of the prompt and each further token `goes_on` is asked. Raises ValueError.
        """
        if not prompt or most < 1 or len(prompt) + most > self.context:
            raise ValueError(
                f"this deployment takes prompts of at least 1 token, and at most {self.context} tokens with those that follow; "
                f"found {len(prompt)} and {most}"
            )
        if not 0 <= min(prompt) <= max(prompt) < self.vocabulary:
            raise ValueError(f"tokens are numbers from 0 to {self.vocabulary - 1}; found {min(prompt)} to {max(prompt)}")
        taken, logits = np.array([prompt], dtype=np.int64), np.empty((1, 0))
        self.session.empty_cache()
        for begin in range(0, len(prompt), PIECE):
            if not goes_on():
                return
            logits = self.session.take(taken[:, begin : begin + PIECE])
        for left in range(most - 1, -1, -1):
            token = int(logits.argmax())
            yield token
            if token in self.ends or not left or not goes_on():
                return
            logits = self.session.step(np.array([[token]], dtype=np.int64))

    def infer(self, prompts: np.ndarray, continuations: np.ndarray) -> np.ndarray:
        """Return the logits after each prompt and after each token that is given to follow it but the last, (texts, tokens, vocabulary)."""
        texts = zip(prompts, continuations, strict=True)
        return np.stack([self.session.scores(prompt[None], continuation[None]) for prompt, continuation in texts])


def load(folder: Path = FOLDER) -> Model:
    """Return the model, built and run once on the sample that came with it."""
    model = Model(folder)
    model.infer(*(each[:1] for each in sample(folder)[0]))
    return model
