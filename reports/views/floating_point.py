"""INT8 over the best floating-point recipe of its own runtime: by pairs where they lead from one to the other, else unpaired. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.saved.record import Gain, Measurement
from reports.statistics import unpaired_ratio
from reports.statistics.roofline import WEIGHTS_ALONE
from reports.views.paired import is_ahead, paired

INT8 = "int8"
HINT = "PERFORMANCE_HINT"


@dataclass(frozen=True, kw_only=True, slots=True)
class OverFloat:
    """An INT8 step's throughput over that of `over`, the best floating-point step of its runtime.

    `paired` says that gains of pairs lead from one to the other; else the processes of both, which ran at different times, are compared.
    """

    over: str
    ratio: Gain
    paired: bool


def over_floating_point(
    own: Measurement, ours: Mapping[str, Measurement], processes: Mapping[tuple[str, str], Sequence[float]]
) -> OverFloat | None:
    """Return the ratio for a step that brings INT8; None for any other, for a disturbed one, and where no floating point was measured.

    The best is the fastest floating-point step with its runtime, batch size, workers and performance hint, if it is shown to be ahead of
    the INT8 step's own predecessor; else it is the predecessor, with which the step has pairs. `ours` are the model's steps, itself too.
    """
    if own.disturbed or not _brings_int8(own, ours):
        return None
    alike = {step: m for step, m in ours.items() if _is_floating(m) and not m.disturbed and _setting(m) == _setting(own)}
    if not alike:
        return None
    best = max(alike.values(), key=lambda m: m.samples_per_second)
    below = alike.get(own.gain.over) if own.gain is not None else None
    if below is not None and not is_ahead(best, below, paired(ours, best.step, below.step)):
        best = below
    ratio = paired(ours, own.step, best.step)
    if ratio is None and own.gain is not None and own.gain.over == best.step:  # runs of one pair had no interval
        ratio = Gain(ratio=own.gain.ratio, low=own.gain.low, high=own.gain.high, verdict=own.gain.verdict)
    if ratio is not None:
        return OverFloat(over=best.step, ratio=ratio, paired=True)
    sides = (processes[own.model, own.step],), (processes[best.model, best.step],)
    return OverFloat(over=best.step, ratio=unpaired_ratio(*sides), paired=False)


def _is_floating(m: Measurement) -> bool:
    """Whether the step has neither products nor weights in few bits."""
    return m.precision != INT8 and not m.precision.endswith(WEIGHTS_ALONE)


def _brings_int8(own: Measurement, ours: Mapping[str, Measurement]) -> bool:
    """Whether the step computes in INT8 and the one that its gain is over does not."""
    if own.precision != INT8:
        return False
    if own.over_side is not None:
        return own.over_side.precision != INT8
    below = ours.get(own.gain.over) if own.gain is not None else None
    return below is None or below.precision != INT8


def _setting(m: Measurement) -> tuple[object, ...]:
    return m.runtime, m.batch_size, m.sequence_length, m.workers, m.settings.get(HINT)
