"""`--budget` in real runs, and earlier runs of the machine in the report of the next one."""

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from fixtures import plugin
from fixtures.bench import turns
from fixtures.bench.launch import WorkerError
from fixtures.bench.record import record_of
from fixtures.bench.turns import PairedMeasurement, Plan
from fixtures.machine.host import HostSample
from fixtures.protocol import Counted, ModelSpec
from fixtures.session.further import Extendable, spend
from fixtures.session.progress import SessionProgress
from fixtures.steps.recipe import resolve
from reports.saved.record import Measurement
from reports.statistics.further_pairs import MOST_PAIRS
from reports.text.image_shape import square
from tests.conftest import MakeRig
from tests.reports.saved_runs import measurement
from tests.session.test_suite import Suite, records

QUIET = ("-p", "tests.undisturbed", "--benchmark-autosave")


@pytest.fixture
def suite(tmp_path: Path, artifact_folder: Path, mark: str) -> Suite:
    return Suite(tmp_path / "storage", artifact_folder, mark)


def record(step: str, own_s: float = 0.05, **changes: Any) -> Measurement:
    rounds: dict[str, Any] = {"own_rounds_s": [own_s] * 3, "over_rounds_s": [0.05] * 3}
    pair = {"own_median_s": own_s, "over_median_s": 0.05} | rounds
    named: dict[str, Any] = {"over": "baseline", "over_medians_s": (0.05,), "medians_s": (own_s,), "over_samples_per_round": 8}
    return measurement(step, **named, pairs=[pair], **changes)


def spent(budget_s: float, *records: Measurement, failing: str = "", pair_s: float = 1.0) -> tuple[str, str, list[int]]:
    """Spend what the time allows on steps whose pairs are all alike and take no time.

    Returns what is said meanwhile and at the end, and how many pairs each step has then.
    """
    measured = {each.step: each for each in records}
    stream = io.StringIO()
    progress = SessionProgress(stream, is_terminal=False, width=80)
    session: Any = SimpleNamespace(seconds_so_far=10.0, progress=progress, records=lambda: list(measured.values()))
    session.earlier, session.budget_told = [], ""

    def further_pair(step: str) -> list[float]:
        if step == failing:
            raise WorkerError(f"{step} ended")
        return [0.05] * 3

    def update(step: str) -> None:
        pairs = measured[step].pairs
        measured[step] = replace(measured[step], pairs=(*pairs, pairs[0]))

    extendable = [
        Extendable(
            model="resnet50",
            step=step,
            measurement=SimpleNamespace(further_pair=lambda step=step: further_pair(step)),  # type: ignore[arg-type]
            pair_s=pair_s,
            update=lambda step=step: update(step),  # type: ignore[misc]
        )
        for step in measured
    ]
    spend(session, extendable, budget_s)
    return stream.getvalue(), session.budget_told, [len(each.pairs) for each in measured.values()]


def test_time_goes_to_what_is_open_and_ends_with_it() -> None:
    """What is three times as fast needs no further pair, and a disturbed step gets none."""
    open_step, fast, disturbed = record("tcmalloc"), record("compile", own_s=0.016), record("huge_pages", disturbed=True)
    _, told, pairs = spent(600.0, open_step, fast, disturbed)

    assert [MOST_PAIRS, 1, 1] == pairs
    assert f"--budget 10 min: {MOST_PAIRS - 1} further pairs in 0 s" == told


def test_a_pair_that_takes_longer_than_the_time_that_is_left_is_not_begun() -> None:
    _, told, pairs = spent(60.0, record("tcmalloc"), pair_s=51.0)

    assert ([1], "--budget 60 s: 0 further pairs in 0 s") == (pairs, told)


@pytest.mark.parametrize(
    ("stop", "spent"), [({}, [60.0]), ({"shouldfail": "stopping after 1 failures"}, []), ({"shouldstop": "asked"}, [])]
)
def test_a_session_that_stops_measures_nothing_further(monkeypatch: pytest.MonkeyPatch, stop: dict[str, str], spent: list[float]) -> None:
    """With -x pytest tells of no next test at a failure, as it does after the last one."""
    called: list[float] = []
    item: Any = SimpleNamespace(config=None, session=SimpleNamespace(**{"shouldfail": False, "shouldstop": False} | stop))
    with monkeypatch.context() as patched:  # the plugin serves this test, too
        patched.setattr(plugin, "spend", lambda _session, _extendable, budget_s: called.append(budget_s))
        patched.setattr(plugin, "session_of", lambda _config: SimpleNamespace(extendable=["a step"]))
        patched.setattr(plugin, "read_options", lambda _config: SimpleNamespace(budget_s=60.0))
        for following in (None, item):
            plugin.pytest_runtest_teardown(item, nextitem=following)

    assert spent == called


def test_a_step_whose_further_pair_fails_keeps_what_it_has() -> None:
    """And the others go on."""
    good, bad = record("tcmalloc"), record("jemalloc")
    said, told, pairs = spent(600.0, good, bad, failing="jemalloc")

    assert [MOST_PAIRS, 1] == pairs
    assert "warning: no further pair of jemalloc on resnet50: jemalloc ended" in said
    assert f"{MOST_PAIRS - 1} further pairs" in told


@pytest.mark.nightly
def test_a_further_pair_that_fails_leaves_nothing_of_itself(make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its second turn; the next one is whole."""
    rig, model = make_rig(), ModelSpec(name="torchvision:resnet18", image=square(64))
    own = resolve("batch_2", rig.catalogue, rig.machine)
    over = resolve(own.over or "baseline", rig.catalogue, rig.machine)
    host, measurement = HostSample.now(), PairedMeasurement(rig, own, over, model, Plan(pairs=1, budget_s=0.05, warmup_limit_s=0.0))
    measurement.measure()
    before = record_of("resnet18", measurement, host, Counted(reason="not counted"))
    taken, left = turns.take_turn, iter([True])

    def take_turn(*arguments: Any) -> turns.Round:
        if next(left, None) is None:
            raise WorkerError("ended")
        return taken(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(turns, "take_turn", take_turn)
        with pytest.raises(WorkerError, match="ended"):
            measurement.further_pair()
    failed = record_of("resnet18", measurement, before.host, Counted(reason="not counted"))
    rounds_s = measurement.further_pair()
    after = record_of("resnet18", measurement, before.host, Counted(reason="not counted"))

    assert before.pairs == failed.pairs == after.pairs[:1]
    assert tuple(rounds_s) == after.pairs[1].own_rounds_s
    assert len(rounds_s) == len(before.pairs[0].own_rounds_s) == len(after.pairs[1].over_rounds_s)


@pytest.mark.nightly
def test_time_that_is_left_goes_into_further_pairs(suite: Suite) -> None:
    """They are pairs like the first one, of fresh processes, and all that is saved of the step is of all its pairs."""
    status, output = suite.run(*QUIET, "--budget=15m", steps=["baseline", "channels_last"])  # no gain beyond doubt
    [run] = suite.runs()
    baseline, step = records(run)["baseline"], records(run)["channels_last"]
    info = step["extra_info"]

    assert status == 0, output
    assert 900 == run["budget_s"]
    assert 1 == len(baseline["extra_info"]["pairs"])
    assert 2 <= len(info["pairs"]) <= MOST_PAIRS
    assert len(info["pairs"]) == len({pair["own_process"] for pair in info["pairs"]})
    rounds_s = [round_s for pair in info["pairs"] for round_s in pair["own_rounds_s"][info["settling_rounds"] :]]
    assert rounds_s == pytest.approx(step["stats"]["data"])
    assert info["gain"]["low"] < info["gain"]["ratio"] < info["gain"]["high"]
    further = len(info["pairs"]) - 1
    assert f"--budget 15 min: {further} further pair" in output
    assert re.search(r"\[further\] torchvision\.resnet18-channels_last: pair 2 of 2", output)
    assert [] == suite.journals()


@pytest.mark.nightly
def test_first_pairs_that_take_all_the_time_are_kept(suite: Suite) -> None:
    status, output = suite.run(*QUIET, "--budget=1s", steps=["baseline", "batch_2"])
    [run] = suite.runs()

    assert status == 0, output
    assert [1, 1] == [len(each["extra_info"]["pairs"]) for each in run["benchmarks"]]
    assert "the first pairs took all of --budget 1 s" in output


@pytest.mark.nightly
def test_a_second_run_is_told_by_the_pairs_of_the_first(suite: Suite) -> None:
    """The report says so, with their number; the file keeps it."""
    _, first = suite.run(*QUIET, "--budget=15m", steps=["baseline", "batch_2"])
    status, output = suite.run(*QUIET, steps=["baseline", "batch_2"])
    before, after = suite.runs()
    pairs = len(records(before)["batch_2"]["extra_info"]["pairs"])

    assert status == 0, output
    assert "pairs of earlier runs" not in first
    assert f"How far pairs of this machine spread is told by {pairs} pairs of earlier runs, too." in output.replace("\n", " ")
    assert [0, pairs] == [before["earlier_pairs"], after["earlier_pairs"]]
