"""The suite against the loop that a user would deploy: 10 s back to back, in a process of its own, for PyTorch, ONNX Runtime and OpenVINO.

On demand: `pytest benchmarks/test_agreement.py -m on_demand`. The throughput that the suite records from rested turns beside a partner must
be the loop's, within the interval over pairs and `TOLERANCE`. The figure is `extra_info["gain"]`: the suite's throughput over the loop's.
"""

import subprocess
import sys
from dataclasses import asdict

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fixtures.bench.launch import ROOT
from fixtures.bench.rig import Rig, Serving
from fixtures.bench.turns import PairedMeasurement, Plan
from fixtures.measure import clock
from fixtures.models import model_id
from fixtures.protocol import ModelSpec
from fixtures.session.options import read_options
from reports.saved.record import Gain
from reports.statistics import paired_gain

SUSTAINED_S = 10.0
TOLERANCE = 0.03
LIMIT_S = 600.0
STEPS = (
    "baseline",
    "bf16_autocast",
    "compile",
    "compile_freezing",
    "aot_inductor",
    "pt2e_int8",
    "onnxruntime",
    "onnxruntime_int8",
    "openvino_fp32",
    "openvino",
    "openvino_int8",
    "openvino_throughput",
)


@pytest.mark.on_demand
@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("agreeing", STEPS)
def test_agreement(benchmark: BenchmarkFixture, environment: Rig, model: ModelSpec, agreeing: str, pytestconfig: pytest.Config) -> None:
    """Measure a step as the suite does, and by the plain loop, pair by pair."""
    skip = environment.unmet(agreeing, model)
    if skip is not None:
        pytest.skip(f"{skip.reason} -> {skip.remedy}")
    plan = read_options(pytestconfig).plan
    suite, loop = zip(*[_pair(environment, model, agreeing, plan) for _ in range(plan.pairs)], strict=True)
    found = agreement(suite, loop)
    benchmark.extra_info.update(
        agreement_of=f"{model_id(model.name)} {agreeing}",
        gain=asdict(found) | {"over": "a plain loop"},
        pairs=[{"own_samples_per_second": own, "loop_samples_per_second": plain} for own, plain in zip(suite, loop, strict=True)],
    )
    interval = "" if found.low is None or found.high is None else f" [{found.low:.4f}, {found.high:.4f}]"
    summary = f"{model_id(model.name)} {agreeing}: suite's throughput / plain loop's = {found.ratio:.4f}{interval} over {len(loop)} pairs"
    benchmark.extra_info["summary"] = summary
    assert agrees(found), summary
    _keep(benchmark, [1 / each for each in suite])


def agreement(suite: tuple[float, ...], loop: tuple[float, ...]) -> Gain:
    """Return the suite's throughput over the loop's, with its interval over pairs."""
    return paired_gain([1 / each for each in suite], [1 / each for each in loop])


def agrees(found: Gain) -> bool:
    """Whether the interval, or the ratio of a single pair, reaches within the tolerance of 1."""
    low, high = (found.ratio if end is None else end for end in (found.low, found.high))
    return low <= 1 + TOLERANCE and high >= 1 - TOLERANCE


def _pair(rig: Rig, model: ModelSpec, step: str, plan: Plan) -> tuple[float, float]:
    """Return the samples per second that the suite records from fresh processes, and those of the loop in another fresh one."""
    recipe = rig.recipe(step, model)
    over = rig.recipe(recipe.over, model) if recipe.over else None
    measurement = PairedMeasurement(rig, recipe, over, model, Plan(pairs=1, budget_s=plan.budget_s, warmup_limit_s=plan.warmup_limit_s))
    measurement.measure()
    return measurement.own.samples_per_second, sustained(rig, measurement.first)


def sustained(rig: Rig, serving: Serving) -> float:
    """Return the samples per second of the plain loop, with the recipe's own artifact, settings and variables."""
    job = serving.job
    if job.runtime == "onnxruntime" and "int8" in job.precision:
        from fixtures.runtimes.onnxruntime import INT8_SETTINGS

        job = msgspec.structs.replace(job, settings=INT8_SETTINGS | job.settings)
    artifact = str(serving.artifact.folder) if serving.artifact else ""
    done = subprocess.run(  # noqa: S603 - the loop beside this file
        [sys.executable, "-m", "benchmarks.plain_loop", msgspec.json.encode(job).decode(), artifact],
        cwd=ROOT,
        env=dict(rig.launcher.environment) | dict(serving.recipe.environment),
        input=f"{SUSTAINED_S}\n",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the plain loop of {serving.recipe.step.name} ended with status {done.returncode}: {done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def _keep(benchmark: BenchmarkFixture, iterations_s: list[float]) -> None:
    """Let pytest-benchmark keep what the suite measured, in seconds per sample."""
    left = iter(iterations_s)

    def next_one() -> None:
        clock.now_s += next(left)

    benchmark.pedantic(next_one, rounds=len(iterations_s))
