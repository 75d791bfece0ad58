"""How the load tool judges what it measured, and that the server loses nothing."""

import json
import sys

import pytest

from tests.deploy.serve_load import ratio_of_p99
from tests.processes import ran


@pytest.mark.nightly
def test_no_good_request_is_lost_beside_bad_connections() -> None:
    """Each has an answer of its own numbers, and the server goes on; how long they wait is for whoever runs the tool by hand."""
    done = ran([sys.executable, "-m", "tests.deploy.serve_load", "--pairs", "1", "--seconds", "5"])
    told = json.loads(done.stdout[done.stdout.index("{") :])

    assert (0, None) == (told["lost"], told["server ended"]), done.stderr
    assert told["requests"]["beside bad ones"] > 100


def test_equal_turns_have_a_ratio_of_one() -> None:
    turn = [number / 1000 for number in range(1, 301)]

    assert (1.0, 1.0, 1.0) == pytest.approx(ratio_of_p99([(turn, turn)] * 6, seed=1))


def test_a_slower_tail_is_resolved_and_one_disturbed_turn_is_not() -> None:
    """Pairs are drawn anew whole, so that what hits one of them widens the interval."""
    turn = [number / 1000 for number in range(1, 301)]
    slow = [*turn[:-10], *(2 * each for each in turn[-10:])]
    _, low, _ = ratio_of_p99([(turn, slow)] * 6, seed=1)
    _, disturbed_low, disturbed_high = ratio_of_p99([(turn, turn)] * 7 + [(turn, [5 * each for each in turn])], seed=1)

    assert low > 1.5
    assert disturbed_low == pytest.approx(1.0)
    assert disturbed_high > 1.5
