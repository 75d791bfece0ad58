"""The suite against a plain timed loop: both time the same model in turns, and should agree to within 1 %.

On demand: `pytest benchmarks/test_agreement.py -m on_demand`. The figure is `extra_info["gain"]`: plain loop's latency over the suite's.
"""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.launch import ROOT
from fixtures.measure import clock
from fixtures.models import model_id
from fixtures.options import read_options
from fixtures.protocol import ModelSpec
from fixtures.recipe import resolve
from fixtures.rig import Rig
from fixtures.turns import Plan, take_turn
from reports.statistics import Gain, paired_gain

WARM_UP_ITERATIONS = 10
UNTIMED, TIMED = 1, 3


@pytest.mark.on_demand
@pytest.mark.benchmark(timer=clock)
def test_agreement(benchmark: BenchmarkFixture, environment: Rig, model: ModelSpec, pytestconfig: pytest.Config) -> None:
    """Time the baseline by the suite's worker and by the plain loop, pair by pair."""
    plan = read_options(pytestconfig).plan
    pairs = [_pair(benchmark if last else None, environment, model, plan) for last in (*[False] * (plan.pairs - 1), True)]
    own, plain = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    gain: Gain = paired_gain(own, plain, own_samples=1, over_samples=1)
    benchmark.extra_info.update(
        agreement_of=model_id(model.name),
        gain=asdict(gain) | {"over": "a plain loop"},
        pairs=[{"own_median_s": a, "over_median_s": b} for a, b in pairs],
    )
    interval = "" if gain.low is None or gain.high is None else f" [{gain.low:.4f}, {gain.high:.4f}]"
    benchmark.extra_info["summary"] = (
        f"{model_id(model.name)}: plain loop's latency / suite's latency = {gain.ratio:.4f}{interval} over {len(pairs)} pairs"
    )


def _pair(benchmark: BenchmarkFixture | None, rig: Rig, model: ModelSpec, plan: Plan) -> tuple[float, float]:
    """Return the median iteration of the suite's worker and of the plain loop, in seconds, from fresh processes of each."""
    recipe = resolve("baseline", rig.catalogue, rig.machine)
    [serving] = rig.serve(recipe, model=model)
    with serving.workers, _plain_loop(rig, model) as plain:
        own_s: list[float] = []
        plain_s: list[float] = []
        rounds = max(10, min(60, round(plan.budget_s * 2 / serving.iteration_s / (UNTIMED + 1))))

        def own_turn() -> None:
            plain.wait_until_still()
            own_s.append(take_turn(serving, 1).iteration_s)

        def plain_turn() -> None:
            serving.workers.wait_until_still()
            plain_s.extend(plain.run(UNTIMED + TIMED)[UNTIMED:])

        def one_round() -> None:
            for turn in random.sample((own_turn, plain_turn), 2):
                turn()
            clock.now_s += own_s[-1]

        if benchmark is not None:
            benchmark.pedantic(one_round, rounds=rounds)
        else:
            for _ in range(rounds):
                one_round()
    return statistics.median(own_s), statistics.median(plain_s)


class _PlainLoop:
    """The other process, warmed up."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.run(WARM_UP_ITERATIONS)

    def run(self, iterations: int) -> list[float]:
        """Let it run `iterations` and return their durations in seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{iterations}\n")
        self._process.stdin.flush()
        durations_s: list[float] = json.loads(self._process.stdout.readline())
        return durations_s

    def wait_until_still(self) -> None:
        """Return once its CPU time stands still."""
        clock_id = (~self._process.pid << 3) | 2
        before_s, now_s = -1.0, time.clock_gettime(clock_id)
        while now_s - before_s > 5e-5:
            time.sleep(0.001)
            before_s, now_s = now_s, time.clock_gettime(clock_id)


@contextmanager
def _plain_loop(rig: Rig, model: ModelSpec) -> Iterator[_PlainLoop]:
    arguments = [model.name, "1", str(model.image_size), str(rig.threads)]
    with subprocess.Popen(  # noqa: S603 - the loop beside this file
        [sys.executable, "-m", "benchmarks.plain_loop", *arguments],
        cwd=ROOT,
        env=dict(rig.launcher.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _PlainLoop(process)
        finally:
            process.kill()
