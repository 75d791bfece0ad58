"""Workers that wait for later steps of a quick run."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.bench.rig import Rig
from fixtures.bench.standby import Standby
from fixtures.bench.turns import PairedMeasurement, Plan
from fixtures.protocol import ModelSpec
from fixtures.steps.recipe import resolve
from reports.text.image_shape import square
from tests.conftest import MakeRig

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))
OTHER_SIZE = ModelSpec(name="torchvision:resnet18", image=square(96))
PLAN = Plan(pairs=1, budget_s=0.05, warmup_limit_s=0.0)


@pytest.fixture
def rig(make_rig: MakeRig) -> Iterator[Rig]:
    rig = replace(make_rig(), standby=Standby({"baseline": 2}))
    yield rig
    rig.standby.close()


def measured(rig: Rig, step: str, model: ModelSpec = RESNET) -> dict[str, int]:
    """Measure `step` in one pair; return the process id of each side."""
    recipe = resolve(step, rig.catalogue, rig.machine)
    over = resolve(recipe.over, rig.catalogue, rig.machine) if recipe.over else None
    measurement = PairedMeasurement(rig, recipe, over, model, PLAN)
    try:
        measurement.open()
        pids = {serving.recipe.step.name: serving.workers._pids[0] for serving in measurement._serving}
        for _ in range(measurement.rounds):
            measurement.before()
            measurement.run()
            measurement.after()
        measurement.finish()
        assert [measurement.rounds_per_pair] == [len(drawn) for drawn in measurement.own_first]
        assert 1 == len(measurement.own.processes) == len(measurement.started_first)
    finally:
        measurement.close()
    return pids


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.nightly
def test_predecessor_that_waits_is_taken_over(rig: Rig) -> None:
    """The baseline of a quick run starts once; the other side of each pair is fresh and ends with it."""
    baseline = measured(rig, "baseline")["baseline"]
    first, second = measured(rig, "batch_2"), measured(rig, "batch_4")

    assert {baseline} == {first["baseline"], second["baseline"]}
    assert running(baseline)
    assert not running(first["batch_2"])
    rig.standby.close()
    assert not running(baseline)


@pytest.mark.nightly
def test_worker_that_died_while_it_waited_is_replaced(rig: Rig) -> None:
    """What happened to a waiting worker is no fault of the step that would have used it."""
    baseline = measured(rig, "baseline")["baseline"]
    os.kill(baseline, signal.SIGKILL)
    os.waitid(os.P_PID, baseline, os.WEXITED | os.WNOWAIT)

    assert baseline != measured(rig, "batch_2")["baseline"]


@pytest.mark.nightly
def test_workers_of_another_model_do_not_wait_any_longer(rig: Rig) -> None:
    """At most one model's workers are in memory."""
    baseline = measured(rig, "baseline")["baseline"]
    other = measured(rig, "baseline", OTHER_SIZE)["baseline"]

    assert not running(baseline)
    assert running(other)


@pytest.mark.slow
def test_failure_ends_all_workers(rig: Rig) -> None:
    """A measurement that does not finish leaves nothing behind to wait."""
    recipe = resolve("baseline", rig.catalogue, rig.machine)
    measurement = PairedMeasurement(rig, recipe, None, RESNET, PLAN)
    measurement.open()
    pid = measurement.first.workers._pids[0]
    measurement.close()

    assert not running(pid)
    assert rig.standby.take(recipe, RESNET) is None


def test_the_workers_that_fewest_steps_still_build_on_make_room() -> None:
    """Three of four may wait: not the one that has waited longest ends, as more steps may build on it than on the others."""
    ended: list[str] = []

    def serving(name: str) -> Any:
        step = SimpleNamespace(name=name)
        workers = SimpleNamespace(are_running=True, close=lambda: ended.append(name))
        return SimpleNamespace(recipe=SimpleNamespace(step=step), job=SimpleNamespace(model=RESNET), workers=workers)

    standby = Standby({"eager": 3, "static": 1, "compile": 2, "bf16": 1})
    eager, static, compiled, bf16 = (serving(name) for name in ("eager", "static", "compile", "bf16"))
    standby.leave(eager)
    for over, own in ((eager, static), (static, compiled), (compiled, bf16)):
        waited: Any = standby.take(over.recipe, RESNET)
        assert over is waited
        standby.leave(over)
        standby.leave(own)

    assert ["static"] == ended
