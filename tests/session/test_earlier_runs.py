"""What pytest-benchmark compares with where the run was saved by an earlier version."""

import copy
from typing import Any

from fixtures.session.earlier_runs import to_seconds_per_iteration

BURST: dict[str, Any] = {
    "fullname": "benchmarks/test_workers.py::test_workers[resnet50-workers_pinned]",
    "extra_info": {"runtime": "eager", "batch_size": 8, "workers": 2, "samples_per_round": 64},
    "stats": {"mean": 1.6, "median": 1.6, "ops": 0.625, "rounds": 3, "outliers": "0;0", "data": [1.5, 1.6, 1.7]},
}
SINGLE = BURST | {"fullname": "single", "extra_info": {"runtime": "eager", "batch_size": 8, "samples_per_round": 8}}


def test_burst_of_an_earlier_run_becomes_seconds_per_iteration() -> None:
    """Eight iterations in 1.6 s are 0.2 s an iteration; what was one iteration stays."""
    run: dict[str, Any] = {"benchmarks": [copy.deepcopy(BURST), copy.deepcopy(SINGLE)]}
    to_seconds_per_iteration(run)

    burst, single = run["benchmarks"]
    assert {"mean": 0.2, "median": 0.2, "ops": 5.0, "rounds": 3, "outliers": "0;0", "data": [0.1875, 0.2, 0.2125]} == burst["stats"]
    assert SINGLE == single


def test_run_of_this_version_stays() -> None:
    """It says so by its record version; changing it twice would be a wrong figure."""
    run: dict[str, Any] = {"benchmarks": [copy.deepcopy(BURST)], "record_version": 2}
    to_seconds_per_iteration(run)

    assert [BURST] == run["benchmarks"]


def test_earlier_burst_of_training_is_not_compared() -> None:
    """Nobody knows any more how many batches its iterations had."""
    training = BURST | {"extra_info": BURST["extra_info"] | {"runtime": "training"}}
    run: dict[str, Any] = {"benchmarks": [training, copy.deepcopy(BURST)], "record_version": 1}
    to_seconds_per_iteration(run)

    assert [BURST["fullname"]] == [each["fullname"] for each in run["benchmarks"]]
