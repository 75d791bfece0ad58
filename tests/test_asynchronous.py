"""Bursts of an asynchronous queue: only requests that ended while the queue was full are counted."""

import time

from fixtures.protocol import ModelSpec, Timed, Turn
from fixtures.recipe import resolve
from tests.conftest import MakeRig, skip_unless_met

RESNET = ModelSpec(name="torchvision:resnet18", image_size=64)
REQUESTS = 30


def test_requests_that_fill_and_drain_the_queue_are_not_counted(make_rig: MakeRig) -> None:
    """As many latencies as were asked for, all within the burst, and the burst is shorter than the whole call."""
    skip_unless_met("openvino_throughput")
    rig = make_rig()
    [serving] = rig.serve(resolve("openvino_throughput", rig.catalogue, rig.machine), model=RESNET)
    with serving.workers as workers:
        called_s = time.perf_counter()
        [timed] = workers.ask([Turn(iterations=REQUESTS, untimed=0)], Timed, "being timed")
        returned_s = time.perf_counter()
    in_flight = int(serving.proved[0].observations.settings["OPTIMAL_NUMBER_OF_INFER_REQUESTS"])

    assert in_flight > 1
    assert REQUESTS == len(timed.latencies_s)
    assert called_s < timed.begin_s < timed.end_s < returned_s
    assert all(0 < latency_s < returned_s - called_s for latency_s in timed.latencies_s)
