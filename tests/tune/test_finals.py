"""What the finals make of their pairs: intervals also of one, and each run of benchmark_app beside the pair that it stood in."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.steps.optimizations import catalogue
from fixtures.steps.recipe import Recipe
from reports.tune import finals
from reports.tune.benchmark_app import AppRun, BenchmarkAppError
from reports.tune.finals import Finals, hold_finals, over_app
from tests.reports.saved_runs import measurement


def test_one_pair_with_benchmark_app_has_an_interval() -> None:
    """Processes of the same code differ by 7 %: 3 % more is not told from nothing, twice as much is; three pairs tell more than one."""
    alike, far, three = over_app([(206.0, 200.0)]), over_app([(400.0, 200.0)]), over_app([(206.0, 200.0)] * 3)

    assert 1.03 == pytest.approx(alike.ratio)
    assert "not resolved" in alike.verdict
    assert "faster" == far.verdict
    assert None not in (alike.low, alike.high, three.low, three.high)
    assert (three.high or 0) / (three.low or 1) < (alike.high or 0) / (alike.low or 1)


def held(monkeypatch: pytest.MonkeyPatch, medians_s: tuple[float, ...], runs: list[AppRun | BenchmarkAppError]) -> Finals:
    """Hold finals whose pairs have these medians, with a run of benchmark_app after each; no process is started."""
    bench: Any = SimpleNamespace(rig=SimpleNamespace(launcher=SimpleNamespace(environment={}), warmup_limit_s=1.0))

    def measure(_bench: object, own: Recipe, over: Recipe | None, _plan: object, after_pair: Callable[[], None]) -> Any:
        for _ in medians_s:
            after_pair()
        assert own.over == (over.step.name if over else None)
        return measurement("batch_8", medians_s=medians_s, over="baseline", over_medians_s=[0.12] * len(medians_s))

    def run(*_arguments: object) -> AppRun:
        found = runs.pop(0)
        if isinstance(found, BenchmarkAppError):
            raise found
        return found

    monkeypatch.setattr(finals, "measure", measure)
    monkeypatch.setattr(finals, "run", run)
    monkeypatch.setattr(finals, "_app_model", lambda *_: Path("model.xml"))
    monkeypatch.setattr(finals, "_same", lambda *_: False)
    steps = catalogue()
    winner, best = (Recipe(steps=(steps[name],), over=None, left_out=()) for name in ("batch_8", "baseline"))
    return hold_finals(bench, winner, best, batch_size=8, int8=False, pairs=len(medians_s), app_seconds=3, say=lambda _text: None)


def test_a_run_that_failed_leaves_the_others_beside_their_own_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 samples per second in the first pair, 100 in the second, whose run of benchmark_app alone gave a figure: 100."""
    found = held(monkeypatch, (0.1, 0.08), [BenchmarkAppError("killed"), AppRun(samples_per_second=100.0, latency_p99_s=None)])

    [best, app] = found.rivals
    assert ("ladder's best: baseline", found.record.gain) == (best.name, best.gain)
    assert 1.0 == pytest.approx(app.gain.ratio)
    assert (100.0,) == app.samples_per_second
    assert ("killed",) == found.notes
