"""What the gate says while it works, on stderr: which benchmark, which pair, the time left, and each verdict so far."""

import sys
from statistics import fmean

from reports.gate.decision import Rules, is_settled, is_suspect
from reports.gate.pair import Phase
from reports.gate.schedule import Case
from reports.gate.statistics import as_ratio, interval
from reports.text.durations import duration
from reports.text.plain_text import plain
from reports.text.progress_line import ProgressLine


class Progress:
    """The pairs of a gate on one progress line, and what those of a benchmark showed."""

    def __init__(self, rules: Rules, total: int) -> None:
        self._rules = rules
        self._total = total
        self._line = ProgressLine(sys.stderr, is_terminal=sys.stderr.isatty())
        self._done: set[str] = set()

    def begins(self, case: Case, phase: Phase, of: int, left_s: float) -> None:
        """Say which pair begins."""
        left = f", about {duration(left_s)} left" if left_s else ""
        number = len(case.pairs[phase]) + 1
        self._line.passing(f"[{len(self._done)}/{self._total}] {plain(case.benchmark.id, 60)}: {phase} pair {number} of {of}{left}")

    def ends(self, case: Case) -> None:
        """Say what a benchmark's pairs showed."""
        name = plain(case.benchmark.id, 60)
        if case.failure is not None:
            self._done.add(name)
            self._line.staying(f"{name}: {plain(case.failure, 300)}")
            return
        if not case.all_pairs:
            return
        sample, rules = case.sample, case.limits.rules(self._rules)
        shown = sample.confirm or sample.screen
        mean, low, high = (100 * as_ratio(value) for value in (fmean(shown), *interval(shown, 1 - self._rules.alpha)))
        if is_settled(sample, rules):
            self._done.add(name)
        state = "confirmed" if sample.confirm else "suspect" if is_suspect(sample, rules) else "passed the screen"
        self._line.staying(f"{name}: head's time {mean:+.1f} % [{low:+.1f}, {high:+.1f}], {state}")

    def close(self) -> None:
        """Clear the line."""
        self._line.clear()

    def note(self, text: str) -> None:
        """Say something that stays."""
        self._line.staying(plain(text, 500))
