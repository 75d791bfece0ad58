"""How far unchanged steps of one machine lie apart from run to run: by the hour, the host and the clock that a whole run shares. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.saved.machines import machine_differences
from reports.saved.record import Run, Throughput
from reports.statistics import t_quantile

FEWEST_RUNS = 6
NORMAL = 0.6745  # the median absolute deviation of normal values, in standard deviations


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpread:
    """The standard deviation of the logarithm of a step's throughput over the saved runs of a machine, and how many runs tell it."""

    log_sd: float
    runs: int

    @property
    def ratio(self) -> float:
        """How many times as fast the faster of two runs of the same code is at most, in 95 % of cases."""
        return math.exp(t_quantile(0.95, self.runs - 1) * math.sqrt(2) * self.log_sd)


def run_spread(runs: Sequence[Run[Throughput]], fingerprint: Mapping[str, Any]) -> RunSpread | None:
    """Return the spread over those of `runs` that are of the machine of `fingerprint`; None where fewer than six have a step in common.

    It is the median deviation from each step's own median: a level that changed in some of the runs hardly moves it. Other recipes, inputs
    and threads make another level. A record that a resumed run took over from an interrupted one counts once.
    """
    levels: dict[tuple[object, ...], list[float]] = {}
    counted: set[tuple[object, ...]] = set()
    for run in runs:
        if run.fingerprint and not machine_differences(fingerprint, run.fingerprint):
            for measured in run.measurements:
                alike = (measured.model, measured.step, measured.recipe, measured.conditions)
                if not measured.disturbed and (alike, measured.pairs) not in counted:
                    levels.setdefault(alike, []).append(math.log(measured.samples_per_second))
                    counted |= {(alike, measured.pairs)} if measured.pairs else set()
    series = [values for values in levels.values() if len(values) >= FEWEST_RUNS]
    if not series:
        return None
    deviations = [abs(value - middle) for values in series for middle in (statistics.median(values),) for value in values]
    count = max(map(len, series))
    return RunSpread(log_sd=statistics.median(deviations) / NORMAL * math.sqrt(count / (count - 1)), runs=count)
