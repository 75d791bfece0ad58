"""The winner against the ladder's best and OpenVINO's benchmark_app, in turns, in one run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from fixtures.bench.rig import ServingError
from fixtures.bench.turns import Plan
from fixtures.steps.recipe import Recipe
from reports.commands.measuring import Bench
from reports.saved.record import Gain, Measurement
from reports.statistics import DISTURBED, paired_gain
from reports.tune.benchmark_app import AppRun, BenchmarkAppError, command, run
from reports.tune.measure import measure

APP_SECONDS = 10
LEAST_APP_SECONDS = 3
MOST_PAIRS = 3


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """What the winner was measured against: its throughputs, one for each pair, and the winner's over it."""

    name: str
    samples_per_second: tuple[float, ...]
    latency_p99_s: float | None
    gain: Gain
    keeps_limits: bool | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Finals:
    """The winner's record from these pairs, and its rivals."""

    record: Measurement
    rivals: tuple[Finalist, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"step": self.record.step, "rivals": msgspec.to_builtins(self.rivals), "notes": list(self.notes)}


def hold_finals(
    bench: Bench,
    winner: Recipe,
    ladder_best: Recipe | None,
    *,
    batch_size: int,
    int8: bool,
    pairs: int,
    app_seconds: int = APP_SECONDS,
    say: Callable[[str], None] = lambda _text: None,
) -> Finals:
    """Measure the winner in `pairs` pairs of fresh processes. Raises ServingError, WorkerError for the winner's own failure.

    In each pair winner and ladder's best take turns, round by round; then, while both stand still, benchmark_app has its turn on the
    OpenVINO model of the same batch size, quantized where `int8` allows it.
    """
    notes: list[str] = []
    same = ladder_best is not None and _same(bench, winner, ladder_best)
    over = None if ladder_best is None or same else ladder_best
    if same:
        notes.append("the winner is the ladder's best recipe")
    app_model = _app_model(bench, batch_size, int8, notes)
    app_runs: list[AppRun] = []

    def benchmark_app() -> None:
        if app_model is None or len(app_runs) >= pairs:
            return
        say(f"benchmark_app, {app_seconds} s")
        try:
            app_runs.append(run(app_model, app_seconds, bench.rig.launcher.environment))
        except BenchmarkAppError as error:
            notes.append(str(error))

    own = replace(winner, over=over.step.name if over else None)
    record = measure(bench, own, over, Plan(pairs=pairs, budget_s=3.0, warmup_limit_s=bench.rig.warmup_limit_s), benchmark_app)
    own_sps = [record.samples_per_round / pair.own_median_s for pair in record.pairs]
    rivals = []
    if over is not None and record.over_samples_per_round is not None:
        over_sps = [record.over_samples_per_round / pair.over_median_s for pair in record.pairs if pair.over_median_s is not None]
        rivals.append(_rival(f"ladder's best: {over.step.name}", own_sps, over_sps, None, disturbed=record.disturbed))
    if app_runs and app_model is not None:
        app_sps = [each.samples_per_second for each in app_runs]
        percentiles = [each.latency_p99_s for each in app_runs if each.latency_p99_s is not None]
        name = f"benchmark_app -hint throughput ({'int8' if int8 else 'fp32'} model, batch {batch_size})"
        rivals.append(
            _rival(
                name,
                own_sps[: len(app_sps)],
                app_sps,
                max(percentiles, default=None),
                disturbed=record.disturbed,
                note=" ".join(command(app_model, app_seconds)[3:]),
            )
        )
    return Finals(record=record, rivals=tuple(rivals), notes=tuple(notes))


def _rival(name: str, own_sps: list[float], sps: list[float], p99_s: float | None, *, disturbed: bool, note: str = "") -> Finalist:
    gain = paired_gain([1 / each for each in own_sps], [1 / each for each in sps], own_samples=1, over_samples=1)
    if disturbed:
        gain = msgspec.structs.replace(gain, verdict=DISTURBED)
    return Finalist(name=name, samples_per_second=tuple(sps), latency_p99_s=p99_s, gain=gain, note=note)


def _same(bench: Bench, one: Recipe, other: Recipe) -> bool:
    """Whether two recipes ask their workers for the very same."""
    jobs = [bench.rig.job(recipe, bench.model) for recipe in (one, other)]
    return jobs[0] == jobs[1] and one.environment == other.environment


def _app_model(bench: Bench, batch_size: int, int8: bool, notes: list[str]) -> Any:
    """Return the OpenVINO model file of that batch size, or None with a note where there cannot be one."""
    from fixtures.steps.optimizations import catalogue

    step = "openvino_int8" if int8 else "openvino_fp32"
    steps = catalogue(batch_size)
    if (skip := bench.rig.unmet(step, bench.model)) is not None:
        notes.append(f"no comparison with benchmark_app: {skip.reason} -> {skip.remedy}")
        return None
    recipe = bench.rig.recipe(step, bench.model, steps=steps)
    try:
        _, artifact, _ = bench.rig.prepare(recipe, bench.model)
    except ServingError as error:
        notes.append(f"no comparison with benchmark_app: {str(error).splitlines()[0]}")
        return None
    return artifact.folder / "model.xml" if artifact else None
