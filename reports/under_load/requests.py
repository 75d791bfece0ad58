"""When requests arrive, and what their latencies amount to, by MLPerf's definitions. Pure.

Source: MLPerf Inference, LoadGen (github.com/mlcommons/inference/tree/master/loadgen): `loadgen.cc` for the schedule of the Server
scenario, `results.cc` for percentiles and throughput, `early_stopping.cc` for how many requests show a percentile.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reports.statistics.latency import MLPERF_CONFIDENCE, p99_high_s

Scenario = Literal["single-stream", "offline", "server"]
PERCENTILES = (0.5, 0.9, 0.99, 0.999)
NANOSECOND = 1e-9


def poisson_arrivals(rate: float, count: int, seed: int) -> np.ndarray:
    """Return `count` arrival times in seconds of a Poisson process of `rate` requests a second; the first arrives at 0.

    They are those that LoadGen schedules for the same `schedule_rng_seed`: gaps by inversion from the Mersenne Twister, in whole
    nanoseconds. The schedules of two rates differ in scale only, so that a higher rate never waits less.
    """
    draws = np.random.RandomState(seed).randint(0, 2**32, size=(count, 2), dtype=np.uint32).astype(np.float64)
    uniform = (draws[:, 0] + draws[:, 1] * 2.0**32) / 2.0**64
    gaps_ns = np.floor(-np.log1p(-uniform) / rate / NANOSECOND)
    arrivals: np.ndarray = np.concatenate([[0.0], np.cumsum(gaps_ns)[:-1]]) * NANOSECOND
    return arrivals


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedRequests:
    """Requests in order of arrival: when each arrived, began to be served and was complete, in seconds from the start."""

    arrivals_s: tuple[float, ...]
    begin_s: tuple[float, ...]
    end_s: tuple[float, ...]

    @property
    def latencies_s(self) -> list[float]:
        """The latency of each request, from the moment it was meant to arrive: time in the queue counts."""
        return [end - arrival for arrival, end in zip(self.arrivals_s, self.end_s, strict=True)]

    @property
    def service_s(self) -> list[float]:
        """How long each was worked on."""
        return [end - begin for begin, end in zip(self.begin_s, self.end_s, strict=True)]

    @property
    def duration_s(self) -> float:
        """From the start to the last completion."""
        return max(self.end_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadRun:
    """One run of a scenario, in requests; a request is one call of `batch_size` samples.

    `rate` is that which was asked for, None where requests did not arrive at random; `scheduled` what the draw made of it. `achieved`
    is the rate they were completed at: as in LoadGen, of n requests n - 1 in the time until the last one for arrivals at random, else n.
    `p99_high_s` is the least limit that LoadGen's early stopping takes for kept: where a p99 was over it, 99 % of runs of as many
    independent requests would have more of them over it. None where the requests are too few.
    """

    scenario: Scenario
    step: str
    workers: int
    threads: int
    batch_size: int
    rate: float | None
    requests: int
    duration_s: float
    achieved: float
    scheduled: float | None
    percentiles_s: dict[str, float]
    mean_s: float
    service_p50_s: float
    p99_high_s: float | None = None
    limit_s: float | None = None

    @property
    def samples_per_second(self) -> float:
        return self.achieved * self.batch_size

    @property
    def p99_s(self) -> float:
        return self.percentiles_s["p99"]

    @property
    def keeps_limit(self) -> bool | None:
        """Whether p99 is shown to be within the limit by MLPerf's early-stopping criterion; None where none was set."""
        return None if self.limit_s is None else self.p99_high_s is not None and self.p99_high_s <= self.limit_s

    @property
    def behind(self) -> bool:
        """Whether requests came faster than they could be served, so that the queue grew to the end.

        That the last ones are still worked on when no more arrive is no queue.
        """
        if self.scheduled is None:
            return False
        last_arrival_s = self.achieved * self.duration_s / self.scheduled
        return last_arrival_s < 0.95 * (self.duration_s - self.service_p50_s)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return MLPerf's percentile of sorted values: item floor(n * share), none of it interpolated."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def summarize(
    served: ServedRequests,
    *,
    scenario: Scenario,
    step: str,
    workers: int,
    threads: int,
    batch_size: int,
    rate: float | None = None,
    limit_s: float | None = None,
) -> LoadRun:
    """Return what one run amounts to. Raises ValueError for a run of no request."""
    latencies_s = served.service_s if scenario == "single-stream" else served.latencies_s
    if not latencies_s:
        raise ValueError("no request was served")
    ordered = sorted(latencies_s)
    counted = len(ordered) - 1 if scenario == "server" and len(ordered) > 1 else len(ordered)
    return LoadRun(
        scenario=scenario,
        step=step,
        workers=workers,
        threads=threads,
        batch_size=batch_size,
        rate=rate,
        requests=len(ordered),
        duration_s=served.duration_s,
        achieved=counted / served.duration_s,
        scheduled=counted / served.arrivals_s[-1] if scenario == "server" and served.arrivals_s[-1] > 0 else None,
        percentiles_s={f"p{100 * share:g}": percentile(ordered, share) for share in PERCENTILES},
        mean_s=math.fsum(ordered) / len(ordered),
        service_p50_s=percentile(sorted(served.service_s), 0.5),
        p99_high_s=p99_high_s(ordered, MLPERF_CONFIDENCE),
        limit_s=limit_s,
    )
