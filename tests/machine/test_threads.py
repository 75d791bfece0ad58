"""The number of threads is proved by their work: settings that are in place prove nothing, and neighbours are no fault of the threads."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from fixtures.bench.launch import ROOT
from fixtures.bench.rig import Rig
from fixtures.machine import this_machine, thread_work
from fixtures.machine.thread_work import ThreadWork, watch
from fixtures.protocol import Job, ModelSpec
from fixtures.steps.evidence import threads_in_force
from fixtures.steps.recipe import Recipe
from reports.text.image_shape import square
from tests import checkouts
from tests.conftest import MakeRig, skip_unless_met
from tests.steps.test_broken_steps import recipe
from tests.steps.test_broken_steps import refused as refused_by
from tests.steps.test_evidence import of_two_threads, seen

RESNET = ModelSpec(name="torchvision:resnet18")
refused = partial(refused_by, model=RESNET)
TINY = ModelSpec(name="torchvision:squeezenet1_1", image=square(32))
ANYWHERE = [0, 1]


def work(*cpu_s: float, cpus: list[list[int]] | None = None, idle_s: float | None = None) -> ThreadWork:
    """What threads did within a second."""
    where = [ANYWHERE] * len(cpu_s) if cpus is None else cpus
    return ThreadWork(wall_s=1.0, process_cpu_s=sum(cpu_s), cpu_s=list(cpu_s), cpus=where, idle_s=idle_s)


ENOUGH: dict[str, tuple[ThreadWork, int]] = {
    "both": (work(1.0, 0.9, idle_s=0.1), 2),
    "one partly": (work(1.0, 0.4, idle_s=0.6), 2),
    "beside neighbours": (work(0.3, 0.28, idle_s=0.0), 2),
    "bound beside neighbours": (work(0.5, 0.5, cpus=[[0], [1]], idle_s=0.0), 2),
    "idle unknown": (work(1.0, 0.9), 2),
    "idle unknown beside neighbours": (work(0.4, 0.4), 2),
    "one": (work(1.0, cpus=[[1]], idle_s=0.0), 1),
    "one helper": (work(0.95, 0.9, 0.9, 0.02, cpus=[[*ANYWHERE, 2]] * 4, idle_s=0.3), 3),
    "one that hands out the work": (work(1.0, 0.95, 0.5, cpus=[[*ANYWHERE, 2]] * 3, idle_s=0.5), 2),
    "threads unknown": (replace(work(1.0, 0.9), cpu_s=[], cpus=[]), 2),
}


@pytest.mark.parametrize(("seen", "threads"), ENOUGH.values(), ids=ENOUGH)
def test_threads_that_work(seen: ThreadWork, threads: int) -> None:
    assert seen.judge(threads)[0], seen.judge(threads)[1]


def test_a_thread_that_waits_for_its_cpu_is_watched_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime whose threads take work from each other looks like one thread while neighbours hold the CPU of the other."""
    lengths: list[float] = []
    crowded, fair = work(0.4, cpus=[[0]], idle_s=0.0), work(0.4, 0.3, cpus=[[0], [1]], idle_s=0.0)

    def watched(_run: object, least_s: float) -> ThreadWork:
        lengths.append(least_s)
        return fair if len(lengths) == 3 else crowded

    monkeypatch.setattr(thread_work, "_watch_once", watched)

    assert watch(lambda: None, 2, least_s=0.3) == fair
    assert [0.3, 1.2, 4.8] == pytest.approx(lengths)


def test_threads_that_do_not_work_on_an_idle_machine_are_watched_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[float] = []

    def watched(_run: object, least_s: float) -> ThreadWork:
        lengths.append(least_s)
        return work(1.0, cpus=[[0]], idle_s=1.0)

    monkeypatch.setattr(thread_work, "_watch_once", watched)

    assert not watch(lambda: None, 2, least_s=0.3).judge(2)[0]
    assert [0.3, 0.3, 0.3] == lengths


NOT_ENOUGH: dict[str, tuple[ThreadWork, int, str]] = {
    "one": (work(1.0, idle_s=1.0), 2, "1 of 2 threads worked"),
    "one nearly": (work(1.0, 0.1, idle_s=0.9), 2, "1 of 2 threads worked"),
    "in turns": (work(0.5, 0.5, idle_s=1.0), 2, "2 of 2 threads worked (the least busy 100% of the busiest), 1.00 CPUs busy"),
    "one CPU beside neighbours": (work(0.5, 0.5, cpus=[[0], [0]], idle_s=0.0), 2, "1.00 CPUs busy, on 1 CPUs"),
    "one CPU": (work(0.5, 0.5, cpus=[[0], [0]]), 2, "on 1 CPUs"),
    "too many": (work(0.9, 0.9, 0.9, 0.9, cpus=[[0, 1, 2, 3]] * 4, idle_s=0.4), 2, "4 of 2 threads worked"),
    "three for two": (work(1.0, 1.0, 1.0, cpus=[[0, 1, 2, 3]] * 3, idle_s=1.0), 2, "3 of 2 threads worked"),
    "nine for eight": (work(*[1.0] * 9, cpus=[[*range(16)]] * 9, idle_s=7.0), 8, "9 of 8 threads worked"),
    "three for two, threads unknown": (replace(work(1.0, 1.0, 1.0), cpu_s=[], cpus=[]), 2, "3.00 CPUs busy with 2 threads"),
    "two for one": (work(1.0, 1.0, idle_s=0.0), 1, "2 of 1 threads worked"),
    "threads unknown": (replace(work(1.0), cpu_s=[], cpus=[]), 2, "threads cannot be told apart here"),
    "asleep": (work(0.1, 0.1, idle_s=1.8), 2, "0.20 CPUs busy"),
}


@pytest.mark.parametrize(("seen", "threads", "shown"), NOT_ENOUGH.values(), ids=NOT_ENOUGH)
def test_threads_that_do_not(seen: ThreadWork, threads: int, shown: str) -> None:
    """Half of the CPU time that was left is what two threads on one CPU have."""
    holds, told = seen.judge(threads)

    assert not holds
    assert shown in told


TAKEN: dict[str, tuple[ThreadWork, str]] = {
    "neighbours": (work(0.3, cpus=[ANYWHERE], idle_s=0.1), "other processes took 1.60 of the 2 CPUs"),
    "hypervisor": (replace(work(0.3, cpus=[ANYWHERE], idle_s=0.1), stolen_s=1.5), "the hypervisor took 1.60 of the 2 CPUs"),
    "idle machine": (work(1.0, idle_s=1.0), ""),
    "one CPU for two": (work(0.5, 0.5, cpus=[[0], [0]], idle_s=0.0), ""),
    "idle unknown": (work(0.3), ""),
}


@pytest.mark.parametrize(("work_of", "taken"), TAKEN.values(), ids=TAKEN)
def test_who_took_the_cpus_is_said_with_the_refusal(work_of: ThreadWork, taken: str) -> None:
    """And with it to measure again; where the threads had the time to work, nobody else is blamed."""
    holds, told = threads_in_force().check(of_two_threads(seen(thread_work=work_of)))

    assert not holds
    assert bool(taken) == told.endswith("; measure again on an idle machine")
    assert ("took" in told) == bool(taken)
    assert taken in told


def test_work_is_seen_in_this_process() -> None:
    """One thread that computes is one thread at work."""
    seen = watch(lambda: sum(range(100_000)), 1, least_s=0.1)

    assert 1 == seen.working
    assert (True, 1) == (seen.judge(1)[0], seen.apart)


def test_ticks_serve_where_threads_have_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_clock(_clock: int) -> float:
        raise OSError

    exact = thread_work.thread_cpu_s()
    monkeypatch.setattr("time.clock_gettime", no_clock)
    ticks = thread_work.thread_cpu_s()

    assert exact.keys() == ticks.keys()
    assert all(abs(exact[thread] - ticks[thread]) < 0.1 * exact[thread] + 0.5 for thread in exact)


def test_a_process_whose_threads_cannot_be_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CPU time of the process alone decides, and the evidence says so."""
    monkeypatch.setattr(thread_work, "TASKS", tmp_path / "none")
    monkeypatch.setattr(thread_work, "STAT", tmp_path / "none")
    seen = watch(lambda: sum(range(100_000)), 1, least_s=0.1)

    assert ([], None) == (seen.cpu_s, seen.idle_s)
    assert "threads cannot be told apart here" in seen.judge(1)[1]


def two_threads(rig: Rig) -> Rig:
    if len(rig.machine.cpus.cores) < 2:
        pytest.skip("only one core is allowed -> allow two (taskset, container limits)")
    return replace(rig, threads=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "seen"),
    [
        ({"OMP_THREAD_LIMIT": "1"}, "1 of 2 threads worked"),
        pytest.param({"GOMP_CPU_AFFINITY": str(this_machine().allowed_cpus[0])}, "on 1 CPUs", marks=pytest.mark.nightly),
        pytest.param({"OMP_PLACES": f"{{{this_machine().allowed_cpus[0]}}}"}, "on 1 CPUs", marks=pytest.mark.nightly),
    ],
    ids=["limited to one", "bound to one CPU", "one place"],
)
def test_two_threads_that_torch_has_and_does_not_use(make_rig: MakeRig, environment: Mapping[str, str], seen: str) -> None:
    """torch says that it has two threads, and one CPU computes."""
    rig = two_threads(make_rig(environment=environment))
    message = refused(rig, rig.recipe("baseline", RESNET))

    assert "the asked-for number of threads computes at the same time: " in message
    assert seen in message


@pytest.mark.nightly
def test_threads_bound_to_cpus_of_their_own_are_measured(make_rig: MakeRig) -> None:
    """A user who deploys with bound threads may measure it: where the threads are is right, whatever put them there."""
    rig = two_threads(make_rig(environment={"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}))
    [serving] = rig.serve(rig.recipe("baseline", RESNET), model=RESNET)
    serving.workers.close()

    assert 2 == serving.proved[0].observations.thread_work.apart  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_model_too_small_to_share_keeps_its_threads(make_rig: MakeRig) -> None:
    """Its own work need not show them: a large product does."""
    rig = two_threads(make_rig(environment={"OMP_WAIT_POLICY": "passive"}))
    [serving] = rig.serve(rig.recipe("baseline", TINY), model=TINY)
    serving.workers.close()

    assert all(each.holds for each in serving.evidence)


@pytest.mark.nightly
def test_bound_workers_stay_on_cores_of_their_own(make_rig: MakeRig) -> None:
    """torchrun's own process is bound by OMP_PLACES before its ranks start, and each rank all the same gets its core."""
    skip_unless_met("workers_pinned")
    rig = two_threads(make_rig(environment={"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}))
    [serving] = rig.serve(rig.recipe("workers_pinned", RESNET, failed={"bf16_autocast", "tcmalloc", "huge_pages"}), model=RESNET)
    serving.workers.close()

    assert rig.machine.cpus.share(2, 1) == [each.observations.cpus for each in serving.proved]


class TogetherRig(Rig):
    """Gives every rank the same core."""

    def job(self, recipe: Recipe, model: ModelSpec) -> Job:
        job = super().job(recipe, model)
        return msgspec.structs.replace(job, cpus=[job.cpus[0]] * job.workers)


@pytest.mark.slow
def test_ranks_on_one_core(make_rig: MakeRig) -> None:
    skip_unless_met("workers_pinned")
    rig = two_threads(make_rig())
    together = TogetherRig(**vars(rig))
    message = refused(together, rig.recipe("workers_pinned", RESNET, failed={"bf16_autocast", "tcmalloc", "huge_pages"}))

    assert "workers have cores of their own and do not oversubscribe: CPUs [[0], [0]]" in message


@pytest.mark.nightly
def test_openvino_with_fewer_threads(make_rig: MakeRig) -> None:
    step = "openvino_fp32"
    skip_unless_met(step)
    rig = two_threads(make_rig())
    settings = dict(rig.catalogue[step].settings) | {"INFERENCE_NUM_THREADS": "1"}
    message = refused(rig, recipe(rig, step, settings=settings))

    assert "the asked-for number of threads computes at the same time: 1 of 2 threads worked" in message


@pytest.mark.nightly
def test_onnxruntime_with_fewer_threads(make_rig: MakeRig, tmp_path: Path) -> None:
    """A session that never got its options computes with threads of its own choice."""
    skip_unless_met("onnxruntime")
    set_here, one = "options.intra_op_num_threads = job.threads", "options.intra_op_num_threads = 1"
    rig = two_threads(make_rig(root=checkouts.changed(tmp_path / "checkout", "fixtures/runtimes/onnxruntime.py", set_here, one)))
    message = refused(rig, rig.recipe("onnxruntime", RESNET))

    assert "1 of 2 threads worked" in message


def test_a_system_without_affinity_gets_one_sentence() -> None:
    """As macOS does, before anything is collected."""
    program = "import os, sys, pytest; del os.sched_getaffinity; sys.exit(pytest.main(['benchmarks', '--collect-only', '-q']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert pytest.ExitCode.USAGE_ERROR == done.returncode, done.stdout + done.stderr
    assert "this system has neither CPU affinity nor /proc" in done.stderr
    assert "Traceback" not in done.stderr
