"""Requests sent to the suite's own workers through one queue: a FIFO of request numbers, each taken by the first worker that is idle.

Nothing but the workers runs meanwhile: schedule and queue are there before the first request is due, and a worker waits for the
next arrival by itself.
"""

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fixtures import protocol
from fixtures.bench.rig import Serving
from fixtures.bench.turns import run_untimed
from reports.under_load.requests import ServedRequests

LEAD_S = 0.1
LARGEST_PIPE_BYTES = 2**20
MOST_REQUESTS = LARGEST_PIPE_BYTES // protocol.REQUEST_BYTES - 1024


def send(serving: Serving, *, requests: int, arrivals_s: np.ndarray | None, timeout_s: float | None = None) -> ServedRequests:
    """Send `requests` to the workers and wait until all are served. Without `arrivals_s` each is due once a worker is idle.

    Raises WorkerError, and ValueError for more requests than the queue takes.
    """
    if not 1 <= requests <= MOST_REQUESTS:
        raise ValueError(f"expected 1 to {MOST_REQUESTS} requests, found {requests}")
    workers = serving.workers
    run_untimed(workers, 1)
    schedule = None
    if arrivals_s is not None:
        schedule = workers.folder / "arrivals.npy"
        np.save(schedule, arrivals_s)
    with _queue(workers.folder / "requests", requests, workers.ranks) as queue:
        start_s = time.perf_counter() + LEAD_S
        message = protocol.Serve(queue=str(queue), arrivals=str(schedule) if schedule else None, start_s=start_s)
        answers = workers.ask([message] * workers.ranks, protocol.Served, "serving requests", timeout_s)
    times = sorted(
        (number, begin, end) for each in answers for number, begin, end in zip(each.numbers, each.begin_s, each.end_s, strict=True)
    )
    if arrivals_s is None:
        start_s = min(begin for _, begin, _ in times)
    return ServedRequests(
        arrivals_s=tuple(begin - start_s for _, begin, _ in times) if arrivals_s is None else tuple(arrivals_s.tolist()),
        begin_s=tuple(begin - start_s for _, begin, _ in times),
        end_s=tuple(end - start_s for _, _, end in times),
    )


@contextmanager
def _queue(path: Path, requests: int, workers: int) -> Iterator[Path]:
    """Make a FIFO that holds all request numbers, and for each worker the word that there are no more."""
    os.mkfifo(path)
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        numbers = [*range(requests), *[protocol.NO_REQUEST] * workers]
        content = struct.pack(f"={len(numbers)}I", *numbers)
        if len(content) > fcntl.fcntl(handle, fcntl.F_GETPIPE_SZ):
            fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, LARGEST_PIPE_BYTES)
        written = os.write(handle, content)
        if written != len(content):
            raise OSError(f"the queue took {written} of {len(content)} bytes; ask for fewer requests")
        yield path
    finally:
        os.close(handle)
        path.unlink()
