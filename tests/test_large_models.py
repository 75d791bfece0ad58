"""Models of billions of bytes: both sides of a pair fit into memory together."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from fixtures import turns
from fixtures.protocol import ModelSpec
from fixtures.recipe import resolve
from fixtures.requirements import tcmalloc_library
from fixtures.turns import PairedMeasurement, Plan
from tests.conftest import MakeRig

RESNET = ModelSpec(name="torchvision:resnet18", image_size=64)

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
    library = tcmalloc_library()
    if library is None:
        pytest.skip("libtcmalloc is not installed -> .ci/packages")
    done = subprocess.run(
        [sys.executable, "-c", KEEP_AND_GIVE_BACK], env=os.environ | {"LD_PRELOAD": library}, capture_output=True, text=True, check=True
    )

    assert int(done.stdout) > 128


@pytest.mark.parametrize(
    ("large_from_bytes", "expected"),
    [
        (0, ["starting batch_2", "proving batch_2", "starting baseline", "proving baseline"]),
        (2**40, ["starting batch_2", "starting baseline", "proving batch_2", "proving baseline"]),
    ],
    ids=["large", "small"],
)
def test_sides_of_a_fresh_pair_start(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch, large_from_bytes: int, expected: list[str]
) -> None:
    """One after the other where two builds at a time would take too much memory, else side by side."""
    monkeypatch.setattr(turns, "LARGE_WORKER_BYTES", large_from_bytes)
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
        told.clear()
        measurement.before()
    finally:
        measurement.close()

    assert expected == [stage for stage in told if stage.startswith(("starting", "proving"))]
