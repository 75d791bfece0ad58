"""Where a worker's memory lies is drawn anew in each process, before the model is loaded."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import runtimes
from fixtures.bench.launch import ROOT
from fixtures.protocol import Job, ModelSpec, Start
from fixtures.worker import MOST_SHIFTED_KIB, WorkerService
from reports.text.image_shape import square

JOB = Job(model=ModelSpec(name="torchvision:resnet18", image=square(64)), runtime="eager", precision="fp32", batch_size=1, threads=1)

# How many KiB the next piece of the heap lies behind the one before; the pieces are too large for any hole of it.
SHIFTED = """
import ctypes
from fixtures.worker import shift_heap

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
before = libc.malloc(120_000)
shift = shift_heap()
print(len(shift), (libc.malloc(120_000) - before) // 1024)
"""


def test_what_is_allocated_afterwards_lies_elsewhere_in_each_process() -> None:
    """Seen in the addresses themselves; all that stays the same is how far it can be."""
    told = []
    for _ in range(6):
        done = subprocess.run([sys.executable, "-c", SHIFTED], cwd=ROOT, capture_output=True, text=True, check=True)
        told.append(tuple(map(int, done.stdout.split())))

    assert all(0 <= blocks < MOST_SHIFTED_KIB for blocks, _ in told)
    assert all(moved >= blocks - 256 for blocks, moved in told)  # some blocks fill holes that were there
    assert len({moved for _, moved in told}) > 1


def test_the_model_is_loaded_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shift after the load would move nothing that counts."""
    seen: list[int] = []

    def load(*_: Any) -> None:
        seen.append(len(service._shift))
        raise LookupError

    monkeypatch.setattr(runtimes, "get", lambda _: SimpleNamespace(load=load))
    monkeypatch.setattr("random.SystemRandom.randrange", lambda _self, below: below - 1)
    service = WorkerService(0)
    with pytest.raises(LookupError):
        service.answer(Start(job=JOB, artifact=None, started_s=0.0))

    assert seen == [MOST_SHIFTED_KIB - 1]
