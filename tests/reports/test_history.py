"""Following benchmarks over runs: whose runs, which changes of level, and how rarely one is called where there is none."""

import math
import random
from pathlib import Path

import pytest

from reports.changepoints import change_points
from reports.history import History, NothingToFollow, history
from reports.storage import Storage
from tests.reports.saved_runs import FINGERPRINT, benchmark, ladder, save, saved_run


def follow(folder: Path, steps: tuple[str, ...] = ()) -> History:
    runs = Storage(str(folder)).shelf.runs
    return history(runs, runs[-1].fingerprint if runs else {}, steps=steps)


def test_a_step_that_lost_20_percent_is_marked_where_it_did(tmp_path: Path) -> None:
    noise = random.Random(7)
    for day in range(1, 21):
        median_s = (0.1 if day < 12 else 0.125) * math.exp(noise.gauss(0, 0.02))
        steps = [
            benchmark("compile", medians_s=[median_s] * 3),
            benchmark("openvino", medians_s=[0.2 * math.exp(noise.gauss(0, 0.02))] * 3),
        ]
        save(tmp_path, day, saved_run(steps, commit=f"{day:040x}", saved_at=f"2026-11-{day:02}T00:00:00+00:00"))

    compiled, openvino = follow(tmp_path).series
    [shift] = compiled.shifts
    assert ("0012", f"{12:040x}"[:10]) == (shift.run, shift.commit)
    assert shift.shift is not None
    assert 0.8 == pytest.approx(shift.shift, abs=0.02)
    assert () == openvino.shifts


def test_runs_are_followed_in_time_and_on_one_machine_only(tmp_path: Path) -> None:
    for number, day in ((1, 12), (2, 10), (3, 11)):
        save(tmp_path, number, saved_run(ladder("baseline"), saved_at=f"2026-11-{day}T00:00:00+00:00"))
    save(tmp_path, 4, saved_run(ladder("baseline"), fingerprint=FINGERPRINT | {"vcpus": 64}, saved_at="2026-11-01T00:00:00+00:00"))

    found = follow(tmp_path)
    assert ["0002", "0003", "0001"] == [point.run for point in found.series[0].points]
    assert {"c8g.xlarge, Neoverse-V2, 64 vCPUs": 1} == found.other_machines


def test_an_unknown_step_is_refused_with_those_that_are_saved(tmp_path: Path) -> None:
    save(tmp_path, 1, saved_run(ladder("baseline", "compile")))

    with pytest.raises(NothingToFollow, match="has step 'nope'; name one that is saved: baseline, compile"):
        follow(tmp_path, steps=("nope",))


def test_no_run_is_refused_with_how_to_save_one(tmp_path: Path) -> None:
    with pytest.raises(NothingToFollow, match="--benchmark-autosave"):
        follow(tmp_path)


@pytest.mark.parametrize("runs", [8, 16, 60])
def test_at_most_3_of_100_unchanged_series_are_called_changed(runs: int) -> None:
    """By simulation: 600 series of 5 % normal noise."""
    noise = random.Random(runs)
    called = sum(bool(change_points([100 * math.exp(noise.gauss(0, 0.05)) for _ in range(runs)])) for _ in range(600))

    assert called <= 0.03 * 600


def test_a_shift_of_three_standard_deviations_is_found_in_30_runs() -> None:
    noise = random.Random(1)
    found = 0
    for _ in range(200):
        values = [(100 if place < 15 else 86) * math.exp(noise.gauss(0, 0.05)) for place in range(30)]
        found += any(abs(change.start - 15) <= 2 for change in change_points(values))

    assert found >= 0.9 * 200


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 7, [1.0] * 100, [1e18, 1e-18] * 10, [100.0] * 20 + [101.0] * 20])
def test_series_without_a_change_worth_telling_have_none(values: list[float]) -> None:
    """Too short, constant, alternating, or moved by less than 2 %."""
    assert () == change_points(values)
