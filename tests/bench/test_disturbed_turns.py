"""Turns that others disturb: taken again, within a bound; what stays disturbed has no verdict, and is nobody's best."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.bench.record import record_of
from fixtures.bench.rig import Rig, TakenAgain
from fixtures.bench.turns import PairedMeasurement, Plan, Round, is_disturbed
from fixtures.machine.host import HostSample, tick_s
from fixtures.protocol import Counted, ModelSpec
from fixtures.steps.recipe import resolve
from reports.saved.record import Measurement
from reports.statistics import DISTURBED
from reports.text.image_shape import square
from reports.tune.search import Search, Tried
from reports.tune.space import Candidate, Space, ordered_steps
from reports.views.ladder import disturbances, ladders
from reports.views.recommend import DeploymentLimits, NothingToRecommend, recommend
from tests.conftest import MakeRig
from tests.reports.saved_runs import measurement

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))
PLAN = Plan(pairs=1, budget_s=0.05, warmup_limit_s=0.0)


@pytest.fixture
def rig(make_rig: MakeRig) -> Iterator[Rig]:
    rig = make_rig()
    yield rig
    rig.standby.close()


def measured(rig: Rig) -> Measurement:
    """Return the record of channels_last over the step below, in one pair."""
    own = resolve("channels_last", rig.catalogue, rig.machine)
    over = resolve(own.over or "baseline", rig.catalogue, rig.machine)
    host, measurement = HostSample.now(), PairedMeasurement(rig, own, over, RESNET, PLAN)
    measurement.measure()
    return record_of("resnet18", measurement, host, Counted(reason="not counted"))


@pytest.mark.slow
def test_a_neighbour_disturbs_turns_until_the_bound(rig: Rig) -> None:
    """A process for each CPU that never rests: turns are taken again, in vain, and the record says disturbed and holds what was seen."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in rig.machine.allowed_cpus]
    try:
        record = measured(replace(rig, threads=1))
    finally:
        for each in busy:
            each.kill()
            each.wait()

    [pair], gain = record.pairs, record.gain
    assert gain is not None
    assert (True, DISTURBED) == (record.disturbed, gain.verdict)
    assert 1 <= pair.turns_again <= len(pair.own_rounds_s)
    assert len(pair.own_rounds_s) == len(pair.own_others_share) == len(pair.over_steal_share)
    assert any("disturbed: others took" in finding for finding in record.findings)


@pytest.mark.nightly
def test_a_disturbance_that_passes_leaves_a_figure(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first turn is disturbed and taken again; then nobody else uses the CPUs, as these counters have it."""
    counters = iter([(0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (50.0, 0.0, 1.0)])  # at the start of the pair, and before and after its first turn
    ahead = 10.0

    def others(_self: PairedMeasurement) -> tuple[float, float, float]:
        nonlocal ahead
        ahead += 1.0
        return next(counters, (50.0, 0.0, ahead))

    monkeypatch.setattr(PairedMeasurement, "_others_until_now", others)

    record = measured(rig)

    [pair], gain = record.pairs, record.gain
    assert gain is not None
    assert (False, 1) == (record.disturbed, pair.turns_again)
    assert (0.0,) * len(pair.own_rounds_s) == pair.own_others_share
    assert DISTURBED != gain.verdict


def test_who_goes_on_disturbing_costs_four_turns_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of a later step are not taken again either, until one was undisturbed: a neighbour that never rests is known by then."""
    others_s = clock_s = 0.0
    neighbour = True

    def others(_self: PairedMeasurement) -> tuple[float, float, float]:
        return others_s, 0.0, clock_s

    def take_turn(*_: object) -> Round:
        nonlocal others_s, clock_s
        clock_s += 1.0
        others_s += 1.0 if neighbour else 0.0
        return Round(iteration_s=1.0, latencies_s=(1.0,))

    monkeypatch.setattr(PairedMeasurement, "_others_until_now", others)
    monkeypatch.setattr("fixtures.bench.turns.take_turn", take_turn)
    machine: Any = SimpleNamespace(machine=SimpleNamespace(allowed_cpus=[0, 1]), taken_again=TakenAgain())
    anything: Any = None
    serving: Any = SimpleNamespace(workers=SimpleNamespace(wait_until_still=lambda: None))

    def taken_again(turns: int) -> int:
        """Let a step of a pair take turns; return how many were taken again."""
        paired = PairedMeasurement(machine, anything, None, anything, PLAN)
        side: Any = SimpleNamespace(by_pair=[[]], iterations=1)
        paired._untimed, paired._again_left, paired.again_by_pair = 0, 10, [0]
        for _ in range(turns):
            paired._turn(serving, side)
        assert turns == len(side.by_pair[-1])
        return paired.again_by_pair[-1]

    assert [4, 0] == [taken_again(3), taken_again(3)]
    neighbour = False
    assert 0 == taken_again(1)
    neighbour = True
    assert 4 == taken_again(3)


def test_what_is_called_between_pairs_disturbs_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """benchmark_app takes both CPUs for ten seconds while both sides stand still: that is no other process beside turns of six seconds."""
    machine: Any = SimpleNamespace(machine=SimpleNamespace(allowed_cpus=[0, 1]))
    anything: Any = None
    paired = PairedMeasurement(machine, anything, None, anything, Plan(pairs=2))
    used_s = clock_s = 0.0

    def begin_pair() -> None:
        paired.rounds_per_pair = 3
        paired._since = (used_s, 0.0, clock_s)

    def take_turn() -> float:
        nonlocal clock_s
        clock_s += 1.0
        return 1.0

    def benchmark_app() -> None:
        nonlocal used_s, clock_s
        used_s, clock_s = used_s + 20.0, clock_s + 10.0

    monkeypatch.setattr(paired, "open", begin_pair)
    monkeypatch.setattr(paired, "_others_until_now", lambda: (used_s, 0.0, clock_s))
    monkeypatch.setattr(paired, "before", lambda: begin_pair() if paired._since is None else None)
    monkeypatch.setattr(paired, "run", take_turn)
    monkeypatch.setattr(paired, "after", lambda: None)
    monkeypatch.setattr(paired, "_tell", lambda: None)

    paired.measure(benchmark_app)
    assert 6.0 == sum(passed_s for _, _, passed_s in paired._taken)
    assert 0.0 == paired.others_share


def test_ticks_tell_nothing_of_a_short_turn() -> None:
    """5 % of the CPUs' time, and no less than three ticks of the system's counters."""
    tick = tick_s()

    assert not is_disturbed(3 * tick, 0.001)
    assert is_disturbed(4 * tick, 0.001)
    assert not is_disturbed(0.05, 1.0)
    assert is_disturbed(0.051, 1.0)


def records(*, disturbed: Sequence[str]) -> list[Measurement]:
    """Return a baseline, a step of twice its throughput and one of seven times, some of them disturbed."""
    made = (("baseline", None, 0.1), ("channels_last", "baseline", 0.05), ("batch_64", "baseline", 0.1 / 7))
    return [
        measurement(step, medians_s=(own_s,), over=over, over_medians_s=(0.1,) if over else (), disturbed=step in disturbed)
        for step, over, own_s in made
    ]


def test_what_stays_disturbed_is_never_the_best() -> None:
    found = records(disturbed=["batch_64"])

    [ladder] = ladders(found)
    assert ladder.best is not None
    assert "channels_last" == ladder.best.step
    recommended = recommend(found, "resnet50", DeploymentLimits())
    assert ("channels_last", ["batch_64"]) == (recommended.winner.step, [each.step for each in recommended.ruled_out])


def test_a_run_that_was_disturbed_throughout_has_no_best() -> None:
    found = records(disturbed=["baseline", "channels_last", "batch_64"])

    [ladder] = ladders(found)
    assert ladder.best is None
    with pytest.raises(NothingToRecommend, match="on an idle machine"):
        recommend(found, "resnet50", DeploymentLimits())


def test_a_tuner_builds_on_nothing_disturbed() -> None:
    """A probe that was disturbed is neither the best nor tells where to go on; a ladder's disturbed step rules none out."""
    lucky, honest = (Candidate(step, 8, 1, 2) for step in ("batch_64", "channels_last"))
    found = {each.step: each for each in records(disturbed=["batch_64"])}
    search = Search(Space(("batch_64", "channels_last"), 2), DeploymentLimits(), {"batch_64": 8, "channels_last": 8})
    search.tried = {lucky: Tried(lucky, found["batch_64"]), honest: Tried(honest, found["channels_last"])}

    assert honest == search.ranked()[0].candidate
    assert ("channels_last",) == ordered_steps({"batch_64": "x", "channels_last": "x"}, list(found.values()), DeploymentLimits())


def test_the_suite_says_what_was_taken_again() -> None:
    """Two turns of ten, and a step that stayed disturbed; nothing where there was nothing."""
    pair = {"own_median_s": 0.1, "over_median_s": 0.2, "own_rounds_s": [0.1] * 4, "over_rounds_s": [0.2] * 4, "turns_again": 2}
    record = measurement("tcmalloc", over="baseline", over_medians_s=(0.2,), medians_s=(0.1,), pairs=[pair], disturbed=True)

    told = disturbances([record])

    assert told.startswith("2 of 10 turns (20 %) were disturbed".replace(" %", "%"))
    assert "tcmalloc on resnet50" in told
    assert "" == disturbances(records(disturbed=[]))


def test_runs_saved_before_are_read(tmp_path: Path) -> None:
    """A record without any of these fields counts as undisturbed."""
    found = measurement("baseline")

    assert (False, ()) == (found.disturbed, found.pairs and found.pairs[0].own_others_share)
