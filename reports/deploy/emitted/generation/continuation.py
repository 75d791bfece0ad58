# SPDX-License-Identifier: Apache-2.0
"""What new tokens add to a text, piece by piece. Pure."""

from collections.abc import Sequence
from typing import Protocol

BEFORE = 5  # tokens of the prompt that new ones are read with: some tokenizers write a blank by what stands before it
UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # ends a text whose last character has further tokens to come


class Decodes(Protocol):
    """A tokenizer that makes a text of tokens."""

    def decode(self, tokens: Sequence[int]) -> str: ...


class Continuation:
    """What new tokens add to a text: whole characters, up to the first text that stops it.

    `text` is all that was given out; with no tokenizer there is none. `is_stopped` says whether a text stopped it.
    """

    def __init__(self, texts: Decodes | None, prompt: Sequence[int], stops: Sequence[str] = ()) -> None:
        self._texts = texts
        self._tokens = list(prompt[-BEFORE:])
        self._start, self._read = 0, len(self._tokens)  # what was read last, and what has been given out
        self._stops = stops
        self._held = ""  # what may be the beginning of a text that stops it
        self.text = ""
        self.is_stopped = False

    def add(self, token: int) -> str:
        """Return what a token adds to the text, as far as it is sure."""
        if self._texts is None or self.is_stopped:
            return ""
        self._tokens.append(token)
        before, now = self._last_texts()
        if len(now) <= len(before) or now.endswith(UNFINISHED):
            return ""
        self._start, self._read = self._read, len(self._tokens)
        return self._given(now[len(before) :])

    def end(self) -> str:
        """Return what is left of the text once no token comes."""
        if self._texts is None or self.is_stopped:
            return ""
        before, now = self._last_texts()
        added = self._given(now[len(before) :])
        if self.is_stopped:
            return added
        rest, self._held = self._held, ""
        self.text += rest
        return added + rest

    def _last_texts(self) -> tuple[str, str]:
        assert self._texts is not None
        return self._texts.decode(self._tokens[self._start : self._read]), self._texts.decode(self._tokens[self._start :])

    def _given(self, added: str) -> str:
        """Return what may be given out of the text that is held back and of what is added to it."""
        held = self._held + added
        found = [place for stop in self._stops if (place := held.find(stop)) >= 0]
        if found:
            self.is_stopped, self._held = True, ""
            given = held[: min(found)]
        else:
            kept = max((size for stop in self._stops for size in _sizes(stop, held) if held.endswith(stop[:size])), default=0)
            given, self._held = held[: len(held) - kept], held[len(held) - kept :]
        self.text += given
        return given


def _sizes(stop: str, held: str) -> range:
    """Return how long a beginning of `stop` may be that `held` ends with."""
    return range(1, min(len(stop), len(held) + 1))
