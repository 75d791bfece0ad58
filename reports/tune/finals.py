"""The winner against the ladder's best and OpenVINO's benchmark_app, in turns, in one run."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from fixtures.bench.rig import ServingError
from fixtures.bench.turns import Plan
from fixtures.steps.optimizations import catalogue
from fixtures.steps.recipe import Recipe
from reports.commands.measuring import Bench
from reports.saved.record import Gain, Measurement
from reports.statistics import DISTURBED
from reports.statistics.moderated import Effect, spread
from reports.statistics.moderated import gain as moderated_gain
from reports.tune.benchmark_app import AppRun, BenchmarkAppError, command, run
from reports.tune.measure import measure


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """What the winner was measured against: its throughputs, one for each pair, and the winner's over it."""

    name: str
    samples_per_second: tuple[float, ...]
    latency_p99_s: float | None
    gain: Gain
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
    app_seconds: int,
    say: Callable[[str], None],
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
    app_runs: list[AppRun | None] = []  # by pair, None where it failed

    def benchmark_app() -> None:
        if app_model is None or len(app_runs) >= pairs:
            return
        say(f"benchmark_app, {app_seconds} s")
        try:
            app_runs.append(run(app_model, app_seconds, bench.rig.launcher.environment))
        except BenchmarkAppError as error:
            app_runs.append(None)
            notes.append(str(error))

    own = replace(winner, over=over.step.name if over else None)
    record = measure(bench, own, over, Plan(pairs=pairs, budget_s=3.0, warmup_limit_s=bench.rig.warmup_limit_s), benchmark_app)
    own_sps = [record.samples_per_round / pair.own_median_s for pair in record.pairs]
    rivals = []
    if over is not None and record.over_samples_per_round is not None and record.gain is not None:
        over_sps = tuple(record.over_samples_per_round / pair.over_median_s for pair in record.pairs if pair.over_median_s is not None)
        name = f"ladder's best: {over.step.name}"
        rivals.append(Finalist(name=name, samples_per_second=over_sps, latency_p99_s=None, gain=record.gain))
    in_turns = [(one, each) for one, each in zip(own_sps, app_runs, strict=False) if each is not None]
    if in_turns and app_model is not None:
        gain = over_app([(one, each.samples_per_second) for one, each in in_turns])
        rivals.append(
            Finalist(
                name=f"benchmark_app -hint throughput ({'int8' if int8 else 'fp32'} model, batch {batch_size})",
                samples_per_second=tuple(each.samples_per_second for _, each in in_turns),
                latency_p99_s=max((each.latency_p99_s for _, each in in_turns if each.latency_p99_s is not None), default=None),
                gain=msgspec.structs.replace(gain, verdict=DISTURBED) if record.disturbed else gain,
                note=" ".join(command(app_model, app_seconds)[3:]),
            )
        )
    return Finals(record=record, rivals=tuple(rivals), notes=tuple(notes))


def over_app(sps: Sequence[tuple[float, float]]) -> Gain:
    """Return the winner's throughput over benchmark_app's, given both of each pair.

    benchmark_app does not take turns round by round, so all that tells how far such a pair is off is what processes differ by.
    """
    effects = [Effect(log_ratio=math.log(own / app), variance=0.0, freedom=1) for own, app in sps]
    return moderated_gain(effects, spread([effects]))


def _same(bench: Bench, one: Recipe, other: Recipe) -> bool:
    """Whether two recipes ask their workers for the very same."""
    jobs = [bench.rig.job(recipe, bench.model) for recipe in (one, other)]
    return jobs[0] == jobs[1] and one.environment == other.environment


def _app_model(bench: Bench, batch_size: int, int8: bool, notes: list[str]) -> Any:
    """Return the OpenVINO model file of that batch size, or None with a note where there cannot be one."""
    step = "openvino_int8" if int8 else "openvino_fp32"
    if (skip := bench.rig.unmet(step, bench.model)) is not None:
        notes.append(f"no comparison with benchmark_app: {skip.reason} -> {skip.remedy}")
        return None
    recipe = bench.rig.recipe(step, bench.model, steps=catalogue(batch_size))
    try:
        _, artifact, _ = bench.rig.prepare(recipe, bench.model)
    except ServingError as error:
        notes.append(f"no comparison with benchmark_app: {str(error).splitlines()[0]}")
        return None
    return artifact.folder / "model.xml" if artifact else None
