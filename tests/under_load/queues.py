"""A queue that is computed, for tests that know when every request came and how long it took."""

import heapq
from collections.abc import Sequence

from reports.under_load.requests import ServedRequests


def simulate(arrivals_s: Sequence[float], service_s: Sequence[float], workers: int) -> ServedRequests:
    """Return what `workers` behind one queue, first come first served, make of requests that take `service_s` each."""
    free_s = [0.0] * workers
    begin_s, end_s = [], []
    for arrival, service in zip(arrivals_s, service_s, strict=True):
        begin = max(arrival, heapq.heappop(free_s))
        heapq.heappush(free_s, begin + service)
        begin_s.append(begin)
        end_s.append(begin + service)
    return ServedRequests(arrivals_s=tuple(arrivals_s), begin_s=tuple(begin_s), end_s=tuple(end_s))
