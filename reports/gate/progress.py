"""What the gate says while it works, on stderr: which benchmark, which pair, the time left, and each verdict so far."""

import math
import sys
import time
from typing import TextIO

from reports.gate.decision import Rules, is_settled, is_suspect
from reports.gate.pair import Phase
from reports.gate.schedule import Case
from reports.gate.statistics import as_ratio, interval
from reports.text.durations import duration
from reports.text.plain_text import plain

LEAST_INTERVAL_S = 5.0


class Progress:
    """One line that is rewritten on a terminal; elsewhere a new line, at most every five seconds."""

    def __init__(self, rules: Rules, total: int, stream: TextIO | None = None) -> None:
        self._rules = rules
        self._total = total
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._said_s = -math.inf
        self._done: set[str] = set()

    def begins(self, case: Case, phase: Phase, of: int, left_s: float) -> None:
        """Say which pair begins."""
        now_s = time.monotonic()
        if not self._is_terminal and now_s - self._said_s < LEAST_INTERVAL_S:
            return
        self._said_s = now_s
        left = f", about {duration(left_s)} left" if left_s else ""
        number = len(case.pairs[phase]) + 1
        self._write(f"[{len(self._done)}/{self._total}] {plain(case.benchmark.id, 60)}: {phase} pair {number} of {of}{left}", stays=False)

    def ends(self, case: Case) -> None:
        """Say what a benchmark's pairs showed."""
        name = plain(case.benchmark.id, 60)
        if case.failure is not None:
            self._done.add(name)
            self._write(f"{name}: {plain(case.failure, 300)}", stays=True)
            return
        if not case.all_pairs:
            return
        sample, rules = case.sample, case.limits.rules(self._rules)
        found = interval(sample.confirm or sample.screen, 1 - self._rules.alpha)
        mean, low, high = (100 * as_ratio(value) for value in (found.mean, found.low, found.high))
        if is_settled(sample, rules):
            self._done.add(name)
        state = "confirmed" if sample.confirm else "suspect" if is_suspect(sample, rules) else "passed the screen"
        self._write(f"{name}: head's time {mean:+.1f} % [{low:+.1f}, {high:+.1f}], {state}", stays=True)

    def close(self) -> None:
        """Clear the line."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def note(self, text: str) -> None:
        """Say something that stays."""
        self._write(plain(text, 500), stays=True)

    def _write(self, text: str, *, stays: bool) -> None:
        start, end = ("\r\x1b[K", "\n" if stays else "") if self._is_terminal else ("", "\n")
        self._stream.write(f"{start}{text}{end}")
        self._stream.flush()
