"""Training steps: what is proved of them, and that each claim fails where it is broken. Small models, real processes.

What needs PyTorch/XLA runs in its environment only: `tox -e xla -- tests/training/test_training.py`.
"""

import math
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fixtures import protocol
from fixtures.bench.launch import WorkerError
from fixtures.bench.rig import Serving
from fixtures.bench.turns import PairedMeasurement, Plan, take_turn
from fixtures.machine import devices
from fixtures.protocol import Job, ModelSpec, Observations
from fixtures.steps.evidence import Claim, Proof
from fixtures.steps.optimizations import catalogue, families
from fixtures.steps.recipe import resolve, unmet
from fixtures.training import training_claims as train
from fixtures.worker import WorkerService
from reports.text.image_shape import square
from tests import checkouts
from tests.conftest import MakeRig, skip_unless_met
from tests.machines import X86
from tests.processes import program
from tests.steps.test_broken_steps import recipe, refused_as
from tests.steps.test_broken_steps import refused as refused_by
from tests.steps.test_evidence import EXACT

VIT = ModelSpec(name="timm:test_vit", image=square(32))
refused = partial(refused_by, model=VIT)


def observed(serving: Serving, subject: str) -> str:
    """What was observed of the claim on `subject`."""
    claim = next(claim for claim in serving.recipe.claims if claim.subject == subject)
    return next(item.observed for item in serving.evidence if item.claim == claim.text)


def proof(*ranks: Observations, workers: int = 1, runtime: str = "xla_training", error: float = 0.0) -> Proof:
    job = Job(model=VIT, runtime=runtime, precision="fp32", batch_size=8, threads=1, workers=workers)
    return Proof(job=job, ranks=ranks, agreement=replace(EXACT, relative_error=error))


def holds(claim: Claim, *ranks: Observations, **of: Any) -> bool:
    return claim.check(proof(*ranks, **of))[0] is True


def test_one_world_is_two_ranks_that_see_each_other() -> None:
    """A world size that is right and a sum that does not arrive is as wrong as two worlds of one."""
    together = Observations(settings={"world_size": "2", "sum_over_ranks": "3"})
    alone = Observations(settings={"world_size": "1", "sum_over_ranks": "1"})
    deaf = Observations(settings={"world_size": "2", "sum_over_ranks": "1"})

    assert holds(train.one_world(), together, together, workers=2)
    assert holds(train.one_world(), alone)
    assert not holds(train.one_world(), alone, alone, workers=2)
    assert not holds(train.one_world(), together, deaf, workers=2)
    assert "2 ranks train 2 separate worlds" in train.one_world().check(proof(alone, alone, workers=2))[1]


def test_loss_must_follow_and_fall() -> None:
    """A loss that stays is no training, however near it is to the reference's; NaN neither follows nor falls."""
    falls, stays = ({"first_loss": "7.0", "last_loss": last} for last in ("6.0", "7.0"))
    claim = train.loss_follows(0.01)

    assert holds(claim, Observations(settings=falls), error=0.009)
    assert not holds(claim, Observations(settings=falls), error=0.011)
    assert not holds(claim, Observations(settings=stays))
    assert not holds(claim, Observations(settings=falls | {"last_loss": "nan"}))
    assert not holds(claim, Observations(settings=falls), error=math.nan)
    assert not holds(claim, Observations())


def test_graph_is_in_a_precision_if_most_of_its_products_are() -> None:
    """Autocast leaves some products in f32; a graph that shows none proves nothing."""
    mostly = Observations(counters={"hlo_bf16": 30, "hlo_f32": 2, "compiled_while_proved": 0})

    assert holds(train.graph_in("bf16"), mostly)
    assert not holds(train.graph_in("f32"), mostly)
    assert not holds(train.graph_in("bf16"), Observations(counters={"compiled_while_proved": 7}))


def test_nothing_compiled_is_counted_not_assumed() -> None:
    assert holds(train.nothing_compiled(), Observations(counters={"compiled_while_proved": 0}))
    assert not holds(train.nothing_compiled(), Observations(counters={"compiled_while_proved": 1}))
    assert not holds(train.nothing_compiled(), Observations())


def test_steps_in_an_execution_are_those_that_the_device_was_given() -> None:
    """Whatever the loader was asked for."""
    for counted, shown in (
        ({"steps": 20, "executions": 2}, True),
        ({"steps": 20, "executions": 20}, False),
        ({"steps": 20}, False),
        ({}, False),
    ):
        assert shown == holds(train.loads_ahead(10), Observations(counters=counted))


def test_device_that_there_is_must_be_the_one_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an instance with NeuronCores training on its CPU is refused."""
    cpu = Observations(settings={"device": "CPU", "parameters_on": "xla"})
    claim = train.device_in_force()

    assert holds(claim, cpu)
    assert not holds(claim, Observations(settings={"device": "CPU", "parameters_on": "cpu"}))
    monkeypatch.setattr(devices, "neuron_cores", lambda: 2)  # which xla_device asks
    assert not holds(claim, cpu)
    assert holds(claim, Observations(settings={"device": "NEURON", "parameters_on": "xla"}))


def test_neuron_cores_are_those_that_the_driver_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's `neuron-ls` counts them; without a device file nobody is asked."""
    program(tmp_path / "neuron-ls", '#!/bin/sh\necho \'[{"nc_count": 2}, {"nc_count": 2}]\'\n')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("NEURON_RT_NUM_CORES", raising=False)
    found = devices.neuron_cores.__wrapped__

    assert 0 == found()
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([Path("/dev/neuron0"), Path("/dev/neuron1")]))
    assert 4 == found()


@pytest.mark.parametrize("step", ["neuron_cast_bf16", "neuron_cast_fp8", "neuron_model_type_optlevel", "train_compile_neuron"])
def test_neuron_steps_are_skipped_with_reason_and_remedy(step: str) -> None:
    """Where there is no such device; the first thing that is missing is named."""
    if devices.neuron_cores():
        pytest.skip("this machine has a Neuron device -> run where there is none")
    skip = unmet(catalogue()[step], X86)

    assert skip is not None
    assert "torch_xla is not installed" in skip.reason or "no Neuron device" in skip.reason
    assert skip.remedy


def test_training_families_have_the_steps_of_the_guide() -> None:
    """Names that docs and saved runs refer to."""
    xla = ["baseline", "dataloader_workers", "batch_size", "autocast_bf16", "use_bf16", "bf16", "device_loader", "compile"]
    neuron = ["cast_bf16", "cast_fp8", "model_type_optlevel"]
    found = families()

    assert [*(f"xla_{name}" for name in xla), *(f"neuron_{name}" for name in neuron)] == list(found["xla_training"])
    assert "train_compile_neuron" in found["cpu_training"]


class Compiling:
    """A session that compiles something whenever it infers."""

    def __init__(self) -> None:
        self.compiled = 0

    def compilations(self) -> int:
        return self.compiled

    def restore(self, placed: object) -> None: ...

    def infer(self, placed: object) -> None:
        self.compiled += 1


def test_turn_in_which_something_was_compiled_is_no_measurement() -> None:
    """The worker refuses it, so the step fails and leaves no record."""
    server = WorkerService(0)
    server._session = Compiling()  # type: ignore[assignment]

    with pytest.raises(RuntimeError, match="3 graphs were compiled while being timed"):
        server.answer(protocol.Turn(iterations=3, untimed=0))


def test_samples_of_an_iteration_count_every_step_of_it() -> None:
    """Ten steps handed over at once are ten batches."""
    job = proof().job

    assert 1 == job.steps_per_iteration
    assert 10 == msgspec.structs.replace(job, settings={"batches_per_execution": "10"}).steps_per_iteration


@pytest.mark.nightly
def test_training_is_measured_in_turns(make_rig: MakeRig) -> None:
    """The loader's process takes turns with the training process that loads for itself, and both follow the reference."""
    rig = make_rig()
    own, over = (resolve(step, rig.catalogue, rig.machine) for step in ("train_dataloader_workers", "train_baseline"))
    measurement = PairedMeasurement(rig, own, over, VIT, Plan(pairs=1, budget_s=0.1, warmup_limit_s=0.0))
    try:
        measurement.open()
        for _ in range(2):
            measurement.before()
            measurement.run()
            measurement.after()
        assert measurement.over is not None
        assert (2, 2) == (len(measurement.own.rounds), len(measurement.over.rounds))
        assert 16 == measurement.own.samples_per_round
        assert "1 loader processes" == observed(measurement.first, "loader")
        assert "cpu (parameters on cpu)" == observed(measurement.first, "device")
    finally:
        measurement.close()


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("step", "changes", "said"),
    [
        ("train_dataloader_workers", {"transforms": ()}, "1 process(es) of their own load the data: 0 loader processes"),
        ("train_baseline", {"worker_per_core": True}, "2 ranks train 2 separate worlds"),
    ],
    ids=["no loader", "two worlds"],
)
def test_training_step_without_what_it_changes(make_rig: MakeRig, step: str, changes: dict[str, Any], said: str) -> None:
    """A step that is broken on purpose is refused by its own claim."""
    skip_unless_met("workers_pinned")
    rig = replace(make_rig(), threads=2)

    assert said in refused(rig, recipe(rig, step, **changes))


def test_bf16_that_does_not_reach_the_kernels_is_refused(make_rig: MakeRig) -> None:
    skip_unless_met("train_autocast_bf16")
    rig = make_rig()

    assert "training computes in bf16: f32" in refused(rig, recipe(rig, "train_autocast_bf16", transforms=()))


@pytest.mark.nightly
def test_training_that_learns_something_else_is_refused(make_rig: MakeRig, tmp_path: Path) -> None:
    """A trainer whose optimizer never steps: same model, same data, and the loss stays where it was."""
    root = checkouts.changed(tmp_path, "fixtures/training/training_session.py", "self._optimizer.step()", "pass")
    honest = make_rig()
    job = honest.job(recipe(honest, "train_baseline"), VIT)
    honest.reference_losses(job, 160)  # by the honest trainer, into the cache that both share
    rig = make_rig(root=root)

    assert "the loss follows fp32 eager's to within 1%, and falls: losses differ by at most" in refused(rig, recipe(rig, "train_baseline"))


def needs_xla() -> None:
    try:
        version("torch_xla")
    except PackageNotFoundError:
        pytest.skip("torch_xla is not installed here -> tox -e xla -- tests/training/test_training.py")


@pytest.mark.parametrize(
    ("step", "changes", "said"),
    [
        ("xla_baseline", {"worker_per_core": True}, "2 ranks train 2 separate worlds"),
        ("xla_use_bf16", {"environment": {}}, "matrix products and convolutions of the HLO are bf16 (most of them): f32"),
        ("xla_autocast_bf16", {"transforms": ()}, "f32"),
        ("xla_device_loader", {"settings": {}, "claims": (train.loads_ahead(3),)}, "2 steps in 2 executions"),
    ],
    ids=[
        "ranks that do not know of each other",
        "a variable that never reached the process",
        "autocast for another device",
        "a loader that hands over each step",
    ],
)
def test_xla_step_without_what_it_changes(make_rig: MakeRig, step: str, changes: dict[str, Any], said: str) -> None:
    """The worlds and the graph show it."""
    needs_xla()
    rig = replace(make_rig(), threads=2)

    assert said in refused(rig, recipe(rig, step, **changes))


def test_steps_that_run_operator_by_operator_are_not_timed(make_rig: MakeRig) -> None:
    """Nothing is compiled there, nor counted; the loader's setting stays."""
    needs_xla()
    broken = recipe(rig := make_rig(), "xla_device_loader", environment={"XLA_USE_EAGER_DEBUG_MODE": "1"})

    assert "PyTorch/XLA counts no compilation (CompileTime)" in refused_as(rig, broken, WorkerError, VIT)


@pytest.mark.parametrize("step", ["xla_baseline", "xla_bf16", "xla_use_bf16"])
def test_xla_step_is_proved_on_the_cpu(make_rig: MakeRig, step: str) -> None:
    """Device, graph and losses of a real process."""
    needs_xla()
    rig = make_rig()
    [serving] = rig.serve(resolve(step, rig.catalogue, rig.machine), model=VIT)
    with serving.workers:
        assert "CPU (parameters on xla)" in observed(serving, "device")
        assert "0 graphs compiled in further steps" == observed(serving, "compilation")


def test_device_loader_hands_over_whole_executions(make_rig: MakeRig) -> None:
    """Here three steps at once (ten compile for minutes on a CPU): every iteration ends with an execution, so no turn compiles another."""
    needs_xla()
    rig = make_rig()
    three = recipe(rig, "xla_device_loader", settings={"batches_per_execution": "3"}, claims=(train.loads_ahead(3),))
    [serving] = rig.serve(three, model=VIT)
    with serving.workers:
        assert "6 steps in 2 executions" == observed(serving, "execution")
        turns = [take_turn(serving, iterations, untimed=1) for iterations in (1, 2, 4)]
    assert [1, 2, 4] == [len(turn.latencies_s) for turn in turns]
