"""Rates of requests that overlap, on ends that are known exactly."""

import numpy as np
import pytest

from fixtures.protocol.rates import NeverTogetherError, all_busy, full_queue, littles_law

LATENCY_S = 0.1060  # of a request of 8 samples, two in flight: 2 x 8 / 0.106 = 151 samples a second


def waves(requests: int, in_flight: int) -> list[float]:
    """When requests of equal length end: `in_flight` at a time."""
    return [LATENCY_S * (1 + place // in_flight) for place in range(requests)]


@pytest.mark.parametrize("requests", [8, 9, 10, 31])
def test_requests_that_end_in_waves_have_the_rate_of_a_wave(requests: int) -> None:
    """Nine requests, two at a time, end in five waves: 151 samples a second, not 9 requests over the time of 10 (136)."""
    window = full_queue(waves(2 + requests, in_flight=2), in_flight=2)

    assert pytest.approx(150.94, abs=0.01) == 8 * window.per_second
    assert pytest.approx(1.0) == littles_law(window.per_second, [LATENCY_S] * requests, in_flight=2)


@pytest.mark.parametrize("in_flight", [2, 4, 8])
def test_requests_that_end_one_by_one_have_the_same_rate(in_flight: int) -> None:
    """Streams that have drifted apart do as much as streams in step."""
    ends_s = [LATENCY_S * (1 + place / in_flight) for place in range(33)]

    assert pytest.approx(in_flight / LATENCY_S) == full_queue(ends_s, in_flight).per_second


def test_little_s_law_finds_a_rate_that_is_off() -> None:
    """The rate from the end of a wave to the middle of another is 10 % too low, and the law says so."""
    wrong = 9 / (5 * LATENCY_S)

    assert pytest.approx(0.9) == littles_law(wrong, [LATENCY_S] * 9, in_flight=2)


def test_queue_that_was_never_full_has_no_rate() -> None:
    """One wave says nothing, and neither do requests that all ended at once."""
    with pytest.raises(ValueError, match="at least two waves of 4 requests, found 7"):
        full_queue(waves(7, in_flight=4), in_flight=4)
    with pytest.raises(ValueError, match="ended at the same time"):
        full_queue([1.0] * 8, in_flight=4)


def test_workers_add_up_at_their_own_pace() -> None:
    """A worker of 1 s and one of 0.5 s an iteration: three a second, although the turn ends in the middle of one's iteration."""
    slow = (0.0, [1.0, 2.0, 3.0, 4.0])
    fast = (0.25, [0.75, 1.25, 1.75, 2.25, 2.75, 3.25])
    window = all_busy([slow, fast])

    assert (0.25, 3.25) == (window.begin_s, window.end_s)
    assert pytest.approx(3.0) == window.per_second


def test_workers_of_equal_speed_lose_nothing_to_the_last_of_them() -> None:
    """64 workers whose iterations vary by 3 %: the sum of their rates, where the time until the last one's end would lose 5 %."""
    generator = np.random.default_rng(5)
    durations_s = 1 + 0.03 * generator.standard_normal((200, 64, 12))
    ratios, to_the_last = [], []
    for turn in durations_s:
        ends = np.cumsum(turn, axis=1)
        found = all_busy([(0.0, list(each)) for each in ends])
        ratios.append(found.per_second / 64)
        to_the_last.append(64 * 12 / ends.max() / 64)

    assert pytest.approx(1.0, abs=0.005) == float(np.mean(ratios))
    assert float(np.mean(to_the_last)) < 0.985


def test_worker_that_never_iterates_beside_the_others_is_an_error() -> None:
    """There is no rate of all workers, and none is made up."""
    with pytest.raises(NeverTogetherError, match=r"no time in which all workers are busy: the last began 1\.50 s after the first"):
        all_busy([(0.0, [1.0]), (1.5, [2.5])])
    with pytest.raises(NeverTogetherError, match="no time in which all workers are busy"):
        all_busy([(0.0, [1.0]), (0.0, [])])
