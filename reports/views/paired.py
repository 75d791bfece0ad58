"""What one step of a model gives over another, along the gains of pairs that lead from one to the other. Pure."""

import math
from collections.abc import Iterable, Mapping

from reports.saved.record import Gain, Measurement, SavedGain
from reports.statistics import DISTURBED, bounded_exp, verdict

USUAL_SPREAD = 1.2  # processes of the same code differ by 7 % (docs/measuring.md): without pairs no more than this counts


def chain(steps: Mapping[str, Measurement], step: str) -> dict[str, SavedGain]:
    """Return a step and those that it builds on, itself first, as far as they have gains, with these."""
    found: dict[str, SavedGain] = {}
    measured = steps.get(step)
    while measured is not None and measured.gain is not None and measured.step not in found:
        found[measured.step] = measured.gain
        measured = steps.get(measured.gain.over)
    return found


def paired(steps: Mapping[str, Measurement], one: str, other: str) -> Gain | None:
    """Return one step's throughput over another's, along the paired gains that lead from one to the other; None where none do."""
    up, down = (list(chain(steps, step).items()) for step in (one, other))
    while up and down and up[-1] == down[-1]:
        up.pop()
        down.pop()
    grounds = {way[-1][1].over if way else step for way, step in ((up, one), (down, other))}
    if len(grounds) > 1:  # they stand on different ground
        return None
    return product([(1, gain) for _, gain in up] + [(-1, gain) for _, gain in down])


def product(gains: Iterable[tuple[int, SavedGain]]) -> Gain | None:
    """Return the product of gains, or of their reciprocals (-1); None where one has no interval, or was disturbed."""
    log, square = 0.0, 0.0
    for sign, gain in gains:
        if not gain.low or not gain.high or gain.verdict == DISTURBED:
            return None
        log += sign * math.log(gain.ratio)
        square += (math.log(gain.high / gain.low) / 2) ** 2
    half = math.sqrt(square)
    ratio, low, high = map(bounded_exp, (log, log - half, log + half))
    return Gain(ratio=ratio, low=low, high=high, verdict=verdict(low, high))


def is_ahead(best: Measurement, other: Measurement, ratio: Gain | None) -> bool:
    """Whether the best is shown to be faster, by pairs, or, where no pairs lead from one to the other, by more than processes differ."""
    if ratio is not None:
        return ratio.low is not None and ratio.low > 1
    return best.samples_per_second > USUAL_SPREAD * other.samples_per_second
