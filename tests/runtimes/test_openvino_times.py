"""Warm times of OpenVINO's nodes, from the means that its plugin tells in whole microseconds."""

import pytest

from fixtures.runtimes import WARM_RUNS
from fixtures.runtimes.openvino import COLD_RUNS, warm_times_s


def test_cold_runs_are_taken_out_of_the_mean() -> None:
    """Ten milliseconds in each cold run, one in each warm one."""
    whole_s = (COLD_RUNS * 0.010 + WARM_RUNS * 0.001) / (COLD_RUNS + WARM_RUNS)

    assert {"conv": pytest.approx(0.001)} == warm_times_s({"conv": 0.010}, {"conv": whole_s}, WARM_RUNS)


def test_a_node_of_hardly_a_microsecond_takes_no_negative_time() -> None:
    """A cold mean of 5 us and one of 1 us over all runs leave -0.6 us: no record could hold that."""
    assert {"reorder": 0.0} == warm_times_s({"reorder": 5e-6}, {"reorder": 1e-6}, WARM_RUNS)


def test_a_node_that_did_not_run_cold_has_all_of_its_time() -> None:
    assert {"late": pytest.approx(7e-6 / WARM_RUNS * (COLD_RUNS + WARM_RUNS) / 7)} == warm_times_s({}, {"late": 1e-6}, WARM_RUNS)
