"""What a number of calls can tell of their p99: bounds by order statistics, and how many calls a limit needs. Pure.

The number of n calls that are slower than the true p99 is a binomial draw of 1 %. So at most k calls over a limit show that the p99 keeps
it, where k or fewer would be drawn in at most 5 % of cases if it did not. MLPerf Inference judges its server scenario by the same bound
at 99 % (LoadGen, `early_stopping.cc`). Calls are taken as independent; requests of a queue are not, and what judges those repeats them.
"""

import functools
import math
from collections.abc import Sequence
from typing import Protocol

FEWEST_FOR_P99 = 100  # with fewer calls a p99 is interpolated below the slowest one
SLOWER_SHARE = 0.01
CONFIDENCE = 0.95  # of each bound by itself
MLPERF_CONFIDENCE = 0.99


class Calls(Protocol):
    """The latencies of one recipe's calls, in seconds; runs saved before calls were counted have no `latency_samples`."""

    @property
    def latency_p99_s(self) -> float | None: ...
    @property
    def latency_max_s(self) -> float | None: ...
    @property
    def latency_samples(self) -> int | None: ...


def has_p99(calls: Calls) -> bool:
    """Whether there are enough calls to speak of a p99, or nobody knows how many there are."""
    return calls.latency_samples is None or calls.latency_samples >= FEWEST_FOR_P99


def tail_s(calls: Calls) -> float | None:
    """Return the p99; of fewer calls than have one, the slowest."""
    return calls.latency_p99_s if has_p99(calls) or calls.latency_max_s is None else calls.latency_max_s


@functools.lru_cache(maxsize=4096)
def most_over(calls: int, confidence: float = CONFIDENCE) -> int | None:
    """Return how many of `calls` may be over a limit that their p99 is shown to keep; None where not even none over it shows that."""
    import numpy as np
    from scipy.special import bdtr

    counts = np.arange(int(SLOWER_SHARE * calls) + 1)
    allowed = int(np.searchsorted(bdtr(counts, calls, SLOWER_SHARE), 1 - confidence, side="right")) - 1
    return allowed if allowed >= 0 else None


def least_calls(confidence: float = CONFIDENCE) -> int:
    """Return how many calls show that a p99 keeps a limit, if none of them is over it: 299 at 95 %, 459 at 99 %."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - SLOWER_SHARE))


def p99_high_s(ordered_s: Sequence[float], confidence: float = CONFIDENCE) -> float | None:
    """Return what the p99 of sorted latencies is shown not to exceed; None where they are too few to show anything."""
    over = most_over(len(ordered_s), confidence)
    return None if over is None else ordered_s[len(ordered_s) - 1 - over]


def p99_low_s(ordered_s: Sequence[float]) -> float:
    """Return what the p99 of sorted latencies is shown to reach. Raises ValueError for none."""
    from scipy.special import bdtrc

    if not ordered_s:
        raise ValueError("no latency to take a percentile of")
    place = 1
    while place < len(ordered_s) and bdtrc(place - 1, len(ordered_s), SLOWER_SHARE) > 1 - CONFIDENCE:
        place += 1
    return ordered_s[len(ordered_s) - place]
