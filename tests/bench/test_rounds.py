"""How many rounds a pair has, and how many iterations each side has in a turn."""

from types import SimpleNamespace
from typing import Any

import pytest
from pytest_benchmark.stats import Stats

from fixtures.bench.launch import WorkerError
from fixtures.bench.turns import (
    LEAST_TIMED,
    LONGER_TURNS,
    REWARMING,
    PairedMeasurement,
    Plan,
    Round,
    TimedSide,
    iterations_beside,
    least_rounds,
    take_turn,
)
from fixtures.measure import _keep
from fixtures.protocol import Timed, Turn
from fixtures.session.journal import Finished


@pytest.mark.parametrize(
    ("slowest_s", "bursts", "expected"), [(0.05, False, 9), (1.0, False, 9), (1.1, False, 3), (3.1, False, 2), (0.05, True, 3)]
)
def test_short_iterations_have_many_rounds(slowest_s: float, bursts: bool, expected: int) -> None:
    assert expected == least_rounds(slowest_s, bursts=bursts, usual=9)


def test_a_fast_predecessor_beside_a_slow_step_is_timed_more_than_twice() -> None:
    """50 ms beside 5 s in two rounds: five iterations a turn, nine and more a pair; the slow side has one."""
    assert (5, 1) == (iterations_beside(0.05, 5.0, 2), iterations_beside(5.0, 5.0, 2))
    assert 2 * iterations_beside(0.05, 5.0, 2) >= LEAST_TIMED


def test_no_turn_is_longer_than_the_slow_sides() -> None:
    """Two sides of nearly the same speed have one iteration each, and in nine rounds both have."""
    assert 1 == iterations_beside(2.0, 3.5, 3)
    assert 1 == iterations_beside(0.05, 0.9, 9)


def test_rounds_before_a_side_was_warm_count_on_neither() -> None:
    """Both throughputs and the gain are of the other rounds; a further pair may tell otherwise."""
    anything: Any = None
    measured = PairedMeasurement(anything, anything, anything, anything, Plan())
    measured.own, measured.over = side([1.3, 1.2, 1.25, 1.0, 1.01, 0.99, 1.0, 1.02, 0.98]), side([2.0 + place / 100 for place in range(9)])

    [told] = measured._leave_out_settling()
    assert "not warm at first: its first 3 rounds of each pair took 25.0% longer than the others" in told
    assert (6, 6) == (len(measured.own.counted[0]), len(measured.over.counted[1]))
    assert measured.own.medians_s == pytest.approx([1.0, 1.0])
    assert measured.own.samples_per_second == pytest.approx(1.0)

    measured.own.by_pair[0] = measured.own.by_pair[1] = measured.over.by_pair[0]
    assert [] == measured._leave_out_settling()
    assert 9 == len(measured.own.counted[0])


def test_pytest_benchmarks_figures_are_of_the_rounds_that_count() -> None:
    """So its mean is the samples of a round over the throughput, whatever was not warm at first, and so its comparison sees that."""
    own = side([1.3, 1.2, 1.25, 1.0, 1.01, 0.99, 1.0, 1.02, 0.98])
    own.settling = 3
    stats: Any = Stats()  # type: ignore[no-untyped-call]
    written: list[Finished] = []
    for each in [1.3, 1.2, 1.25, 1.0, 1.01, 0.99, 1.0, 1.02, 0.98] * 2:
        stats.update(each)
    benchmark: Any = SimpleNamespace(stats=SimpleNamespace(stats=stats), extra_info={})
    task: Any = SimpleNamespace(session=SimpleNamespace(keep=lambda *_: None, write_down=written.append), nodeid="x")
    measured: Any = SimpleNamespace(own=own)
    record: Any = None

    _keep(benchmark, task, measured, record)
    assert own.samples_per_round / own.samples_per_second == pytest.approx(stats.mean)
    assert 12 == len(stats.data) == len(written[0].rounds_s)


def side(rounds_s: list[float]) -> TimedSide:
    """Return a side with two pairs of these rounds."""
    return TimedSide(
        iterations=1, samples_per_round=1, by_pair=[[Round(iteration_s=each, latencies_s=(each,)) for each in rounds_s] for _ in "12"]
    )


class Started:
    """Workers that write down what they are asked, in place of a process."""

    ranks = 1

    def __init__(self, recipe: object, asked: list[tuple[object, list[Any]]]) -> None:
        self.recipe, self.workers, self._asked = recipe, self, asked

    def ask(self, messages: list[Any], _answer: type, _doing: str) -> list[Any]:
        self._asked.append((self.recipe, messages))
        return []

    def close(self) -> None:
        pass


@pytest.mark.parametrize("waits", [True, False], ids=["from an earlier step", "drawn to start first"])
def test_the_side_that_waited_for_the_other_is_warmed_again(waits: bool) -> None:
    """Whichever it is: while the other one started, compiled and proved itself, its memory and caches went cold."""
    own, over = object(), object()
    asked: list[tuple[object, list[Any]]] = []
    waiting = Started(over, asked) if waits else None
    standby = SimpleNamespace(take=lambda _recipe, _model: waiting)
    rig: Any = SimpleNamespace(standby=standby, serve=lambda recipe, **_: [Started(recipe, asked)])
    model: Any = None
    found = PairedMeasurement(rig, own, over, model, Plan(pairs=1))  # type: ignore[arg-type]

    found._start_sides(least_samples=1)

    first = over if waits else found._started_first[0]
    assert [(first, [Turn(iterations=0, untimed=REWARMING)])] == asked
    assert [own, over] == [serving.recipe for serving in found._serving]


class Late:
    """Two workers of which the second begins late in its first turns; what they ran until is written down."""

    name, ranks = "workers_pinned", 2

    def __init__(self, late_turns: int) -> None:
        self._late_turns = late_turns
        self.until_s: list[float] = []

    def ask(self, messages: list[Turn], _answer: type, _doing: str) -> list[Timed]:
        assert messages[0].until_s is not None
        self.until_s.append(messages[0].until_s)
        late_s = 5.0 if len(self.until_s) <= self._late_turns else 0.1
        begins = [0.0, late_s]
        return [
            Timed(
                latencies_s=[0.5, 0.5],
                begin_s=begin,
                end_s=begin + 1.0,
                iterations=2,
                ends_s=[begin + 0.5, begin + 1.0],
                peak_rss_bytes=1000,
            )
            for begin in begins
        ]

    def launcher_memory(self) -> list[tuple[int, int]]:
        return []


def free_running(workers: Late) -> Any:
    return SimpleNamespace(workers=workers, job=SimpleNamespace(workers=2, runtime="eager"), in_bursts=True, iteration_s=0.5, in_flight=1)


def test_a_worker_that_begins_when_the_others_have_ended_takes_a_longer_turn() -> None:
    """As where a neighbour holds its CPU: what was asked for is a rate of all together, and twice as long a turn has one."""
    workers = Late(late_turns=1)
    found = take_turn(free_running(workers), iterations=2, untimed=0)

    assert pytest.approx(0.25) == found.iteration_s
    assert 2000 == found.peak_rss_bytes
    assert workers.until_s[1] - workers.until_s[0] > 0.9, "the second turn is a second longer"


def test_workers_that_never_run_side_by_side_have_no_rate() -> None:
    workers = Late(late_turns=99)
    with pytest.raises(
        WorkerError, match=r"workers_pinned: .* never ran side by side .* the last began 5.00 s after the first.* idle machine"
    ):
        take_turn(free_running(workers), iterations=2, untimed=0)
    assert len(LONGER_TURNS) == len(workers.until_s)
