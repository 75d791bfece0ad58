"""Loads on one recipe: its workers proved first, then the scenario, and for a limit the highest rate that keeps it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fixtures.bench.rig import Serving, ServingError
from fixtures.steps.optimizations import Placement
from fixtures.steps.placement import place
from reports.commands.measuring import Bench, CannotMeasure
from reports.statistics.latency import MLPERF_CONFIDENCE, least_calls
from reports.under_load.requests import LoadRun, Scenario, ServedRequests, poisson_arrivals, summarize
from reports.under_load.search import highest_rate, median_run
from reports.under_load.serving import MOST_REQUESTS, send
from reports.views.recommend import NO_REQUESTS

LEAST_REQUESTS = 100
LEAST_REQUESTS_OF_LIMIT = least_calls(MLPERF_CONFIDENCE)  # with fewer no p99 is shown to keep any limit
CAPACITY_S = 3.0
GRACE_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to load a step with: a scenario for about `seconds`, at `rate`, or (with a limit alone) at the highest rate that keeps it."""

    scenario: Scenario
    step: str
    batch_size: int
    seconds: float
    rate: float | None
    limit_s: float | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class LoadSearch:
    """The load that was asked for, and how far the search for it went. `found` is None where no rate keeps the limit."""

    found: LoadRun | None
    trials: tuple[LoadRun, ...]
    findings: tuple[str, ...]


def run_load(bench: Bench, wish: Wish, workers: int | None, note: Callable[[LoadRun], None] = lambda _load: None) -> LoadSearch:
    """Serve the step in `workers` pinned workers (None: as its recipe has them), prove it, and load it. Raises CannotMeasure."""
    rig = bench.rig
    if wish.step not in rig.catalogue:
        raise CannotMeasure(f"unknown step {wish.step!r}: expected one of {', '.join(rig.catalogue)}")
    if (family := rig.catalogue[wish.step].family) in NO_REQUESTS:
        raise CannotMeasure(
            f"step {wish.step!r} is of the family {family}, which has no requests that could be sent one by one: load a step of another "
            "family, such as baseline or openvino_fp32 (docs/steps.md)"
        )
    if (skip := rig.unmet(wish.step, bench.model)) is not None:
        raise CannotMeasure(f"step {wish.step!r} does not apply here: {skip.reason} -> {skip.remedy}")
    recipe = rig.recipe(wish.step, bench.model)
    if any("asynchronous" in step.transforms for step in recipe.steps):
        raise CannotMeasure(
            f"step {wish.step!r} has a queue of its own, whose requests cannot be sent one by one: "
            f"load {recipe.steps[-2].name!r} with --workers"
        )
    if workers is not None:
        check_workers(workers, rig.threads)
        recipe = place(recipe, Placement(workers=workers, threads=rig.threads // workers))
    try:
        [serving] = rig.serve(recipe, model=bench.model)
    except ServingError as error:
        raise CannotMeasure(f"{error.step}: {str(error).splitlines()[0]}") from error
    with serving.workers:
        if wish.scenario == "single-stream" and serving.job.workers > 1:
            raise CannotMeasure(f"single-stream has one request at a time: {serving.job.workers} workers would wait; leave --workers at 1")
        runner = Runner(serving, wish, note)
        found = runner.run()
        return LoadSearch(
            found=found,
            trials=tuple(runner.trials),
            findings=serving.findings,
        )


def check_workers(workers: int, threads: int) -> None:
    """Raise CannotMeasure for more workers than CPUs."""
    if workers > threads:
        raise CannotMeasure(
            f"--workers {workers}: {threads} CPUs may be used, and every worker needs one of its own: ask for at most as many"
        )


class Runner:
    """Sends loads to one serving, and keeps what each amounted to."""

    def __init__(self, serving: Serving, wish: Wish, note: Callable[[LoadRun], None]) -> None:
        self._serving = serving
        self._wish = wish
        self._note = note
        self.trials: list[LoadRun] = []

    def run(self) -> LoadRun | None:
        """Run what was wished for. Raises CannotMeasure, WorkerError."""
        wish = self._wish
        if wish.scenario == "single-stream":
            return self._keep(self._send(self._count(1 / self._serving.iteration_s, wish.seconds, self._least), None))
        if wish.scenario == "offline":
            return self._keep(self._all_at_once(wish.seconds, self._least))
        if wish.rate is not None:
            return self.at_rate(wish.rate, wish.seed) if wish.limit_s is None else median_run(self.at_rate, wish.rate, wish.seed)
        at_once = self._keep(self._all_at_once(min(CAPACITY_S, wish.seconds), LEAST_REQUESTS), scenario="offline")
        return highest_rate(self.at_rate, at_once, wish.seed)

    def at_rate(self, rate: float, seed: int) -> LoadRun:
        """Run random arrivals at `rate` requests a second."""
        count = self._count(rate, self._wish.seconds, self._least)
        return self._keep(self._send(count, poisson_arrivals(rate, count, seed)), rate=rate)

    def _all_at_once(self, seconds: float, least: int) -> ServedRequests:
        count = self._count(self._serving.job.workers / self._serving.iteration_s, seconds, least)
        return self._send(count, np.zeros(count))

    @property
    def _least(self) -> int:
        return LEAST_REQUESTS if self._wish.limit_s is None else LEAST_REQUESTS_OF_LIMIT

    @staticmethod
    def _count(rate: float, seconds: float, least: int) -> int:
        return max(least, min(MOST_REQUESTS, math.ceil(rate * seconds)))

    def _send(self, count: int, arrivals_s: np.ndarray | None) -> ServedRequests:
        serving = self._serving
        longest_s = 10 * count * serving.iteration_s + (0.0 if arrivals_s is None else float(arrivals_s[-1]))
        return send(serving, requests=count, arrivals_s=arrivals_s, timeout_s=GRACE_S + longest_s)

    def _keep(self, served: ServedRequests, *, rate: float | None = None, scenario: Scenario | None = None) -> LoadRun:
        job, wish = self._serving.job, self._wish
        load = summarize(
            served,
            scenario=scenario or wish.scenario,
            step=wish.step,
            workers=job.workers,
            threads=job.threads,
            batch_size=job.batch_size,
            rate=rate,
            limit_s=wish.limit_s,
        )
        self.trials.append(load)
        self._note(load)
        return load
