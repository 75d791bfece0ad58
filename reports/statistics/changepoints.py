"""Where throughput changed its level over many runs: that of the machine as a whole, and that of single steps beside it. Pure.

What all steps of a run share is the machine's (its hour, its host, its clock) and is taken out first, by median polish of the logarithms.
Then each series is cut in two where its sides differ most, and each side again (binary segmentation). A cut counts where its statistic,
the difference of the sides' means over its standard error, is one that no series of a page reaches in 95 % of pages without a change. How
far it reaches is simulated, for noise with autocorrelation 0.6 from run to run: nights are not independent of each other.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reports.statistics import NEGLIGIBLE

FEWEST_RUNS = 8
SHORTEST_LEVEL = 3
FEWEST_STEPS = 3  # in a run, to tell what they share from what is one's own
AUTOCORRELATION = 0.6
FALSE_ALARMS = 0.04  # share of unchanged pages with any; by simulation it stays below 5 %, see tests/reports
SIMULATED = 20_000
MOST_SIMULATED = 4_000_000  # values
LONGEST = 1024
POLISHING = 5

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """From item `start` on values are `ratio` times as high as on the level before."""

    start: int
    ratio: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed on a page of series: the machine, in what all steps share, and each step beside that."""

    machine: tuple[ChangePoint, ...]
    steps: tuple[tuple[ChangePoint, ...], ...]


def changes(series: Sequence[Sequence[float | None]]) -> Changes:
    """Return the changes of series of positive values, all over the same runs in order; None where a run has no value."""
    if not series:
        return Changes(machine=(), steps=())
    logs = np.array([[math.nan if value is None else math.log(value) for value in values] for values in series], dtype=float)
    shared = np.isfinite(logs).sum(axis=0) >= FEWEST_STEPS
    shifts = common_shifts(logs)
    family = len(series) + int(shared.any())
    machine = change_points(np.exp(shifts[shared]), family=family)
    own = logs - shifts
    quiet = _unchanged(own, family)
    found: list[tuple[ChangePoint, ...]] = []
    for values, is_quiet in zip(own, quiet, strict=True):
        known = np.flatnonzero(np.isfinite(values))
        points = () if is_quiet else change_points(np.exp(values[known]), family=family)
        found.append(tuple(ChangePoint(int(known[point.start]), point.ratio) for point in points))
    runs = np.flatnonzero(shared)
    return Changes(
        machine=tuple(ChangePoint(int(runs[point.start]), point.ratio) for point in machine),
        steps=tuple(found),
    )


def common_shifts(logs: Values) -> Values:
    """Return what all series (rows) share in each run (column) of logarithms, their median over the runs taken as 0.

    0 in runs of fewer than three series; what is not known is NaN in `logs`.
    """
    shifts = np.zeros(logs.shape[1])
    known = logs[np.isfinite(logs).any(axis=1)]
    shared = np.isfinite(known).sum(axis=0) >= FEWEST_STEPS
    if not shared.any():
        return shifts
    for _ in range(POLISHING):
        levels = _medians(known - shifts)
        shifts[shared] = _medians((known - levels[:, None])[:, shared].T)
        shifts[shared] -= np.median(shifts[shared])
    return shifts


def _medians(values: Values) -> Values:
    """Return the median of each row's known values, of which there is at least one (numpy's nanmedian, a hundred times as fast)."""
    ordered, counts = np.sort(values, axis=1), np.isfinite(values).sum(axis=1, keepdims=True)
    middle = np.take_along_axis(ordered, (counts - 1) // 2, axis=1) + np.take_along_axis(ordered, counts // 2, axis=1)
    medians: Values = middle[:, 0] / 2
    return medians


def _unchanged(logs: Values, family: int) -> npt.NDArray[np.bool_]:
    """Return of each series (row) of logarithms whether it is known in all runs and has no cut. All are seen at once: few have any."""
    quiet: npt.NDArray[np.bool_] = np.asarray(np.isfinite(logs).all(axis=1))
    if logs.shape[1] >= FEWEST_RUNS and quiet.any():
        quiet[quiet] = best_cuts(logs[quiet])[0] <= reached_by_chance(logs.shape[1], family)
    return quiet


def change_points(values: Sequence[float] | Values, family: int = 1) -> tuple[ChangePoint, ...]:
    """Return where one of `family` series of positive values changed its level; nothing for fewer than eight values."""
    if len(values) < FEWEST_RUNS:
        return ()
    logs = np.log(np.asarray(values, dtype=float))
    starts = [0, *_cuts(logs, 0, family), len(logs)]
    found = []
    for before, start, end in zip(starts, starts[1:], starts[2:], strict=False):
        shift = float(logs[start:end].mean() - logs[before:start].mean())
        if abs(shift) >= NEGLIGIBLE:
            found.append(ChangePoint(start=start, ratio=math.exp(shift)))
    return tuple(found)


def _cuts(logs: Values, offset: int, family: int) -> list[int]:
    """Return the cuts of a stretch of a series, which begins at `offset`."""
    if len(logs) < 2 * SHORTEST_LEVEL:
        return []
    statistics, places = best_cuts(logs[None])
    if statistics[0] <= reached_by_chance(len(logs), family):
        return []
    cut = int(places[0])
    return [*_cuts(logs[:cut], offset, family), offset + cut, *_cuts(logs[cut:], offset + cut, family)]


def best_cuts(logs: Values) -> tuple[Values, npt.NDArray[np.intp]]:
    """Return of each series (row) the largest statistic of a cut, and where the right side begins."""
    count = logs.shape[1]
    centred = logs - logs.mean(axis=1, keepdims=True)
    left = np.arange(SHORTEST_LEVEL, count - SHORTEST_LEVEL + 1)
    sums = np.cumsum(centred, axis=1)[:, left - 1]
    between = sums**2 * (count / (left * (count - left)))
    places = between.argmax(axis=1)
    most = between[np.arange(len(logs)), places]
    within = np.maximum((centred**2).sum(axis=1) - most, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.where(most > 1e-12, np.sqrt(most * (count - 2) / within), 0.0)
    return statistics, left[places]


@functools.lru_cache(maxsize=4096)
def reached_by_chance(runs: int, family: int) -> float:
    """Return how large the statistic gets without a change, in all of `family` series of so many runs but the given share of pages."""
    share = (1 - FALSE_ALARMS) ** (1 / family)
    return max(float(np.quantile(_simulated(length), share)) for length in _lengths(runs))


def _lengths(runs: int) -> tuple[int, ...]:
    """Return the simulated lengths that stand for one: itself if it is short, else those below and above."""
    runs = min(runs, LONGEST)
    step = 1 if runs <= 24 else 8 if runs <= 64 else 32 if runs <= 256 else 256
    return tuple({step * (runs // step), step * math.ceil(runs / step)})


@functools.lru_cache(maxsize=256)
def _simulated(runs: int) -> Values:
    """Return the statistics of unchanged series of autocorrelated noise, the same at every call."""
    draw = np.random.default_rng(runs)
    noise = draw.standard_normal((min(SIMULATED, MOST_SIMULATED // runs), runs))
    for place in range(1, runs):
        noise[:, place] = AUTOCORRELATION * noise[:, place - 1] + math.sqrt(1 - AUTOCORRELATION**2) * noise[:, place]
    return best_cuts(noise)[0]
