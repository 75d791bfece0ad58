"""The roofline: how near each step comes to its machine's peaks, and what bounds it. Pure.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (CACM 52/4, 2009).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reports.saved.machines import machine_differences
from reports.saved.record import Calibration, Measurement, Peak, Run
from reports.text.refusal import Refusal

ELEMENT_BYTES = {"int8": 1, "bf16": 2, "f16": 2, "f32": 4}
LEAST_CALIBRATED = 0.9
WEIGHTS_ALONE = " weights"  # how the precision of a step ends whose weights alone are in few bits
FAULT = (
    "a fault of the measured peaks, not a gain: measure them again on the idle machine (`python -m reports peaks --redo --format json > "
    "peaks.json`) and pass them with --peaks peaks.json"
)

WINOGRAD = (
    "no fault: convolutions ran in Winograd kernels, which need 2.25 to 4 times fewer multiplications than a direct convolution, "
    "whose FLOPs are counted"
)


class CannotPlace(Refusal):
    """A run has nothing to hold its figures against; the message says what is missing, and the next action."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one throughput stands. Rates in FLOP per second, `intensity` in FLOP per byte.

    `peak_flops_per_second` is that of the mix of precisions, `precision` the one that took the most kernel time. A share above 1 is a
    `fault`, or has an `explanation`.
    """

    flops_per_second: float
    intensity: float | None
    precision: str
    peak_flops_per_second: float
    share_of_peak: float
    share_of_dominating_peak: float
    bound_by: Literal["compute", "bandwidth"] | None
    roof_flops_per_second: float
    fault: str = ""
    explanation: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RooflinePoint:
    """One step under the roof; `reason` says why `place` is None. That of a step that others disturbed stands for nothing."""

    model: str
    step: str
    samples_per_second: float
    precision_share: dict[str, float] = field(default_factory=dict)
    place: Place | None = None
    reason: str = ""
    disturbed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Roofline:
    """All steps of a run under the roof of its machine."""

    machine: str
    calibration: Calibration
    points: tuple[RooflinePoint, ...]

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(point.model for point in self.points))

    @property
    def faults(self) -> tuple[RooflinePoint, ...]:
        """Steps above 100 %: the measured peaks are wrong."""
        return tuple(point for point in self.points if point.place is not None and point.place.fault)


def roofline(run: Run[Measurement], calibration: Calibration | None = None, *, models: Iterable[str] = ()) -> Roofline:
    """Place every measured step of a run under its own calibration, or a later one of the same machine. Raises CannotPlace."""
    known, chosen = dict.fromkeys(each.model for each in run.measurements), set(models)
    missing = ", ".join(sorted(chosen - known.keys()))
    if missing or not known:
        raise CannotPlace(f"run {run.name} has no measured step of {missing or 'any model'}: its models are {', '.join(known) or 'none'}")
    measurements = [each for each in run.measurements if not chosen or each.model in chosen]
    held = calibration or run.calibration
    if held is None:
        raise CannotPlace(
            f"run {run.name} was saved without the peaks of its machine: on that machine run `python -m reports peaks --format json > "
            "peaks.json` and pass them with --peaks peaks.json, or measure again without --no-peaks"
        )
    if calibration is not None and (different := machine_differences(calibration.fingerprint, run.fingerprint)):
        fields = "; ".join(f"{each.field}: peaks {each.base}, run {each.head}" for each in different[:3])
        raise CannotPlace(f"the peaks are of another machine than run {run.name} ({fields}): measure them on the run's machine")
    if all(each.flops_per_sample is None for each in measurements):
        raise CannotPlace(
            f"no record of run {run.name} says how many FLOPs a sample takes (saved by an older version, or not countable): measure again "
            "with `pytest benchmarks/ --benchmark-autosave`"
        )
    points = tuple(_point(each, held) for each in measurements)
    return Roofline(machine=run.machine, calibration=held, points=points)


def bytes_per_sample(*, weight_elements: float, activation_elements: float, batch_size: int, precision_share: Mapping[str, float]) -> float:
    """Return the bytes that a sample must move: weights once a call, activations once at each operator.

    An element has the size of its precision, weighed by kernel time; of an unknown precision four bytes.
    """
    total = sum(precision_share.values())
    size = sum(ELEMENT_BYTES.get(name, 4) * share for name, share in precision_share.items()) / total if total > 0 else 4.0
    return size * (weight_elements / batch_size + activation_elements)


def place_of(measurement: Measurement, calibration: Calibration) -> Place | str:
    """Return where a measured step stands under the calibration's roof, or why it cannot be placed.

    The peak of a mix is the mean of its precisions' peaks weighed by kernel time: in a share s of the time no kernel can do more than
    s times its precision's peak, so the sum is what the mix can reach at most. Kernels of weights in few bits tell the precision of these,
    and multiply in another where activations are not quantized.
    """
    if measurement.precision.endswith(WEIGHTS_ALONE):
        return f"its precision is {measurement.precision}: no kernel tells in which one it multiplies them"
    if measurement.flops_per_sample is None:
        return "its FLOPs are not known"
    threads = _threads(measurement)
    if threads is not None and threads != calibration.threads:
        return f"it computed with {threads} threads, the peaks are those of {calibration.threads}"
    mix = _mix(measurement.precision_share, calibration)
    if isinstance(mix, str):
        return mix
    peak, dominating = mix
    achieved = measurement.samples_per_second * measurement.flops_per_sample
    intensity = measurement.flops_per_sample / measurement.bytes_per_sample if measurement.bytes_per_sample else None
    bandwidth = calibration.bandwidth_bytes_per_second
    slope = bandwidth * intensity if bandwidth is not None and intensity is not None else None
    share = achieved / peak
    winograd = any("wino" in kernel.implementation.lower() for kernel in measurement.kernels)
    return Place(
        flops_per_second=achieved,
        intensity=intensity,
        precision=dominating.precision,
        peak_flops_per_second=peak,
        share_of_peak=share,
        share_of_dominating_peak=achieved / dominating.flops_per_second,
        bound_by=None if slope is None else "bandwidth" if slope < peak else "compute",
        roof_flops_per_second=peak if slope is None else min(peak, slope),
        fault=FAULT if share > 1 and not winograd else "",
        explanation=WINOGRAD if share > 1 and winograd else "",
    )


def _mix(precision_share: Mapping[str, float], calibration: Calibration) -> tuple[float, Peak] | str:
    """Return the peak of the mix in FLOP per second and that of its largest part, or why there is none."""
    known = [(share, peak) for name, share in precision_share.items() if (peak := calibration.peak(name)) is not None]
    total, covered = sum(precision_share.values()), sum(share for share, _ in known)
    if total <= 0:
        return "no kernel told its precision"
    if covered < LEAST_CALIBRATED * total:
        unknown = {name: share for name, share in precision_share.items() if calibration.peak(name) is None}
        name = max(unknown, key=lambda each: unknown[each])
        why = next((each.reason for each in calibration.missing if each.precision == name), "it was not measured")
        return f"{100 * unknown[name] / total:.0f} % of its kernel time is {name}, which has no peak: {why}"
    _, dominating = max(known, key=lambda each: each[0])
    return sum(share * peak.flops_per_second for share, peak in known) / covered, dominating


def share_of_bandwidth(measurement: Measurement, calibration: Calibration) -> float | None:
    """Return the bytes that steps of decode read in a second over the bandwidth.

    None where no text was decoded, the bandwidth is not known, or is that of another number of threads.
    """
    found, bandwidth = measurement.generation, calibration.bandwidth_bytes_per_second
    if found is None or found.weight_bytes_per_token is None or found.cache_bytes_per_token is None or bandwidth is None:
        return None
    if _threads(measurement) not in {None, calibration.threads}:
        return None
    return (found.weight_bytes_per_token + found.cache_bytes_per_token) * measurement.samples_per_second / bandwidth


def _threads(measurement: Measurement) -> int | None:
    return None if measurement.threads is None else measurement.threads * measurement.workers


def _point(measurement: Measurement, calibration: Calibration) -> RooflinePoint:
    found = place_of(measurement, calibration)
    return RooflinePoint(
        model=measurement.model,
        step=measurement.step,
        samples_per_second=measurement.samples_per_second,
        precision_share=measurement.precision_share,
        place=found if isinstance(found, Place) else None,
        reason=found if isinstance(found, str) else "",
        disturbed=measurement.disturbed,
    )
