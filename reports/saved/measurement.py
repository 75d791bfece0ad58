"""What a saved run holds, as the other modules see it. Times in seconds, memory in bytes."""

from dataclasses import dataclass, field
from datetime import datetime as DateTime
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta

# A figure beyond this is a damaged or hostile file: products and ratios of two such figures still are finite floats.
LARGEST_FIGURE = 1e18

Figure = Annotated[float, Meta(ge=0, le=LARGEST_FIGURE)]
PositiveFigure = Annotated[float, Meta(ge=1 / LARGEST_FIGURE, le=LARGEST_FIGURE)]
Count = Annotated[int, Meta(ge=1, le=10**9)]
Decibels = Annotated[float, Meta(ge=-1000, le=1000)]
NotNegative = Annotated[float, Meta(ge=0)]  # only shown: outputs of 1e30 have errors of 1e24
Share = Annotated[float, Meta(ge=0, le=1)]

MOST_OPERATORS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedGain:
    """Own SPS / predecessor's SPS from turns with the step `over`; older runs have no interval of one pair."""

    over: str
    ratio: PositiveFigure
    low: Figure | None = None
    high: Figure | None = None
    verdict: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether the recipes above a step kept it, and its gain as it was known then: from the pairs until the step was measured."""

    kept: bool
    gain: SavedGain


@dataclass(frozen=True, kw_only=True, slots=True)
class OverSide:
    """What the predecessor cost in the same pairs."""

    runtime: str = ""
    precision: str = ""
    latency_p50_s: Figure | None = None
    latency_p99_s: Figure | None = None
    peak_rss_bytes: Figure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedPair:
    """The median and mean rounds of two fresh processes that took turns; a step that builds on nothing has no other side.

    Rounds are in seconds per iteration, in the order measured; `own_first` says of each round whose turn came first. A process has one name
    wherever it served. `…_others_share` and `…_steal_share` are of the CPUs' time in each turn that was kept,
    `turns_again` counts those that were disturbed and taken again. Runs saved before these were have none of them.
    """

    own_median_s: PositiveFigure
    over_median_s: PositiveFigure | None = None
    own_mean_s: PositiveFigure | None = None
    over_mean_s: PositiveFigure | None = None
    own_rounds_s: tuple[PositiveFigure, ...] = ()
    over_rounds_s: tuple[PositiveFigure, ...] = ()
    own_first: tuple[bool, ...] = ()
    own_others_share: tuple[float, ...] = ()
    over_others_share: tuple[float, ...] = ()
    own_steal_share: tuple[float, ...] = ()
    over_steal_share: tuple[float, ...] = ()
    turns_again: int = 0
    own_started_first: bool | None = None
    own_process: str = ""
    over_process: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedClaim:
    """What a step had to prove, and what was seen."""

    claim: str
    observed: Any = None
    holds: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelTime:
    """One kind of kernel in one inference; `time_s` is that of all its calls together."""

    operation: str
    implementation: str
    precision: str
    time_s: Figure
    count: int = 1
    formats: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorTime:
    """All calls of one operator in a mean inference; `self_s` is without the operators that it calls."""

    name: str
    self_s: Figure
    share: Share
    calls: Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedProfile:
    """Where the time of an inference of `inference_s` went, by the profiler `source`; `trace` is a file in the run's storage."""

    source: str
    inferences: Count
    inference_s: PositiveFigure
    operators: Annotated[tuple[OperatorTime, ...], Meta(max_length=MOST_OPERATORS)]
    notes: tuple[str, ...] = ()
    trace: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedAccuracy:
    """Shares of labelled pictures that the step and fp32 eager get right; `difference` of the top-1 shares, with its 95 % interval."""

    pictures: Count
    top1: Share
    reference_top1: Share
    difference: float
    low: float
    high: float
    top5: Share | None = None
    reference_top5: Share | None = None

    @property
    def lost_points(self) -> float:
        """How many points of top-1 the step loses against fp32 eager; below 0 where it gains. Rounded far below one picture's share."""
        return round(-100 * self.difference, 6)


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedHost:
    """One host of several; `samples_per_second` is its own, `waited_share` of its time it waited for the others."""

    name: str
    workers: int
    samples_per_second: PositiveFigure
    waited_share: Figure
    cpu_model: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedHosts:
    """All hosts of a step that several took part in; `barrier_s` is what the barrier itself costs of a round."""

    each: tuple[SavedHost, ...]
    sum_samples_per_second: PositiveFigure
    barrier_s: Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """What listing and tracking need of one saved benchmark: one step on one model, how fast, and from which processes.

    `samples_per_second` is that of the mean round; runs saved before `median_samples_per_second` was have that of the median in its place.
    A step that is `disturbed` has turns in which others used the CPUs, kept for want of better ones: its figures stand for nothing.
    """

    model: str
    step: str
    samples_per_second: PositiveFigure
    samples_per_round: Count
    over_samples_per_round: Count | None = None
    median_samples_per_second: PositiveFigure | None = None
    complete: bool = False
    gain: SavedGain | None = None
    pairs: tuple[SavedPair, ...] = ()
    disturbed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement(Throughput):
    """One saved benchmark, whole. A field is None where it does not apply.

    `latency_samples` is how many calls the latencies are of; what their p99 is shown to reach and not to exceed (each at 95 %) are
    `latency_p99_low_s` and `latency_p99_high_s`, the latter None where the calls are too few.
    """

    family: str = ""
    changes: str = ""
    model_name: str = ""
    recipe: tuple[str, ...] = ()
    runtime: str = ""
    precision: str = ""
    batch_size: Count = 1
    sequence_length: int | None = None
    input_shape: tuple[int, ...] = ()
    threads: int | None = None
    workers: int = 1
    latency_p50_s: Figure | None = None
    latency_p90_s: Figure | None = None
    latency_p99_s: Figure | None = None
    latency_max_s: Figure | None = None
    latency_samples: Count | None = None
    latency_p99_low_s: Figure | None = None
    latency_p99_high_s: Figure | None = None
    cold_start_s: Figure | None = None
    build_s: Figure | None = None
    peak_rss_bytes: Figure | None = None
    artifact_bytes: Figure | None = None
    sqnr_db: Decibels | None = None
    centred_cosine: float | None = None
    cosine: float | None = None
    max_abs_error: NotNegative | None = None
    relative_error: NotNegative | None = None
    top1_agreement: Share | None = None
    top1_low: Share | None = None
    top1_high: Share | None = None
    kl_divergence: NotNegative | None = None
    equal_share: Share | None = None
    compared_samples: Count | None = None
    accuracy: SavedAccuracy | None = None
    reference: dict[str, tuple[float, ...]] = field(default_factory=dict)
    precision_share: dict[str, Figure] = field(default_factory=dict)
    kernel_coverage: Figure | None = None
    evidence: tuple[SavedClaim, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    left_out_reasons: dict[str, str] = field(default_factory=dict)
    decision: Decision | None = None
    findings: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    calibration: str = ""
    weights: str = ""
    weights_state: str | None = None
    weights_found: str = ""
    kernels: tuple[KernelTime, ...] = ()
    profile: SavedProfile | None = None
    profile_failure: str | None = None
    hosts: SavedHosts | None = None
    flops_per_sample: PositiveFigure | None = None
    bytes_per_sample: PositiveFigure | None = None
    over_side: OverSide | None = None


Saved_co = TypeVar("Saved_co", bound=Throughput, covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one step ended on one model; `reason` and `remedy` are for those that were not measured."""

    model: str
    step: str
    outcome: Literal["measured", "skipped", "failed"]
    reason: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The highest sustained rate of arithmetic in one precision: what was computed, and by which kernel."""

    precision: str
    flops_per_second: PositiveFigure
    trial: str = ""
    kernel: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingPeak:
    """Why there is no peak of a precision."""

    precision: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What a machine can do at most with `threads` threads; `is_short` where it was taken in a hurry (`--quick`).

    `others_share` is the share of the CPUs that other processes, and other machines of the host, used meanwhile.
    """

    threads: Count
    taken_at: DateTime
    peaks: tuple[Peak, ...] = ()
    missing: tuple[MissingPeak, ...] = ()
    bandwidth_bytes_per_second: PositiveFigure | None = None
    bandwidth_trial: str = ""
    is_short: bool = False
    others_share: float = 0.0
    notes: tuple[str, ...] = ()
    fingerprint: dict[str, Any] = field(default_factory=dict)

    def peak(self, precision: str) -> Peak | None:
        """Return the peak of `precision`, None where the machine has none."""
        return next((peak for peak in self.peaks if peak.precision == precision), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """The checkout that was measured, as pytest-benchmark saves it."""

    id: str = "unknown"
    branch: str = ""
    dirty: bool = False

    @property
    def short(self) -> str:
        return self.id[:10] + ("+" if self.dirty else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run(Generic[Saved_co]):
    """One saved file, its benchmarks read whole (`Run[Measurement]`) or in brief (`Run[Throughput]`).

    `number` is that of the file's name, None for another name; `outcomes` are in ladder order; `notes` say what was left out.
    """

    path: Path
    number: int | None
    saved_at: DateTime
    commit: Commit
    fingerprint: dict[str, Any]
    measurements: tuple[Saved_co, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    calibration: Calibration | None = None

    @property
    def name(self) -> str:
        """The number as pytest-benchmark writes it, or the name of the file."""
        return self.path.name if self.number is None else f"{self.number:04}"
