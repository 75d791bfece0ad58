"""A noisy neighbour: one process that works on one core in bursts of random length, until its stdin closes."""

import random
import select
import sys
import time

import numpy as np

WORKING_SET = 2**21  # float64: 16 MiB, far more than a core's own cache
SHORTEST_S, LONGEST_S = 0.1, 3.0


def main() -> None:
    """Sort, copy and compute, then rest, each for a time drawn anew."""
    numbers = np.random.default_rng().standard_normal(WORKING_SET)
    while True:
        _work(numbers, random.uniform(SHORTEST_S, LONGEST_S))  # noqa: S311 - noise, not a secret
        if select.select([sys.stdin], [], [], random.uniform(SHORTEST_S, LONGEST_S))[0]:  # noqa: S311
            return


def _work(numbers: np.ndarray, duration_s: float) -> None:
    end_s = time.monotonic() + duration_s
    while time.monotonic() < end_s:
        np.sqrt(np.abs(np.sin(numbers))).copy().partition(WORKING_SET // 2)


if __name__ == "__main__":
    main()
