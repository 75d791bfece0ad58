# SPDX-License-Identifier: Apache-2.0
"""Greedy decoding with a cache, as it was measured: what the runtimes that generate text have in common, one text at a time."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

Placed = tuple[np.ndarray, np.ndarray, Any]  # a prompt, (1, tokens), fp32's tokens after it, and the cache before the prompt's last token


class Greedy(ABC):
    """A session with a cache; a call of `run` takes one token and chooses the next."""

    asynchronous = False
    requests = 1
    _placed: Placed | None = None
    _next = np.zeros((1, 1), dtype=np.int64)
    _taken = 0

    @abstractmethod
    def take(self, tokens: np.ndarray) -> np.ndarray:
        """Take tokens, (1, tokens), behind those in the cache; return the logits after the last one, (1, vocabulary)."""

    @abstractmethod
    def empty_cache(self) -> None:
        """Let the cache hold nothing."""

    @abstractmethod
    def keep_cache(self) -> Any:
        """Return what the cache holds, for `restore_cache`."""

    @abstractmethod
    def restore_cache(self, kept: Any) -> None:
        """Let the cache hold what it held."""

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Take one token; logits as of `take`."""
        return self.take(tokens)

    def place(self, inputs: tuple[np.ndarray, ...]) -> Placed:
        """Take the first prompt but its last token, as it was when decoding was timed at a depth."""
        prompt, continuation = (np.ascontiguousarray(each[:1]) for each in inputs)
        self.empty_cache()
        if prompt.shape[1] > 1:
            self.take(prompt[:, :-1])
        placed = (prompt, continuation, self.keep_cache())
        self.restore(placed)
        return placed

    def restore(self, placed: Placed) -> None:
        """Bring the cache back to its depth."""
        prompt, _, kept = placed
        self.restore_cache(kept)
        self._placed, self._next, self._taken = placed, prompt[:, -1:], 0

    def run(self, placed: Placed) -> np.ndarray:
        """Take the token that was chosen last and choose the next; after as many tokens as were timed in a turn, from the depth again."""
        if self._placed is not placed or self._taken == placed[1].shape[1]:
            self.restore(placed)
        self._next = self.step(self._next).argmax(axis=-1, keepdims=True)
        self._taken += 1
        return self._next

    def scores(self, prompt: np.ndarray, continuation: np.ndarray) -> np.ndarray:
        """Return the logits after the prompt, and after each token of the continuation but the last, (tokens, vocabulary)."""
        self.restore(self.place((prompt, continuation)))
        found = [self.step(prompt[:, -1:])]
        found += [self.step(continuation[:, place : place + 1]) for place in range(continuation.shape[1] - 1)]
        return np.concatenate(found).astype(np.float32)

    def chosen(self, placed: Placed) -> list[int]:
        """Return the tokens of one turn of `run`."""
        self.restore(placed)
        return [int(self.run(placed)[0, 0]) for _ in range(placed[1].shape[1])]
