"""A search from end to end: what it saves, how it ends, and how it goes on."""

import argparse
import json
import math
import random
import re
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from PIL import Image
from rich.console import Console

from fixtures.bench.rig import Rig
from fixtures.machine import this_machine
from fixtures.protocol import Counted
from fixtures.session.journal import JournalError
from fixtures.steps.optimizations import catalogue
from reports.__main__ import main
from reports.commands.measuring import Bench
from reports.saved.load import read_run
from reports.saved.record import Measurement
from reports.saved.storage import Storage
from reports.show.tables import print_tables
from reports.statistics import paired_gain
from reports.text.durations import seconds_of
from reports.text.image_shape import size_of
from reports.tune import command
from reports.tune import run as tuning
from reports.tune.again import BACK_TO_BACK
from reports.tune.benchmark_app import AppRun, BenchmarkAppError, parse
from reports.tune.finals import Finalist, Finals
from reports.tune.run import Tuning, tune
from reports.tune.space import Candidate
from reports.tune.texts import tuning_picture, tuning_tables
from reports.views.front import points
from reports.views.recommend import DeploymentLimits
from tests.benches import bench_of
from tests.conftest import skip_unless_met
from tests.reports.saved_runs import benchmark, calls, measurement, save, saved_run

MODEL = "torchvision:resnet18"
MODEL_ID = "torchvision.resnet18"
NO_LIMITS = DeploymentLimits()
WEIGHTS = "random, seed 0"
PRINTED = """
[ INFO ] Latency:
[ INFO ]    99 percentile: 45.67 ms
[ INFO ]    Average:       40.00 ms
[ INFO ] Throughput:   231.45 FPS
"""


def record(step: str, sps: float, batch_size: int = 8) -> Measurement:
    return measurement(step, model=MODEL_ID, medians_s=(batch_size / sps,), samples=batch_size, batch_size=batch_size)


def throughput(candidate: Candidate) -> float:
    """It grows with the batch, and int8 is faster."""
    return (200.0 if "int8" in candidate.step else 100.0) * candidate.batch_size / (candidate.batch_size + 1)


def seen_of(candidate: Candidate, factor: float = 1.0, **figures: Any) -> Measurement:
    """A record of the candidate at its true throughput, or at so much of it."""
    return replace(record(candidate.name, factor * throughput(candidate), candidate.batch_size), **figures)


def candidate_of(name: str) -> Candidate:
    """Return the candidate of a recipe's name, `openvino@b8w2t1`."""
    step, batch_size, workers, threads = re.fullmatch(r"(.+)@b(\d+)w(\d+)t(\d+)", name).groups()  # type: ignore[union-attr]
    return Candidate(step, int(batch_size), int(workers), int(threads))


@dataclass(frozen=True)
class Stubbed:
    """Searches in which no process is started: throughput grows with the batch, int8 is faster. `measured` is what was measured."""

    made: Bench
    out: Path
    monkeypatch: pytest.MonkeyPatch
    measured: list[Candidate] = field(default_factory=list)

    def put(self, **functions: object) -> None:
        """Put these in place of the search's own."""
        for name, function in functions.items():
            self.monkeypatch.setattr(tuning, name, function)

    def search(
        self, limits: DeploymentLimits = NO_LIMITS, budget_s: float = 1e6, say: Callable[[str], None] = lambda _text: None
    ) -> Tuning:
        return tune(self.made, limits=limits, budget_s=budget_s, ladder=(), out=self.out, say=say)

    def saved(self) -> Any:
        """What the file of the search says."""
        return json.loads(self.out.read_text())


@pytest.fixture
def stubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stubbed:
    made = Stubbed(bench_of(MODEL, tmp_path / "cache"), tmp_path / "tuned.json", monkeypatch)

    def measure(_bench: Bench, candidate: Candidate) -> tuple[Measurement | None, str]:
        made.measured.append(candidate)
        if candidate.step == "pt2e_int8":
            return None, "the exporter refused it"
        return seen_of(candidate), ""

    def hold(_bench: Bench, winner: Any, ladder_best: Any, **_options: Any) -> Finals:
        gain = paired_gain([1.0, 1.1], [1.2, 1.2])
        rival = Finalist(name=f"ladder's best: {ladder_best.step.name}", samples_per_second=(180.0, 185.0), latency_p99_s=None, gain=gain)
        return Finals(record=record(winner.step.name, 222.0), rivals=(rival,), notes=("a note",))

    monkeypatch.setattr(Rig, "content", lambda _rig, model: {"name": model.name})
    monkeypatch.setattr(Rig, "counted", lambda _rig, _model: Counted(reason="no process is started"))
    made.put(
        _measure=measure,
        _measure_again=lambda _bench, candidate, _limits, _most_s: (seen_of(candidate), ""),
        hold_finals=hold,
        _ratio=lambda _bench, one, other: 1.01 if one.step == "onnxruntime_int8" else 0.99,
        fingerprint=lambda bench: bench.rig.machine.fingerprint() | {"versions": {}},
    )
    return made


def finals_as_they_are(_bench: Bench, winner: Any, _ladder_best: Any, **_options: Any) -> Finals:
    """Finals that show the winner's true throughput."""
    return Finals(record=seen_of(candidate_of(winner.step.name)), rivals=(), notes=())


def finals_of(sps: float, **figures: Any) -> Callable[..., Finals]:
    """Finals in which every winner has these figures."""
    return lambda _bench, winner, _best, **_options: Finals(record=replace(record(winner.step.name, sps), **figures), rivals=(), notes=())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Bench, DeploymentLimits]]:
    """No search is begun. Returns what the command asked for."""
    seen: list[tuple[Bench, DeploymentLimits]] = []

    def tune(made: Bench, *, limits: DeploymentLimits, **_options: Any) -> Tuning:
        seen.append((made, limits))
        return Tuning(model=MODEL_ID, limits=limits, budget_s=60.0)

    monkeypatch.setattr(tuning, "tune", tune)
    return seen


def told(found: Tuning) -> str:
    """What the command prints of a search."""
    console = Console(record=True, width=150)
    print_tables(console, tuning_tables(found, Path("tuned.json")))
    return console.export_text()


def test_a_whole_search_is_saved_as_a_run_with_its_finals(stubbed: Stubbed) -> None:
    stubbed = replaced(stubbed, out=stubbed.out.with_name("new") / "tuned.json")
    found = stubbed.search()

    saved, run = stubbed.saved(), read_run(stubbed.out)
    winner = saved["tune"]["finals"]["step"]
    assert len(stubbed.measured) == len(found.records) + len(found.failed)
    assert {m.step for m in run.measurements} == {each.step for each in found.records}
    assert 222.0 == pytest.approx(next(m.samples_per_second for m in run.measurements if m.step == winner))
    assert winner in saved["tune"]["front"]
    assert "no neighbour of the best is left to try" == saved["tune"]["ended"]
    assert not stubbed.out.with_suffix(".jsonl").exists()


def test_what_comes_close_takes_turns_with_the_best(stubbed: Stubbed) -> None:
    """All int8 steps have the same probes here; in turns one of them is faster."""
    skip_unless_met("openvino_int8", "onnxruntime_int8")

    found = stubbed.search()

    assert found.finals is not None
    assert found.finals.record.step.startswith("onnxruntime_int8@")


@pytest.mark.parametrize(
    ("sps", "p99_s", "limits"),
    [((200.0, 200.0), (9.0, 0.01), DeploymentLimits(p99_s=1.0)), ((90.0, 195.0), (0.01, 0.01), NO_LIMITS)],
    ids=["breaks a limit", "far slower"],
)
def test_a_winner_that_falls_behind_when_measured_again_makes_room_for_the_next(
    stubbed: Stubbed, sps: tuple[float, float], p99_s: tuple[float, float], limits: DeploymentLimits
) -> None:
    """A single process may be held up; what it was ahead of is then measured side by side too."""
    held: list[str] = []

    def hold(_bench: Bench, winner: Any, _ladder_best: Any, **_options: Any) -> Finals:
        held.append(winner.step.name)
        place = min(len(held), 2) - 1
        return Finals(record=replace(record(winner.step.name, sps[place]), **calls(p99_s[place])), rivals=(), notes=())

    stubbed.put(hold_finals=hold)
    found = stubbed.search(limits=limits)

    assert 2 == len(set(held)) == len(held)
    assert found.finals is not None
    assert held[1] == found.finals.record.step == found.winner
    assert p99_s[0] == next(m.latency_p99_s for m in read_run(stubbed.out).measurements if m.step == held[0])


def test_what_breaks_a_limit_in_its_finals_is_not_the_winner_where_another_keeps_it(stubbed: Stubbed) -> None:
    """Also where no time is left for the other's finals."""
    stubbed.put(MOST_FINALS=1, hold_finals=finals_of(500.0, **calls(9.0)))

    found = stubbed.search(limits=DeploymentLimits(p99_s=1.0))

    assert found.finals is not None
    assert found.winner not in {None, found.finals.record.step}


def test_finals_that_others_disturbed_take_no_winner_its_place(stubbed: Stubbed) -> None:
    """Half of its throughput, as a neighbour left it, is no figure: the probe stays, and the fastest probe is the best there is."""
    stubbed.put(hold_finals=finals_of(100.0, disturbed=True))
    said: list[str] = []
    found = stubbed.search(say=said.append)

    best = max(found.records, key=lambda m: m.samples_per_second)
    assert found.winner == best.step
    assert not any(m.disturbed for m in found.records)
    assert throughput(candidate_of(best.step)) == pytest.approx(best.samples_per_second)
    assert 1 == sum("disturbed by other processes" in text for text in said)
    assert f"best: {best.step} (not measured side by side)" in told(found)


def test_recipes_that_others_disturbed_are_none_within_the_limits(stubbed: Stubbed) -> None:
    """A search in which nothing has a figure is no success, whatever limits there are."""
    stubbed.put(_measure=lambda _bench, candidate: (seen_of(candidate, disturbed=True), ""))
    found = stubbed.search()

    assert found.records
    assert (None, False) == (found.winner, found.is_within)


def first_and_second(stubbed: Stubbed, seed: int, first: float, second: float) -> dict[str, list[float]]:
    """Let figures of both measurements spread by so much; returns them by candidate, over its true throughput."""
    draw = random.Random(seed)
    seen: dict[str, list[float]] = {}

    def measured(candidate: Candidate, spread: float) -> tuple[Measurement, str]:
        factor = math.exp(draw.gauss(0, spread))
        seen.setdefault(candidate.name, []).append(factor)
        return seen_of(candidate, factor), ""

    stubbed.put(
        _measure=lambda _bench, candidate: measured(candidate, first),
        _measure_again=lambda _bench, candidate, _limits, _most_s: measured(candidate, second),
    )
    return seen


def test_the_front_is_drawn_by_a_second_measurement(stubbed: Stubbed) -> None:
    """What a search chooses by single probes is better by luck, too: 7 % of spread make the upper edge of the front too high."""
    stubbed.put(hold_finals=finals_as_they_are)
    chosen, drawn = [], []
    for number in range(60):
        seen = first_and_second(stubbed, number, 0.07, 0.02)
        found = replaced(stubbed, out=stubbed.out.with_name(f"{number}.json")).search()
        front = [m for m in found.front if found.finals is None or m.step != found.finals.record.step]
        assert all(m.step in found.measured_again for m in front)
        assert all(2 == len(seen[m.step]) for m in front)
        chosen += [seen[m.step][0] for m in front]
        drawn += [m.samples_per_second / throughput(candidate_of(m.step)) for m in front]

    assert statistics.geometric_mean(chosen) > 1.02
    assert statistics.geometric_mean(drawn) < 1.02
    assert statistics.geometric_mean(drawn) - 1 < 0.4 * (statistics.geometric_mean(chosen) - 1)


def test_what_falls_behind_makes_room_for_what_is_measured_again_too(stubbed: Stubbed) -> None:
    lucky: list[str] = []

    def again(_bench: Bench, candidate: Candidate, *_: object) -> tuple[Measurement | None, str]:
        lucky.append(candidate.name)
        return seen_of(candidate, 0.5 if len(lucky) == 1 else 1.0), ""

    stubbed.put(_measure_again=again)
    found = stubbed.search()

    assert len(set(lucky)) == len(lucky) > 1
    assert lucky[0] not in {m.step for m in found.front}
    assert {m.step for m in found.front} <= found.measured_again


@pytest.mark.parametrize(
    "second", [(None, "the worker was killed"), (replace(record("x", 1.0), disturbed=True), "")], ids=["failed", "disturbed"]
)
def test_what_could_not_be_measured_again_says_so(stubbed: Stubbed, second: tuple[Measurement | None, str]) -> None:
    """A figure that it was chosen for is not called a second measurement."""
    stubbed.put(hold_finals=finals_as_they_are, _measure_again=lambda *_arguments: second)
    found = stubbed.search()

    assert found.finals is not None
    assert {found.finals.record.step} == found.measured_again
    assert "Measured once only" in told(found)
    assert stubbed.saved()["tune"]["measured_again"] in ([], [found.finals.record.step])


def test_no_time_to_measure_the_front_again_is_said(stubbed: Stubbed) -> None:
    stubbed.put(hold_finals=finals_as_they_are, _cost_again_s=lambda *_arguments: 1e9)
    said: list[str] = []
    found = stubbed.search(say=said.append)

    assert any(text.startswith("no time is left to measure") for text in said)
    shown = points(found.records, measured_again=found.measured_again)
    assert all(point.is_first == (point.step not in found.measured_again) for point in shown)
    assert b"measured once" in tuning_picture(found, ".svg")


def test_a_winner_is_one_that_is_shown_to_keep_the_limit(stubbed: Stubbed) -> None:
    """Single probes have too few calls; the fastest recipe's calls back to back show its p99 over the limit, the next one's below it."""
    asked: list[str] = []

    def probe(_bench: Bench, candidate: Candidate) -> tuple[Measurement | None, str]:
        return seen_of(candidate, **calls(0.001 * candidate.batch_size, samples=40)), ""

    def again(_bench: Bench, candidate: Candidate, *_: object) -> tuple[Measurement | None, str]:
        asked.append(candidate.name)
        return seen_of(candidate, **calls(0.04 if candidate.batch_size > 8 else 0.01), latency_calls=BACK_TO_BACK), ""

    stubbed.put(_measure=probe, _measure_again=again, hold_finals=finals_of(190.0, **calls(0.009, samples=27)))
    found = stubbed.search(limits=DeploymentLimits(p99_s=0.03))

    assert found.winner is not None
    assert 8 == candidate_of(found.winner).batch_size
    [winner] = [m for m in found.records if m.step == found.winner]
    assert (1000, 0.01) == (winner.latency_samples, winner.latency_p99_high_s)
    assert "" == DeploymentLimits(p99_s=0.03).broken_by(winner)
    assert any(candidate_of(step).batch_size > 8 for step in asked)


def test_probes_alone_make_no_winner_under_a_limit(stubbed: Stubbed) -> None:
    def probe(_bench: Bench, candidate: Candidate, *_: object) -> tuple[Measurement | None, str]:
        return seen_of(candidate, **calls(0.001, samples=40)), ""

    stubbed.put(_measure=probe, _measure_again=probe)
    found = stubbed.search(limits=DeploymentLimits(p99_s=0.03))

    assert found.winner is None
    assert "second measurement, in fresh processes" in told(found)
    assert "No recipe measured is shown to be within the limits" in told(found)


def test_no_time_to_hold_the_finals_of_what_is_ahead_is_said(stubbed: Stubbed) -> None:
    """The slow one of the finals is not called the winner."""
    stubbed.put(MOST_FINALS=1, hold_finals=finals_of(90.0))

    found = stubbed.search()

    assert found.finals is not None
    assert found.winner != found.finals.record.step
    assert "not measured side by side" in told(found)


def test_recommend_takes_what_tune_saved(stubbed: Stubbed, capsys: pytest.CaptureFixture[str]) -> None:
    skip_unless_met("onnxruntime_int8")
    stubbed.search()

    assert 0 == main(["recommend", str(stubbed.out)])
    assert "int8@b" in capsys.readouterr().out.partition(",")[2].partition(",")[0]


def test_an_interrupted_search_keeps_what_it_found_and_goes_on(stubbed: Stubbed) -> None:
    measure = tuning._measure

    def interrupted(bench: Bench, candidate: Candidate) -> tuple[Measurement | None, str]:
        if len(stubbed.measured) == 3:
            raise KeyboardInterrupt
        return measure(bench, candidate)

    stubbed.put(_measure=interrupted)
    first = stubbed.search()
    assert first.ended.startswith("interrupted")
    assert len(first.records) + len(first.failed) == 3
    assert len(first.records) == len(read_run(stubbed.out).measurements)
    before = list(stubbed.measured)
    with stubbed.out.with_suffix(".jsonl").open("a") as journal:
        journal.write('{"candidate": "as another version of this suite has it"}\n')

    stubbed.put(_measure=measure)
    second = stubbed.search()

    assert len(stubbed.measured) == len(set(stubbed.measured))  # nothing twice
    assert stubbed.measured[:3] == before
    assert second.finals is not None
    assert not stubbed.out.with_suffix(".jsonl").exists()


def test_a_search_of_other_conditions_is_not_taken_up(stubbed: Stubbed) -> None:
    stubbed.out.with_suffix(".jsonl").write_text('{"conditions": {"threads": 512}}\n')

    with pytest.raises(JournalError, match=r"under other conditions \(.*; name another --out, or delete "):
        stubbed.search()
    assert [] == stubbed.measured


def test_the_budget_ends_a_candidate_that_hangs(stubbed: Stubbed) -> None:
    """Whatever it waits for, with what was found before it saved."""
    measure = tuning._measure

    def hanging(bench: Bench, candidate: Candidate) -> tuple[Measurement | None, str]:
        if len(stubbed.measured) == 2:
            try:
                time.sleep(3600)
            except Exception:  # noqa: BLE001 - as the suite's own handlers do: an error of a step must not end the search
                return None, "swallowed"
        return measure(bench, candidate)

    stubbed.put(_measure=hanging)
    found = stubbed.search(budget_s=1.0)

    assert "the budget is used up" == found.ended
    assert 2 == len(stubbed.measured)
    assert 2 == len(stubbed.saved()["benchmarks"]) + len(found.failed)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_end_of_the_budget_is_told_again_where_a_destructor_drops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "RAISED_AGAIN_S", 0.02)
    dropped = []

    class Slow:
        def __del__(self) -> None:
            try:
                signal.pause()
            finally:
                dropped.append(self)

    def wait() -> None:
        with tuning._alarm(0.02):
            Slow()
            signal.pause()

    with pytest.raises(tuning.OutOfTime):
        wait()

    assert 1 == len(dropped)
    assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_REAL)


def test_no_time_is_kept_for_finals_while_nothing_was_measured(stubbed: Stubbed) -> None:
    """A search whose first candidate fails goes on for as long as the next one fits."""
    spent_s = [0.0]

    def failing_once(_bench: Bench, candidate: Candidate) -> tuple[Measurement | None, str]:
        stubbed.measured.append(candidate)
        spent_s[0] += 14.0
        return (None, "not in force") if len(stubbed.measured) == 1 else (seen_of(candidate), "")

    stubbed.put(_measure=failing_once, time=SimpleNamespace(monotonic=lambda: spent_s[0]))
    found = stubbed.search(budget_s=40.0)

    assert 2 == len(stubbed.measured)
    assert 1 == len(found.records) == len(found.failed)
    assert "the budget is used up" == found.ended


def test_nothing_within_the_limits_holds_no_finals(stubbed: Stubbed) -> None:
    found = stubbed.search(limits=DeploymentLimits(p99_s=1e-9))

    assert found.records
    assert found.finals is None


@pytest.mark.parametrize(("found", "code"), [({}, 0), ({"limits": DeploymentLimits(p99_s=1e-9)}, 1), ({"ended": "interrupted: x"}, 130)])
def test_the_command_tells_how_it_ended(
    found: dict[str, Any], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Tuning(
        model=MODEL_ID,
        limits=DeploymentLimits(),
        budget_s=60.0,
        records=[record("openvino@b8w1t2", 200.0), record("onnxruntime@b8w1t2", 90.0)],
    )
    for name, value in found.items():
        setattr(result, name, value)
    monkeypatch.setattr(tuning, "tune", lambda *_arguments, **_options: result)
    limits = ["--max-p99-ms", "0.000001"] if "limits" in found else []
    picture = tmp_path / "front.svg"

    ended = main(["tune", "--model", MODEL, "--storage", str(tmp_path), "--ladder", "none", "--plot", str(picture), *limits])

    shown = capsys.readouterr().out
    assert code == ended
    assert "openvino@b8w1t2" in shown
    assert "python -m reports recommend" in shown
    assert b"<svg" in picture.read_bytes()
    assert ("No recipe measured is shown to be within the limits" in shown) == (code == 1)


def test_labelled_pictures_and_their_limit_reach_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[Bench, DeploymentLimits]]
) -> None:
    """The rig classifies them by every candidate, and another set of pictures is another search."""
    for name, shade in (("cat", 10), ("dog", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), (shade, shade, shade)).save(tmp_path / "pictures" / name / "a.png")
    monkeypatch.setattr(Rig, "content", lambda _rig, model: {"name": model.name})
    monkeypatch.setattr(tuning, "fingerprint", lambda bench: bench.rig.machine.fingerprint() | {"versions": {}})
    usual = ["tune", "--model", MODEL, "--storage", str(tmp_path), "--ladder", "none"]
    main([*usual, "--accuracy", str(tmp_path / "pictures"), "--max-accuracy-loss", "0.5"])
    main(usual)

    [(labelled, limits), (unlabelled, _)] = asked
    assert labelled.rig.answers.pictures is not None
    assert (0, 1) == labelled.rig.answers.pictures.labels
    assert (0.5, 0.5) == (limits.accuracy_loss_points, labelled.rig.answers.controlled_loss)
    assert unlabelled.rig.answers.pictures is None
    first, second = (tuning._conditions(made, {}) for made in (labelled, unlabelled))
    assert {"accuracy", "controlled_loss"} == set(first) - set(second)


def test_metrics_and_their_limits_reach_the_search(tmp_path: Path, asked: list[tuple[Bench, DeploymentLimits]]) -> None:
    """A candidate beyond a limit is measured all the same: the search tells what it breaks."""
    (tmp_path / "metrics.py").write_text("def f1(outputs, labels):\n    return 1.0\n")
    (tmp_path / "text.txt").write_text("a text")
    usual = ["tune", "--model", f"{tmp_path}/served.py:create", "--storage", str(tmp_path), "--ladder", "none"]
    main([*usual, "--evaluate", f"{tmp_path}/metrics.py:f1", "--metric-limit", "f1=-0.01"])
    main([*usual, "--accuracy", str(tmp_path / "text.txt"), "--metric-limit", "perplexity=+1%"])

    (own, of_own), (text, of_text) = asked
    assert own.rig.answers.metric is not None
    assert text.rig.answers.text is not None
    assert [(), ()] == [own.rig.answers.metric_limits, text.rig.answers.metric_limits]
    assert ["f1 -0.01", "perplexity +1 %"] == [str(limit) for each in (of_own, of_text) for limit in each.metrics]
    assert of_own.of_outputs == of_own


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--metric-limit", "perplexity=+1%"], "--metric-limit perplexity: no metric of this name is measured"),
        (["--max-accuracy-loss", "0.5"], "--max-accuracy-loss is a limit on labelled pictures: name them with --accuracy DIR"),
        (["--accuracy", "lost"], "lost"),
    ],
)
def test_a_limit_without_pictures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str) -> None:
    assert 2 == main(["tune", "--model", MODEL, "--storage", str(tmp_path), "--ladder", "none", *arguments])
    assert reason in capsys.readouterr().err


def test_the_newest_run_of_the_model_guides_the_search(tmp_path: Path) -> None:
    """A run of something else that was saved since does not."""
    ours = save(tmp_path, 1, saved_run([benchmark("openvino", model=MODEL_ID)]))
    other = save(tmp_path, 2, saved_run([benchmark("openvino", model="other")], saved_at="2026-11-21T04:40:00+00:00"))

    assert ours == command._newest_of(Storage(str(tmp_path)), MODEL_ID)
    assert other == command._newest_of(Storage(str(tmp_path)), "unknown")


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ({"input_shape": [8, 3, 240, 320]}, ""),
        ({"input_shape": [8, 3, 320, 240]}, "has other images than 240x320"),
        ({"input_shape": [8, 1, 240, 320]}, "has other images than 240x320"),
        ({"input_shape": [8, 128], "sequence_length": 128}, ""),
        ({"input_shape": [8, 64], "sequence_length": 64}, "has texts of another length than 128 tokens"),
        ({"input_shape": [8, 3, 240, 320], "weights": WEIGHTS}, ""),
        ({"input_shape": [8, 3, 240, 320], "weights": "0123456789abcdef"}, "has other weights than random, seed 0"),
    ],
)
def test_a_run_on_other_inputs_does_not_guide_the_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], measured: dict[str, Any], why: str
) -> None:
    """What is fast on them tells nothing of these."""
    saved = saved_run(
        [benchmark("openvino", model=MODEL_ID, **measured)], fingerprint=this_machine().fingerprint() | {"versions": {"torch": "2.13.0"}}
    )
    run = read_run(save(tmp_path, 1, saved))
    asked = argparse.Namespace(ladder="latest", image_size=size_of("240x320"), image_channels=3, sequence_length=128)
    guided = command._ladder(asked, Storage(str(tmp_path)), MODEL_ID, run.fingerprint, WEIGHTS)

    assert ([] if why else ["openvino"]) == [each.step for each in guided]
    assert (why or "guided by run 0001") in capsys.readouterr().err


def test_a_later_run_of_training_does_not_hide_the_ladder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It measured the same model, by steps that no search may take; alone it guides nothing."""
    trains = next(name for name, step in catalogue().items() if step.family == "cpu_training")
    machine = this_machine().fingerprint() | {"versions": {"torch": "2.13.0"}}
    asked = argparse.Namespace(ladder="latest", image_size=size_of("224"), image_channels=3, sequence_length=128)
    trained = benchmark(trains, model=MODEL_ID, family="cpu_training")
    save(tmp_path, 2, saved_run([trained], fingerprint=machine, saved_at="2026-11-22T00:00:00+00:00"))
    assert [] == command._ladder(asked, Storage(str(tmp_path)), MODEL_ID, machine, WEIGHTS)
    assert "by a step that takes single requests: it does not guide this search" in capsys.readouterr().err

    save(tmp_path, 1, saved_run([benchmark("openvino", model=MODEL_ID)], fingerprint=machine, saved_at="2026-11-21T00:00:00+00:00"))
    assert ["openvino"] == [each.step for each in command._ladder(asked, Storage(str(tmp_path)), MODEL_ID, machine, WEIGHTS)]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--plot", "x.pdf"], ".png or .svg"),
        (["--out", "/nowhere/x.json"], "there is no folder '/nowhere'"),
        (["--out", "x.jsonl"], "a search keeps its journal in a file .jsonl beside its result; name a file .json"),
        (["--ladder", "7"], "no run '7'"),
        (["--model", "bert"], "unknown model 'bert'"),
    ],
)
def test_errors_are_one_paragraph(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str) -> None:
    (tmp_path / "runs").mkdir()
    assert 2 == main(["tune", "--model", MODEL, "--storage", str(tmp_path / "runs"), *arguments])

    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert 1 == len(error)
    assert reason in error[0]


def test_what_benchmark_app_prints_is_read() -> None:
    assert AppRun(samples_per_second=231.45, latency_p99_s=0.04567) == parse(PRINTED)
    assert parse("Throughput: 5 FPS").latency_p99_s is None
    assert parse(f"[ INFO ] Count:               99 iterations\n{PRINTED}").latency_p99_s is None
    assert parse(f"[ INFO ] Count:               100 iterations\n{PRINTED}").latency_p99_s == 0.04567
    with pytest.raises(BenchmarkAppError, match="printed no throughput"):
        parse("nothing")


def test_candidates_of_other_variables_are_of_another_search(stubbed: Stubbed) -> None:
    """Held to AVX2, or with threads bound, every candidate has another figure."""
    made = stubbed.made
    launcher = replaced(made.rig.launcher, environment={**made.rig.launcher.environment, "ONEDNN_MAX_CPU_ISA": "AVX2"})
    held = replaced(made, rig=replaced(made.rig, launcher=launcher))

    usual, other = (tuning._conditions(each, {}) for each in (made, held))
    assert {"environment"} == {name for name in usual if usual[name] != other[name]}


@pytest.mark.nightly
def test_a_real_search_ends_with_a_winner_side_by_side(
    artifact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two steps in small batches, real workers, OpenVINO's real benchmark_app."""
    skip_unless_met("openvino", "onnxruntime", "workers_pinned")
    monkeypatch.setattr("reports.tune.run.ordered_steps", lambda *_arguments: ("openvino", "onnxruntime"))
    monkeypatch.setattr("reports.tune.space.BATCHES", (1, 2))
    monkeypatch.setattr("reports.tune.run.start_batch", lambda *_arguments: 2)
    monkeypatch.setattr(tuning, "APP_SECONDS", 3)

    found = Stubbed(bench_of(MODEL, artifact_folder), tmp_path / "tuned.json", monkeypatch).search(budget_s=seconds_of("20m"))

    assert found.finals is not None, found.failed
    assert ["benchmark_app"] == [rival.name.split()[0] for rival in found.finals.rivals if "benchmark_app" in rival.name]
    assert len(found.records) >= 4
    assert 0 == main(
        ["recommend", str(tmp_path / "tuned.json"), "--artifact-cache", str(artifact_folder), "--emit", str(tmp_path / "served")]
    )
    assert (tmp_path / "served" / "run.sh").exists()
