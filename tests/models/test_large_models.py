"""Models of billions of bytes: both sides of a pair fit into memory together."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from fixtures.bench.turns import PairedMeasurement, Plan
from fixtures.machine.allocators import library
from fixtures.protocol import ModelSpec
from fixtures.steps.recipe import resolve
from reports.text.image_shape import square
from tests.conftest import MakeRig

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))

# What TCMalloc keeps after it was freed: 256 MiB in blocks of 1 MiB.
KEEP_AND_GIVE_BACK = """
import ctypes
from fixtures.worker import give_back_free_memory

def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 2**20

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes, libc.free.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], [ctypes.c_void_p]
blocks = [libc.malloc(2**20) for _ in range(256)]
for block in blocks:
    libc.memset(block, 1, 2**20)
for block in blocks:
    libc.free(block)
kept = resident_mib()
give_back_free_memory()
print(kept - resident_mib())
"""


def test_memory_that_building_freed_is_given_back() -> None:
    """TCMalloc would keep it from the other side of the pair."""
    tcmalloc = library("tcmalloc")
    if tcmalloc is None:
        pytest.skip("libtcmalloc is not installed -> .ci/packages")
    done = subprocess.run(
        [sys.executable, "-c", KEEP_AND_GIVE_BACK], env=os.environ | {"LD_PRELOAD": tcmalloc}, capture_output=True, text=True, check=True
    )

    assert int(done.stdout) > 128


@pytest.mark.nightly
def test_sides_of_a_fresh_pair_start_one_after_the_other(make_rig: MakeRig) -> None:
    """Two builds at a time would hold each other up, and take the memory of both; which side starts is drawn for each pair."""
    told: list[str] = []
    rig = replace(make_rig(), progress=told.append)
    own, over = (resolve(step, rig.catalogue, rig.machine) for step in ("batch_2", "baseline"))
    measurement = PairedMeasurement(rig, own, over, RESNET, Plan(pairs=2, budget_s=0.05, warmup_limit_s=0.0))
    try:
        measurement.open()
        for _ in range(measurement.rounds_per_pair):
            measurement.before()
            measurement.run()
            measurement.after()
        measurement.before()
        assert 2 == len(measurement.own.cold_starts_s)
        assert all(start_s > 0 for start_s in measurement.own.cold_starts_s)
        assert measurement.own.peak_rss_bytes >= measurement.first.started[0].peak_rss_bytes > 0
    finally:
        measurement.close()

    stages = [stage for stage in told if stage.startswith(("starting", "proving"))]
    one_way = ["starting batch_2", "proving batch_2", "starting baseline", "proving baseline"]
    assert len(stages) == 8
    assert all(pair in (one_way, one_way[2:] + one_way[:2]) for pair in (stages[:4], stages[4:]))
