"""Where the throughput of a benchmark changed its level over many runs. Pure.

Method: least squares segmentation of the logarithms (ruptures' KernelCPD with a linear kernel, exact), the noise taken from
neighbouring differences so that a shift does not hide itself; then each shift must stand up to Welch's t and be worth telling.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.statistics import NEGLIGIBLE, unpaired_ratio

FEWEST_RUNS = 8
SHORTEST_LEVEL = 3
PENALTY = 5.0  # times log(n); by simulation at most 2 % of unchanged series are called changed, see tests/reports
CONFIDENCE = 0.995


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """From item `start` on values are `ratio` times as high as on the level before."""

    start: int
    ratio: float


def change_points(values: Sequence[float]) -> tuple[ChangePoint, ...]:
    """Return where a series of positive values changed its level; nothing for fewer than eight values."""
    if len(values) < FEWEST_RUNS:
        return ()
    import numpy
    import ruptures  # type: ignore[import-untyped]  # has no stubs

    logs = numpy.log(numpy.asarray(values, dtype=float))
    noise = _noise(logs.tolist())
    if noise == 0:
        noise = float(logs.std()) or 1.0
    search = ruptures.KernelCPD(kernel="linear", min_size=SHORTEST_LEVEL).fit((logs / noise).reshape(-1, 1))
    starts = [0, *search.predict(pen=PENALTY * math.log(len(values)))]
    found = []
    for before, start, end in zip(starts, starts[1:], starts[2:], strict=False):
        shift = unpaired_ratio((values[start:end],), (values[before:start],), confidence=CONFIDENCE)
        if shift.low is None or shift.high is None or abs(math.log(shift.ratio)) < NEGLIGIBLE:
            continue
        if shift.low > 1 or shift.high < 1:
            found.append(ChangePoint(start=start, ratio=shift.ratio))
    return tuple(found)


def _noise(logs: Sequence[float]) -> float:
    """Return a robust standard deviation: the median absolute difference of neighbours, scaled for normal noise."""
    differences = sorted(abs(after - before) for before, after in itertools.pairwise(logs))
    return differences[len(differences) // 2] / 0.6745 / math.sqrt(2)
