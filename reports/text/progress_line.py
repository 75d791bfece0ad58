"""The one progress line: rewritten on a terminal; elsewhere a new line, at most every five seconds."""

import time
from collections.abc import Callable
from typing import TextIO

LEAST_INTERVAL_S = 5.0


def silent(_text: str) -> None:
    """Tell nobody."""


class ProgressLine:
    """What is said while something works: lines that pass, and lines that stay."""

    def __init__(
        self, stream: TextIO, *, is_terminal: bool, width: int | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._width = width
        self._clock = clock
        self._said_s: float | None = None

    def speak_at_once(self) -> None:
        """Let the next line that passes be said, however soon it comes."""
        self._said_s = None

    def passing(self, text: str, *, at_once: bool = False) -> None:
        """Say something until the next line; away from a terminal not too often, unless it is to be said `at_once`."""
        now_s = self._clock()
        if not self._is_terminal and not at_once and self._said_s is not None and now_s - self._said_s < LEAST_INTERVAL_S:
            return
        self._said_s = now_s
        self._write(text if self._width is None or not self._is_terminal else text[: self._width - 1], "" if self._is_terminal else "\n")

    def staying(self, text: str) -> None:
        """Say something that stays."""
        self._write(text, "\n")

    def clear(self) -> None:
        """Leave no line that passes."""
        if self._is_terminal:
            self._write("", "")

    def _write(self, text: str, end: str) -> None:
        start = "\r\x1b[K" if self._is_terminal else ""
        self._stream.write(f"{start}{text}{end}")
        self._stream.flush()
