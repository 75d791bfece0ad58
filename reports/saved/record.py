"""The record: what a run saves, as those who measure fill it and those who report read it. Times in seconds, memory in bytes.

Fields that an older run does not have take their defaults. `python -m reports.saved` writes docs/record.schema.json from these types.
"""

from dataclasses import dataclass
from datetime import datetime as DateTime
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta, Struct

from reports.saved.machines import machine_name

RECORD_VERSION = 2
HISTORY = {
    1: "a round of a burst is the whole burst; `samples_per_second` may be that of the median round",
    2: "a round is the time of one iteration, for bursts, too",
}

# A figure beyond this is a damaged or hostile file: products and ratios of two such figures still are finite floats.
LARGEST_FIGURE = 1e18

Figure = Annotated[float, Meta(ge=0, le=LARGEST_FIGURE)]
PositiveFigure = Annotated[float, Meta(ge=1 / LARGEST_FIGURE, le=LARGEST_FIGURE)]
Count = Annotated[int, Meta(ge=1, le=10**9)]
Decibels = Annotated[float, Meta(ge=-1000, le=1000)]
NotNegative = Annotated[float, Meta(ge=0)]  # only shown: outputs of 1e30 have errors of 1e24
Share = Annotated[float, Meta(ge=0, le=1)]

MOST_OPERATORS = 1000
PERPLEXITY = "perplexity"  # the metric of a text
TRAINING = frozenset({"xla_training", "cpu_training"})  # families


class Gain(Struct, frozen=True, kw_only=True):
    """A ratio of throughputs with the 95 % interval that it lies in, and its verdict; older runs have no interval of one pair."""

    ratio: PositiveFigure
    low: Figure | None = None
    high: Figure | None = None
    verdict: str


class SavedGain(Gain, frozen=True, kw_only=True):
    """Own SPS / predecessor's SPS from turns with the step `over`."""

    over: str


class Decision(Struct, frozen=True, kw_only=True):
    """Whether the recipes above a step kept it, and its gain as it was known then: from the pairs until the step was measured."""

    kept: bool
    gain: SavedGain


class OverSide(Struct, frozen=True, kw_only=True):
    """What the predecessor cost in the same pairs."""

    runtime: str = ""
    precision: str = ""
    latency_p50_s: Figure | None = None
    latency_p99_s: Figure | None = None
    peak_rss_bytes: Figure | None = None


class SavedPair(Struct, frozen=True, kw_only=True):
    """The rounds of two fresh processes that took turns; a step that builds on nothing has no other side.

    Rounds are in seconds per iteration, in the order measured; `own_first` says of each round whose turn came first. A process has one name
    wherever it served. `…_others_share` and `…_steal_share` are of the CPUs' time in each turn that was kept,
    `turns_again` counts those that were disturbed and taken again. Runs saved before these were have none of them.
    """

    own_median_s: PositiveFigure
    over_median_s: PositiveFigure | None = None
    own_mean_s: PositiveFigure | None = None
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


class SavedClaim(Struct, frozen=True, kw_only=True):
    """What a step had to prove, and the observation."""

    claim: str
    observed: str = ""
    holds: bool


class KernelTime(Struct, frozen=True, kw_only=True):
    """One kind of kernel in one inference; `time_s` is that of all its calls together."""

    operation: str
    implementation: str
    precision: str
    time_s: Figure
    count: int = 1
    formats: str = ""


class OperatorTime(Struct, frozen=True, kw_only=True):
    """All calls of one operator in a mean inference; `self_s` is without the operators that it calls."""

    name: str
    self_s: Figure
    share: Share
    calls: Figure


class SavedProfile(Struct, frozen=True, kw_only=True):
    """Where the time of an inference of `inference_s` went, by the profiler `source`; `trace` is a file in the run's storage."""

    source: str
    inferences: Count
    inference_s: PositiveFigure
    operators: Annotated[tuple[OperatorTime, ...], Meta(max_length=MOST_OPERATORS)]
    notes: tuple[str, ...] = ()
    trace: str | None = None


class SavedAccuracy(Struct, frozen=True, kw_only=True):
    """Shares of labelled pictures that the step and fp32 eager get right; `difference` of the top-1 shares, with its 95 % interval.

    The top-5 shares are None below six classes.
    """

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

    def __str__(self) -> str:
        interval = f"{100 * self.difference:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return f"top-1 {self.top1:.1%} of {self.pictures} labelled pictures, fp32 eager {self.reference_top1:.1%}: {interval}"


class SavedMetric(Struct, frozen=True, kw_only=True):
    """A metric of the step's outputs beside fp32 eager's on the same samples; `low` and `high` bound the difference at 95 %.

    It is the user's own (`--evaluate`), or the `perplexity` of a text, whose samples are its pieces. `note` says why there is no interval.
    """

    name: str
    samples: Count
    value: float
    reference: float
    difference: float
    low: float | None = None
    high: float | None = None
    note: str = ""


class SavedHost(Struct, frozen=True, kw_only=True):
    """One host over all rounds; `samples_per_second` is its own, `waited_share` of its time it waited for the others and the barrier."""

    name: str
    workers: int
    samples_per_second: PositiveFigure
    waited_share: Figure
    cpu_model: str = ""


class SavedHosts(Struct, frozen=True, kw_only=True):
    """All hosts of a step together; `barrier_s` is how long the host that comes last still waits at the end of a round."""

    each: tuple[SavedHost, ...]
    sum_samples_per_second: PositiveFigure
    barrier_s: Figure


class SavedGeneration(Struct, frozen=True, kw_only=True):
    """What was generated (docs/generation.md): `tokens` are those of the prompt, or in the cache before the first of `new_tokens`.

    The time to the first token is that of prefill, the time per token that of decode, both at the median. `bytes_per_step` are those that a
    step of decode has to read, weights and cache; of a token they are its share of the weights, which all texts of the step have in common,
    and its own text's cache. `share_of_bandwidth` is that of decode, `share_of_peak` that of prefill; both need the machine's peaks.
    `tokens_agreeing` of the new tokens are fp32's, before the first that is not. In speculative decoding `accepted_tokens` of the
    `drafted_tokens` of a turn were right; its time per token is the mean, as a pass gives several.
    """

    phase: Literal["prefill", "decode"]
    tokens: int
    new_tokens: int
    time_to_first_token_s: Figure | None = None
    time_per_token_s: Figure | None = None
    tokens_agreeing: int | None = None
    weight_bytes: Figure | None = None
    cache_bytes: Figure | None = None
    bytes_per_step: Figure | None = None
    weight_bytes_per_token: Figure | None = None
    cache_bytes_per_token: Figure | None = None
    share_of_bandwidth: Figure | None = None
    share_of_peak: Figure | None = None
    drafted_tokens: int | None = None
    accepted_tokens: int | None = None


class SavedLengths(Struct, frozen=True, kw_only=True):
    """Texts whose lengths vary (docs/lengths.md): an iteration takes all `texts`, whose lengths have the `shares` of a distribution.

    They have `real_tokens` together, and `computed_tokens` with their padding. `tokens_per_second` are real ones. `batches` are those of an
    iteration, each with its texts and the tokens that each of these is padded to.
    """

    shares: Annotated[tuple[tuple[int, Share], ...], Meta(min_length=1)]
    texts: Count
    real_tokens: Count
    computed_tokens: Count
    tokens_per_second: PositiveFigure
    batches: tuple[tuple[int, int], ...] = ()

    @property
    def padding_share(self) -> float:
        """The share of the computed tokens that are padding."""
        return 1 - self.real_tokens / self.computed_tokens


class Throughput(Struct, frozen=True, kw_only=True):
    """What listing and tracking need of one saved benchmark: one step on one model, how fast, and from which processes.

    `samples_per_second` is that of the mean round; some runs of record version 1 have that of the median in its place.
    `weights` says which ones were measured, `weights_found` how they were found.
    A step that is `disturbed` has turns in which others used the CPUs, kept for want of better ones: its figures stand for nothing.
    The first `settling_rounds` rounds of each pair were not warm yet: no figure counts them. `input_shape` is that of the first input.
    """

    model: str
    step: str
    recipe: tuple[str, ...] = ()
    input_shape: tuple[int, ...] = ()
    threads: int | None = None
    workers: int = 1
    samples_per_second: PositiveFigure
    samples_per_round: Count
    over_samples_per_round: Count | None = None
    complete: bool = False
    gain: SavedGain | None = None
    pairs: tuple[SavedPair, ...] = ()
    settling_rounds: Annotated[int, Meta(ge=0, le=10**6)] = 0
    disturbed: bool = False
    weights: str = ""
    weights_found: str = ""

    @property
    def conditions(self) -> tuple[object, ...]:
        """What two measurements of a step must share to be of the same work: its inputs with their batch, and the threads that did it."""
        return self.input_shape, self.threads, self.workers


class Measurement(Throughput, frozen=True, kw_only=True):
    """One saved benchmark, whole. A field is None where it does not apply.

    `latency_samples` is how many calls the latencies are of; what their p99 is shown to reach and not to exceed (each at 95 %) are
    `latency_p99_low_s` and `latency_p99_high_s`, the latter None where the calls are too few; `latency_calls` says where they are of others
    than those of the turns. `inherited_environment` are variables that were there already and can change what runs. A record that is
    `resumed` is of an interrupted run that this one went on with.
    """

    family: str = ""
    changes: str = ""
    model_name: str = ""
    runtime: str = ""
    precision: str = ""
    batch_size: Count = 1
    sequence_length: int | None = None
    input_shapes: dict[str, tuple[int, ...]] = {}
    latency_p50_s: Figure | None = None
    latency_p90_s: Figure | None = None
    latency_p99_s: Figure | None = None
    latency_max_s: Figure | None = None
    latency_samples: Count | None = None
    latency_calls: str = ""
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
    metrics: tuple[SavedMetric, ...] = ()
    reference: dict[str, tuple[float, ...]] = {}
    precision_share: dict[str, Figure] = {}
    kernel_coverage: Figure | None = None
    evidence: tuple[SavedClaim, ...] = ()
    environment: dict[str, str] = {}
    inherited_environment: dict[str, str] = {}
    host: dict[str, float] = {}
    left_out: tuple[str, ...] = ()
    left_out_reasons: dict[str, str] = {}
    decision: Decision | None = None
    findings: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    calibration: str = ""
    weights_state: str | None = None
    kernels: tuple[KernelTime, ...] = ()
    profile: SavedProfile | None = None
    profile_failure: str | None = None
    hosts: SavedHosts | None = None
    generation: SavedGeneration | None = None
    lengths: SavedLengths | None = None
    flops_per_sample: PositiveFigure | None = None
    bytes_per_sample: PositiveFigure | None = None
    not_counted: str = ""
    over_side: OverSide | None = None
    resumed: bool = False


Saved_co = TypeVar("Saved_co", bound=Throughput, covariant=True)
ExtraInfo = TypeVar("ExtraInfo")


class Outcome(Struct, frozen=True, kw_only=True):
    """How one step ended on one model; `reason` and `remedy` are for those that were not measured.

    No saved run has a step that was only proved.
    """

    model: str
    step: str
    outcome: Literal["measured", "proved", "skipped", "failed"]
    reason: str | None = None
    remedy: str | None = None


class Peak(Struct, frozen=True, kw_only=True):
    """The highest sustained rate of arithmetic in one precision: what was computed, and by which kernel."""

    precision: str
    flops_per_second: PositiveFigure
    trial: str = ""
    kernel: str = ""


class MissingPeak(Struct, frozen=True, kw_only=True):
    """Why there is no peak of a precision."""

    precision: str
    reason: str


class Calibration(Struct, frozen=True, kw_only=True):
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
    fingerprint: dict[str, Any] = {}

    def peak(self, precision: str) -> Peak | None:
        """Return the peak of `precision`, None where the machine has none."""
        return next((peak for peak in self.peaks if peak.precision == precision), None)


class Commit(Struct, frozen=True, kw_only=True):
    """The checkout that was measured, as pytest-benchmark saves it."""

    id: str = "unknown"
    branch: str = ""
    dirty: bool = False

    @property
    def short(self) -> str:
        return self.id[:10] + ("+" if self.dirty else "")


class SuiteFields(Struct, frozen=True, kw_only=True):
    """What this suite adds to pytest-benchmark's file: `earlier_pairs` of earlier runs told how far pairs spread, too."""

    record_version: int = 1
    outcomes: tuple[Outcome, ...] = ()
    calibration: Calibration | None = None
    earlier_pairs: int = 0
    budget_s: Figure | None = None


class MachineInfo(Struct, frozen=True):
    """The facts that tell this machine from others, and its versions (`reports/saved/machines.py`)."""

    fingerprint: dict[str, Any] = {}


class SavedBenchmark(Struct, Generic[ExtraInfo], frozen=True, kw_only=True):
    """One benchmark as pytest-benchmark saves it; all that is this suite's is in `extra_info`."""

    extra_info: ExtraInfo
    fullname: str = ""


class SavedFile(SuiteFields, Generic[ExtraInfo], frozen=True, kw_only=True):
    """A saved file; `extra_info` of its benchmarks is decoded as far as the reader wants it."""

    benchmarks: list[SavedBenchmark[ExtraInfo]]
    datetime: DateTime
    machine_info: MachineInfo = MachineInfo()
    commit_info: Commit = Commit()


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
    earlier_pairs: int = 0
    budget_s: float | None = None

    @property
    def name(self) -> str:
        """The number as pytest-benchmark writes it, or the name of the file."""
        return self.path.name if self.number is None else f"{self.number:04}"

    @property
    def machine(self) -> str:
        """The machine in a few words."""
        return machine_name(self.fingerprint)
