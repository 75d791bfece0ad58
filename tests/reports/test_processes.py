"""Which fresh processes a throughput comes from."""

import pytest
from msgspec.structs import replace

from reports.saved.record import SavedGain, SavedPair, Throughput
from reports.views.ladder import processes_sps


def steps(waiting: str) -> list[Throughput]:
    """A baseline of one pair, and two steps over it; `waiting` served in all three where it has a name."""
    over = SavedGain(over="baseline", ratio=2.0, verdict="")
    return [
        Throughput(
            model="m",
            step="baseline",
            samples_per_second=10.0,
            samples_per_round=1,
            pairs=(SavedPair(own_median_s=0.1, own_process=waiting),),
        ),
        *(
            Throughput(
                model="m",
                step=step,
                samples_per_second=20.0,
                samples_per_round=1,
                gain=over,
                over_samples_per_round=1,
                pairs=(SavedPair(own_median_s=0.05, over_median_s=0.1, own_process=step, over_process=waiting),),
            )
            for step in ("one", "two")
        ),
    ]


def test_process_counts_once_wherever_it_served() -> None:
    """With `--pairs 1` the baseline's process waits for the steps over it: three turns of one process are one process."""
    found = processes_sps(steps("worker-a"))

    assert [pytest.approx(10.0)] == list(found["m", "baseline"])
    assert (20.0,) == found["m", "one"] == found["m", "two"]


def test_processes_of_earlier_runs_have_no_names() -> None:
    """They are told apart as before."""
    assert 3 == len(processes_sps(steps(""))["m", "baseline"])


def test_turns_with_a_disturbed_step_are_no_process_of_its_predecessor() -> None:
    """Others slowed both sides of its pairs: half as fast, they would move the baseline, and widen where a fresh process is expected."""
    baseline, one, two = steps("")
    slowed = replace(two, disturbed=True, pairs=(replace(two.pairs[0], over_median_s=0.2),))

    assert [pytest.approx(10.0)] * 2 == list(processes_sps([baseline, one, slowed])["m", "baseline"])
