"""Figures of a record that are worked out, on values that are known."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.artifacts.cache import Artifact
from fixtures.bench.launch import ROOT
from fixtures.bench.record import build_time_s, latencies, recorded_variables
from fixtures.bench.rig import Serving
from fixtures.bench.turns import memory_together
from fixtures.protocol import Job, ModelSpec, Started, Warmed


def started(build_s: float, *, cold_start_s: float = 2.0, first_s: float = 1.0) -> Started:
    return Started(cold_start_s=cold_start_s, first_s=first_s, build_s=build_s, peak_rss_bytes=1, input_shapes={})


def serving(starts: list[Started], warm_s: list[float], **of_model: Any) -> Serving:
    """Workers that serve batches of 8."""
    nothing: Any = None
    model = ModelSpec(name="torchvision:resnet18", **of_model)
    return Serving(
        recipe=nothing,
        job=Job(model=model, runtime="openvino", precision="fp32", batch_size=8, threads=1, workers=len(starts)),
        workers=nothing,
        started=tuple(starts),
        proved=(),
        warmed=tuple(Warmed(iteration_s=each) for each in warm_s),
        evidence=(),
        findings=(),
        agreement=nothing,
        artifact=None,
        reference=nothing,
        compared=nothing,
    )


def test_a_cold_start_is_of_one_sample() -> None:
    """The first batch of 8 took 1 s, of which a warm one takes 0.8 s: seven eighths of that are taken off."""
    assert 2.0 - 0.7 == pytest.approx(serving([started(0.1)], [0.8]).cold_start_s)
    assert 2.0 == serving([started(0.1)], [0.8], phase="prefill").cold_start_s


def test_a_warm_batch_beside_a_neighbour_takes_no_more_off_a_cold_start_than_the_first_took() -> None:
    """It took 2.4 s where the process had started and inferred in 0.6: the cold start would have ended before it began."""
    busy = serving([started(0.1, cold_start_s=0.6, first_s=0.4)], [2.4])

    assert 0.6 - 0.4 * 7 / 8 == pytest.approx(busy.cold_start_s)
    assert (
        1.0 == serving([started(0.1, cold_start_s=0.6, first_s=0.4), started(0.1, cold_start_s=1.35, first_s=0.4)], [2.4] * 2).cold_start_s
    )


def test_build_beside_another_one_is_no_build_time() -> None:
    """Neither is one that nobody saw; what is built while it starts takes as long as the slowest rank."""
    alone = Artifact(folder=Path("x"), build_s=12.5, built_alone=True, size_bytes=1)
    beside = Artifact(folder=Path("x"), build_s=12.5, built_alone=False, size_bytes=1)

    assert 12.5 == build_time_s(alone, [started(0.1)])
    assert build_time_s(beside, [started(0.1)]) is None
    assert 3.0 == build_time_s(None, [started(1.0), started(3.0)])


def test_pages_of_files_that_all_ranks_map_count_once() -> None:
    """Two ranks of 1000, 400 of each the same libraries, and torchrun's own process of 300, of which those libraries are 200."""
    ranks = [(1000, 400), (1000, 400)]

    assert 1000 == memory_together(ranks[:1])
    assert 1600 == memory_together(ranks)
    assert 1700 == memory_together([*ranks, (300, 200)])


def test_latencies_say_of_how_many_calls_they_are_and_what_these_show() -> None:
    """Nine calls show what their p99 reaches, and nothing that it does not exceed; 299 of which none is slower do."""
    few, enough = latencies([0.1 * place for place in range(1, 10)]), latencies([0.1] * 298 + [0.2])

    assert (9, 0.9, 0.8, None) == (few["latency_samples"], few["latency_max_s"], few["latency_p99_low_s"], few["latency_p99_high_s"])
    assert few["latency_p99_s"] < few["latency_max_s"]
    assert (299, 0.2, 0.1) == (enough["latency_samples"], enough["latency_p99_high_s"], enough["latency_p99_low_s"])


def test_inherited_variables_that_can_change_what_runs_are_recorded() -> None:
    """The kernels of OpenBLAS, which torch's wheels for Arm multiply with, are chosen by its own variables."""
    inherited = {"OPENBLAS_CORETYPE": "NEOVERSEN1", "OMP_PROC_BIND": "true", "HOME": "/home/somebody", "PYTHONPATH": "/src"}

    assert {"OMP_PROC_BIND": "true", "OPENBLAS_CORETYPE": "NEOVERSEN1"} == recorded_variables(inherited)


SERVED = """
import numpy as np
from fixtures import protocol, worker

class Stub:
    def restore(self, placed): pass
    def infer(self, placed): return None
    def compilations(self): return 0

server = worker.WorkerService(0)
server._session, server._placed, server._peak_at_first_bytes = Stub(), (), worker._peak_rss_bytes()
looked_at = np.ones(2**25)  # 256 MiB
del looked_at
before = worker._peak_rss_bytes()
server.answer(protocol.WarmUp(limit_s=0.0))
print(before, server.answer(protocol.Turn(iterations=1, untimed=0)).peak_rss_bytes)
"""


def test_what_is_looked_at_before_the_turns_is_no_memory_of_serving() -> None:
    """Outputs to compare, or the pictures of --accuracy: they are gone once the turns begin."""
    done = subprocess.run([sys.executable, "-c", SERVED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    before, found = map(int, done.stdout.split())

    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the kernel does not let a process set its mark back -> none needed")
    assert before > 2**28
    assert found < before - 2**27
