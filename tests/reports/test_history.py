"""Following benchmarks over runs: whose runs, which changes of level, and how rarely one is called where there is none."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.__main__ import main
from reports.saved.storage import Storage
from reports.statistics.changepoints import change_points, changes, common_shifts
from reports.views.history import History, NothingToFollow, history
from tests.reports.saved_runs import FINGERPRINT, benchmark, ladder, save, saved_run


def follow(folder: Path, steps: tuple[str, ...] = ()) -> History:
    runs = Storage(str(folder)).shelf.runs
    return history(runs, runs[-1].fingerprint if runs else FINGERPRINT, steps=steps)


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


def test_a_run_on_other_images_is_no_change_of_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten nights of 224 pixels, ten of 64 and ten of 224 again: the newest says what is followed, and others are counted."""
    for day in range(1, 31):
        size = 64 if 10 < day <= 20 else 224
        steady = benchmark("compile", medians_s=[0.1 * size / 224] * 3, input_shape=[8, 3, size, size])
        save(tmp_path, day, saved_run([steady], saved_at=f"2026-11-{day:02}T00:00:00+00:00"))

    found = follow(tmp_path)
    assert (20, ()) == (len(found.series[0].points), found.series[0].shifts)
    assert 10 == found.other_conditions

    main(["history", "--storage", str(tmp_path)])
    assert "left out: 10 measurements with other inputs, threads or workers" in " ".join(capsys.readouterr().out.split())


def test_a_record_that_a_resumed_run_took_over_is_followed_once(tmp_path: Path) -> None:
    """Where it was measured, in the interrupted run; and it is none on other inputs."""
    pairs: dict[str, Any] = {"over": "baseline", "medians_s": (0.1, 0.11), "over_medians_s": (0.2, 0.21)}
    went_on = [benchmark("compile", resumed=True, **pairs), benchmark("openvino", **pairs)]
    save(tmp_path, 1, saved_run([benchmark("compile", **pairs)], saved_at="2026-11-01T00:00:00+00:00"))
    save(tmp_path, 2, saved_run(went_on, saved_at="2026-11-02T00:00:00+00:00"))

    found = follow(tmp_path)
    assert {"compile": ["0001"], "openvino": ["0002"]} == {each.step: [point.run for point in each.points] for each in found.series}
    assert (2, 0) == (found.runs, found.other_conditions)


def test_runs_that_say_nothing_about_their_machine_are_of_no_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even of one with each other."""
    for number in (1, 2):
        save(tmp_path, number, saved_run(ladder("baseline"), fingerprint={}))
    save(tmp_path, 3, saved_run(ladder("baseline")))

    assert {"unknown machine": 2} == history(Storage(str(tmp_path)).shelf.runs, FINGERPRINT).other_machines
    assert 2 == main(["history", "--machine-of", "1", "--storage", str(tmp_path)])
    assert "says nothing about its machine (no machine_info.fingerprint)" in capsys.readouterr().err


def test_an_unknown_step_is_refused_with_those_that_are_saved(tmp_path: Path) -> None:
    save(tmp_path, 1, saved_run(ladder("baseline", "compile")))

    with pytest.raises(NothingToFollow, match="has step 'nope'; name one that is saved: baseline, compile"):
        follow(tmp_path, steps=("nope",))


def test_a_step_of_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of both is saved, and nothing was measured with both; there is nothing to draw."""
    save(tmp_path, 1, saved_run([*ladder("baseline", "compile"), benchmark(model="vit")]))
    words = ["history", "--step", "compile", "--model", "vit", "--storage", str(tmp_path), "--plot", str(tmp_path / "x.svg")]

    assert 2 == main(words)
    assert "no saved run of this machine has a step compile of vit; name two" in capsys.readouterr().err


def test_no_run_is_refused_with_how_to_save_one(tmp_path: Path) -> None:
    with pytest.raises(NothingToFollow, match="--benchmark-autosave"):
        follow(tmp_path)


STEPS = 44


def autocorrelated(draw: np.random.Generator, shape: tuple[int, ...], rho: float) -> np.ndarray:
    """Normal noise whose last axis are runs, each like the one before by `rho`."""
    noise = draw.standard_normal(shape)
    for place in range(1, shape[-1]):
        noise[..., place] = rho * noise[..., place - 1] + math.sqrt(1 - rho**2) * noise[..., place]
    return noise


@pytest.mark.parametrize("runs", [12, 20, 60])
@pytest.mark.parametrize(("shared", "own", "rho"), [(0.05, 0.02, 0.6), (0.0, 0.05, 0.6), (0.05, 0.05, 0.0)])
def test_at_most_one_of_twenty_unchanged_pages_has_a_change(runs: int, shared: float, own: float, rho: float) -> None:
    """By simulation, of pages of 44 steps: nights that a whole run shares, and steps of their own, with autocorrelation 0.6 and without."""
    draw = np.random.default_rng(runs)
    pages = 300
    called = 0
    for _ in range(pages):
        logs = shared * autocorrelated(draw, (runs,), rho) + own * autocorrelated(draw, (STEPS, runs), rho)
        found = changes(np.exp(logs).tolist())
        called += bool(found.machine) or any(found.steps)

    assert called <= 0.05 * pages


def test_nights_that_all_steps_share_hide_no_step_and_charge_none() -> None:
    """A machine that loses 20 % and a step that loses 10 % are told apart; on the steps' own figures both would be everybody's."""
    draw = np.random.default_rng(3)
    machine = 0.05 * autocorrelated(draw, (40,), 0.6) + np.where(np.arange(40) < 25, 0.0, math.log(0.8))
    logs = machine + 0.01 * draw.standard_normal((12, 40))
    logs[4, 15:] += math.log(0.9)

    found = changes(np.exp(logs).tolist())

    [shift] = found.machine
    assert abs(shift.start - 25) <= 1
    assert 0.8 == pytest.approx(shift.ratio, abs=0.06)
    assert [4] == [place for place, each in enumerate(found.steps) if each]
    [own] = found.steps[4]
    assert 15 == own.start
    assert 0.9 == pytest.approx(own.ratio, abs=0.02)
    shared = common_shifts(logs)
    assert shared - shared.mean() == pytest.approx(machine - machine.mean(), abs=0.02)


def test_two_steps_share_nothing_that_could_be_told_from_their_own() -> None:
    values = [[100.0] * 10 + [80.0] * 10, [50.0] * 10 + [40.0] * 10]

    found = changes(values)

    assert () == found.machine
    assert not common_shifts(np.log(values)).any()
    assert [[10], [10]] == [[change.start for change in each] for each in found.steps]
    assert changes([]).steps == ()


def test_runs_without_a_step_are_no_break() -> None:
    """A step that was skipped in some runs is followed through the others; its change is where it was measured again."""
    values: list[float | None] = [100.0 + number % 2 for number in range(12)] + [None] * 3 + [70.0 + number % 2 for number in range(12)]

    [found] = changes([values]).steps

    assert [15] == [change.start for change in found]


def test_a_machine_that_became_slower_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = random.Random(7)
    for day in range(1, 25):
        slow = 1.0 if day < 13 else 1.25
        seconds = {step: 0.1 * slow * math.exp(noise.gauss(0, 0.01)) for step in ("baseline", "compile", "openvino")}
        steps = [benchmark(step, medians_s=[each] * 3) for step, each in seconds.items()]
        save(tmp_path, day, saved_run(steps, commit=f"{day:040x}", saved_at=f"2026-11-{day:02}T00:00:00+00:00"))

    found = follow(tmp_path, steps=("compile",))
    assert ["compile"] == [series.step for series in found.series]
    assert () == found.series[0].shifts
    [shift] = found.machine_shifts
    assert "0013" == shift.run
    assert 0.8 == pytest.approx(shift.ratio, abs=0.02)
    assert 0 == main(["history", "--storage", str(tmp_path)])
    assert "the machine: all steps together -19.9 % from run 0013 on" in capsys.readouterr().out


def test_a_disturbed_run_of_a_step_tells_no_level(tmp_path: Path) -> None:
    """Three slow runs in a row that others disturbed are drawn, and no change."""
    for day in range(1, 21):
        disturbed = 10 <= day < 14
        step = benchmark("compile", medians_s=[(0.2 if disturbed else 0.1) + 0.001 * (day % 2)] * 3, disturbed=disturbed)
        save(tmp_path, day, saved_run([step], saved_at=f"2026-11-{day:02}T00:00:00+00:00"))

    [series] = follow(tmp_path).series
    assert 20 == len(series.points)
    assert () == series.shifts


def test_disturbed_figures_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In their row, below the table, and on the page."""
    for day in (1, 2, 3):
        step = benchmark("compile", disturbed=day == 2)
        save(tmp_path, day, saved_run([step], saved_at=f"2026-11-{day:02}T00:00:00+00:00"))
    told = "1 of 3 measurements was disturbed by others, without a say in any level"

    assert 0 == main(["history", "--storage", str(tmp_path)])
    shown = capsys.readouterr().out
    assert [False, True, False] == ["disturbed" in line for line in shown.splitlines() if line.lstrip().startswith("000")]
    assert told in shown
    out = tmp_path / "page.html"
    assert 0 == main(["page", "--storage", str(tmp_path), "--out", str(out)])
    assert told in out.read_text()


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
