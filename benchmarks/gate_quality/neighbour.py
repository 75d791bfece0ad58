"""A noisy neighbour: one process that works on every core in bursts of random length, until its stdin closes."""

import os
import random
import sys
import threading
import time

import numpy as np

WORKING_SET = 2**21  # float64: 16 MiB, far more than a core's own cache
SHORTEST_S, LONGEST_S = 0.1, 3.0


def main() -> None:
    """Work in one thread for each core, each at times of its own."""
    for _ in range(len(os.sched_getaffinity(0))):
        threading.Thread(target=_disturb, daemon=True).start()
    sys.stdin.read()


def _disturb() -> None:
    """Sort, copy and compute, then rest, each for a time drawn anew; NumPy lets other threads run meanwhile."""
    numbers = np.random.default_rng().standard_normal(WORKING_SET)
    while True:
        end_s = time.monotonic() + random.uniform(SHORTEST_S, LONGEST_S)  # noqa: S311 - noise, not a secret
        while time.monotonic() < end_s:
            np.sqrt(np.abs(np.sin(numbers))).copy().partition(WORKING_SET // 2)
        time.sleep(random.uniform(SHORTEST_S, LONGEST_S))  # noqa: S311


if __name__ == "__main__":
    main()
