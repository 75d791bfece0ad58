"""Whether a process was warm when its rounds began: by a test on the rounds of all pairs, since warming up ends at a limit. Pure."""

import math
import statistics
from collections.abc import Sequence

SIGNIFICANT = 0.01
NOTABLE = 0.01  # of a round: what is less hides in the spread of pairs


def settling_rounds(pairs: Sequence[Sequence[float]]) -> int:
    """Return how many rounds at the start of every pair are slower than the others of it, 0 or a third of them; in seconds, pair by pair.

    The test is Mann and Whitney's within each pair, its sums added over pairs (van Elteren, 1960), one-sided at 1 %. A slowdown of less
    than 1 % in the median counts for none.
    """
    first = min(map(len, pairs), default=0) // 3
    if not first:
        return 0
    above = mean = variance = 0.0
    for rounds in pairs:
        rest = rounds[first:]
        above += sum((early > late) + (early == late) / 2 for early in rounds[:first] for late in rest)
        mean += first * len(rest) / 2
        variance += first * len(rest) * (len(rounds) + 1) / 12
    is_slower = above - mean > statistics.NormalDist().inv_cdf(1 - SIGNIFICANT) * math.sqrt(variance)
    return first if is_slower and slowdown(pairs, first) >= NOTABLE else 0


def slowdown(pairs: Sequence[Sequence[float]], first: int) -> float:
    """Return by how much the first rounds are slower than the others: the median over pairs of a ratio of medians, minus 1."""
    return statistics.median(statistics.median(rounds[:first]) / statistics.median(rounds[first:]) for rounds in pairs) - 1
