"""Bursts of an asynchronous queue: only requests that ended while the queue was full are counted, and Little's law agrees."""

import time
from dataclasses import replace

import pytest

from fixtures.bench.turns import LAW_HOLDS_WITHIN, Round, TimedSide, iterations_per_turn, take_turn
from fixtures.protocol import ModelSpec, Timed, Turn
from fixtures.protocol.rates import littles_law
from fixtures.steps.recipe import resolve
from reports.text.image_shape import square
from tests.conftest import MakeRig, skip_unless_met

RESNET = ModelSpec(name="torchvision:resnet18", image=square(128))
REQUESTS = 31


@pytest.mark.nightly
def test_requests_that_fill_and_drain_the_queue_are_not_counted(make_rig: MakeRig) -> None:
    """A whole number of waves, all within the burst, at the rate that Little's law asks for; the burst is shorter than the whole call."""
    skip_unless_met("openvino_throughput")
    rig = make_rig()
    [serving] = rig.serve(resolve("openvino_throughput", rig.catalogue, rig.machine), model=RESNET)
    with serving.workers as workers:
        called_s = time.perf_counter()
        [timed] = workers.ask([Turn(iterations=REQUESTS, untimed=0)], Timed, "being timed")
        returned_s = time.perf_counter()
        taken = take_turn(serving, iterations_per_turn(serving), untimed=1)

    assert serving.in_flight > 1
    assert 0 == len(timed.latencies_s) % serving.in_flight
    assert REQUESTS <= len(timed.latencies_s) == timed.iterations < REQUESTS + serving.in_flight
    assert called_s < timed.begin_s < timed.end_s < returned_s
    assert all(0 < latency_s < returned_s - called_s for latency_s in timed.latencies_s)
    per_second = timed.iterations / (timed.end_s - timed.begin_s)
    assert abs(littles_law(per_second, timed.latencies_s, serving.in_flight) - 1) < LAW_HOLDS_WITHIN
    assert 0 == iterations_per_turn(serving) % serving.in_flight
    assert taken.in_flight is not None
    assert abs(taken.in_flight - 1) < LAW_HOLDS_WITHIN

    # what is told of a burst that the law contradicts, and of none that it agrees with
    def findings(share: float) -> list[str]:
        off = replace(taken, in_flight=share)
        return TimedSide(iterations=1, samples_per_round=8, serving=serving, by_pair=[[off, off], [off]]).findings

    assert [] == findings(1.02)
    [found] = findings(0.9)
    assert f"makes {0.9 * serving.in_flight:.2f} requests in flight, by Little's law, where {serving.in_flight} are" in found


def test_rounds_without_a_queue_have_no_law_to_keep() -> None:
    """One request at a time is in flight once."""
    side = TimedSide(iterations=1, samples_per_round=1, by_pair=[[Round(iteration_s=0.1, latencies_s=(0.1,))]])

    assert [] == side.findings
