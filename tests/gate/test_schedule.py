"""In which order pairs are measured, what the budget allows, and what is taken up from a journal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Rules, Verdict
from reports.gate.failures import SideError
from reports.gate.pair import Figures, Pair, Phase
from reports.gate.schedule import Budget, Case, Schedule, judge_cases
from tests.gate.pairs import pair

A, B, C = Benchmark("resnet50", "baseline"), Benchmark("resnet50", "openvino"), Benchmark("vit", "baseline")
RULES = Rules()
PAIR_S = 10.0


@dataclass
class Bench:
    """Stands for both sides: each pair takes ten seconds of a clock, and `slower` says by how much head is slower."""

    slower: Mapping[Benchmark, float] = field(default_factory=dict)
    failing: Callable[[Benchmark, int], Exception | None] = lambda _benchmark, _number: None
    now_s: float = 0.0
    measured: list[tuple[Benchmark, Phase]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    passing: frozenset[Benchmark] = frozenset()  # in their confirming pairs
    builds_s: float = 0.0  # before the first pair, and before the first confirming one
    left_s: list[float] = field(default_factory=list)
    change: Callable[[Pair], Pair] = lambda pair: pair

    def measure(self, benchmark: Benchmark, phase: Phase) -> Pair:
        if error := self.failing(benchmark, len(self.measured)):
            raise error
        number = sum(each == (benchmark, phase) for each in self.measured)
        is_built = number == 0 and phase != "control"
        self.now_s += PAIR_S + (self.builds_s if is_built else 0.0)
        self.measured.append((benchmark, phase))
        own_build = number % 2 if self.builds_s else 0
        slowdown = 0.0 if phase == "confirm" and benchmark in self.passing else self.slower.get(benchmark, 0.0)
        return self.change(pair(slowdown, phase, benchmark, took_s=PAIR_S, base_build=own_build, head_build=own_build))

    def begins(self, case: Case, phase: Phase, of: int, left_s: float) -> None:
        self.left_s.append(left_s)

    def ends(self, case: Case) -> None:
        self.ended.append(case.benchmark.id)

    def run(self, *benchmarks: Benchmark, budget_s: float = 1e9, recorded: tuple[Pair, ...] = ()) -> list[Case]:
        schedule = Schedule(
            benchmarks,
            recorded,
            rules=RULES,
            budget=Budget(budget_s, lambda: self.now_s),
            measure=self.measure,
            failures=SideError,
            observer=self,
        )
        schedule.run()
        return schedule.cases

    @property
    def runs(self) -> list[tuple[str, Phase, int]]:
        """What was measured, with runs of the same kind counted."""
        runs: list[tuple[str, Phase, int]] = []
        for benchmark, phase in self.measured:
            if runs and runs[-1][:2] == (benchmark.id, phase):
                runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
            else:
                runs.append((benchmark.id, phase, 1))
        return runs


def test_unchanged_benchmarks_cost_the_screen_only() -> None:
    bench = Bench()
    bench.run(A, B)

    assert [(A.id, "screen", 4), (B.id, "screen", 4)] == bench.runs
    assert [A.id, B.id] == bench.ended


def test_suspects_of_before_count_where_fewer_benchmarks_are_measured_now() -> None:
    """Who narrows -k to what could not be told must not get a regression of the same pairs: p = 0.4 % among three suspects."""
    deviation = 0.03 * 11**0.5 / 3.317
    confirm = [0.03 + deviation * (number - 5) / 11**0.5 for number in range(11)]
    drawn = [confirm[place] for place in (0, 10, 2, 8, 4, 6, 5, 1, 9, 3, 7)]
    found = [pair(slowdown, "confirm", A) for slowdown in drawn]
    screens = [pair(slowdown, "screen", each) for each in (A, B, C) for slowdown in (0.05, 0.01, 0.06, 0.02, 0.05, 0.03)]

    def verdict(recorded: list[Pair], measured: tuple[Benchmark, ...]) -> Verdict:
        schedule = Schedule(
            measured, recorded, rules=RULES, budget=Budget(0.0), measure=Bench().measure, failures=SideError, observer=Bench()
        )
        return judge_cases(schedule.cases, schedule.others, RULES)[0].verdict

    alone = [each for each in screens if each.benchmark == A] + found
    assert Verdict.REGRESSION is verdict(alone, (A,))
    assert Verdict.INCONCLUSIVE is verdict(screens + found, (A, B, C))
    assert Verdict.INCONCLUSIVE is verdict(screens + found, (A,))


def test_suspects_are_confirmed_after_all_screens_the_clearest_first() -> None:
    bench = Bench({A: 0.04, C: 0.10})
    cases = bench.run(A, B, C)

    expected = [(A.id, "screen", 6), (B.id, "screen", 4), (C.id, "screen", 6), (C.id, "confirm", 11), (A.id, "confirm", 11)]
    assert expected == bench.runs
    assert [11, 0, 11] == [len(case.pairs["confirm"]) for case in cases]


def test_time_left_counts_what_is_known_to_be_due() -> None:
    """Before the last confirming pair one pair is left."""
    bench = Bench({A: 0.04})
    bench.run(A)
    assert PAIR_S == bench.left_s[-1]


def test_time_left_and_budget_count_the_further_builds_of_a_suspect() -> None:
    """Six pairs of control, as long for two more builds as for the first two, eleven pairs."""
    bench = Bench({A: 0.04}, builds_s=100.0)
    bench.run(A)
    assert 6 * PAIR_S + 100.0 + 11 * PAIR_S == bench.left_s[6]
    assert [11 * PAIR_S, 10 * PAIR_S] == [bench.left_s[12] - 100.0, bench.left_s[13]]

    short = Bench({A: 0.04}, builds_s=100.0)
    short.run(A, budget_s=100.0 + 12 * PAIR_S + 100.0)
    assert [(A.id, "screen", 6), (A.id, "control", 6)] == short.runs


def test_budget_ends_the_gate_between_pairs() -> None:
    """A pair begins only if it is likely to end in time."""
    bench = Bench()
    cases = bench.run(A, B, budget_s=75.0)

    assert [(A.id, "screen", 4), (B.id, "screen", 3)] == bench.runs
    assert [4, 3] == [len(case.pairs["screen"]) for case in cases]
    assert bench.now_s <= 75.0


def test_all_pairs_are_taken_where_memory_seems_too_much() -> None:
    """Four would tell too little of what the test of six finds."""
    heavy = Figures(peak_rss_bytes=220, cold_start_s=1.0, build_s=1.0, artifact_bytes=0, sqnr_db=None)
    light = replace(heavy, peak_rss_bytes=200)
    bench = Bench()
    bench.change = lambda found: replace(found, base=light, head=heavy)
    bench.run(A)
    assert [(A.id, "screen", 6)] == bench.runs


def test_no_budget_measures_nothing() -> None:
    bench = Bench()
    bench.now_s = 0.0
    [case] = bench.run(A, budget_s=-1.0)

    assert [] == case.all_pairs
    assert [] == bench.ended


def test_budget_is_kept_for_the_clearest_suspect() -> None:
    """Six screening and eleven confirming pairs fit into 175 s; the next screen would leave neither decided."""
    bench = Bench({A: 0.10})
    bench.run(A, B, C, budget_s=175.0)

    assert [(A.id, "screen", 6), (A.id, "confirm", 11)] == bench.runs


def test_budget_that_cannot_suffice_for_all_is_spent_on_the_suspect_first() -> None:
    """Once a regression is known, what is left goes into the other screens, not into a second suspect."""
    bench = Bench({A: 0.10, B: 0.10})
    bench.run(A, B, C, budget_s=285.0)

    assert [(A.id, "screen", 6), (A.id, "confirm", 11), (B.id, "screen", 6), (C.id, "screen", 4), (B.id, "confirm", 1)] == bench.runs


def test_suspect_that_was_none_lets_the_next_one_be_confirmed() -> None:
    """The budget is for two confirmations and three screens of five."""
    bench = Bench({A: 0.10, B: 0.10}, passing=frozenset({A}))
    others = [C, Benchmark("vit", "openvino"), Benchmark("vit", "onnxruntime")]
    bench.run(A, B, *others, budget_s=400.0)

    confirmed: list[tuple[str, Phase, int]] = [(A.id, "screen", 6), (A.id, "confirm", 11), (B.id, "screen", 6), (B.id, "confirm", 11)]
    assert [*confirmed, (C.id, "screen", 4), (others[1].id, "screen", 2)] == bench.runs


def test_suspect_that_is_hardly_slower_waits_for_the_other_screens() -> None:
    """It could not pass, as where pairs spread, but shows no regression either."""
    bench = Bench()
    spread = (0.04, -0.03, 0.05, -0.04, 0.01, 0.0)
    bench.run(A, B, C, budget_s=175.0, recorded=tuple(pair(each, "screen", A) for each in spread))

    assert [(B.id, "screen", 4), (C.id, "screen", 4), (A.id, "confirm", 9)] == bench.runs


def test_budget_that_cannot_confirm_goes_on_screening() -> None:
    bench = Bench({A: 0.10})
    bench.run(A, B, budget_s=155.0)

    assert [(A.id, "screen", 6), (B.id, "screen", 4), (A.id, "confirm", 5)] == bench.runs


def test_failure_ends_its_own_benchmark_only() -> None:
    failure = SideError("head", "ProofError", "no int8 kernel ran")
    bench = Bench(failing=lambda benchmark, _: failure if benchmark == A else None)
    cases = bench.run(A, B)

    assert [failure, None] == [case.failure for case in cases]
    assert [(B.id, "screen", 4)] == bench.runs
    assert [A.id, B.id] == bench.ended


def test_failure_in_a_later_pair_ends_it_too() -> None:
    failure = SideError("head", "WorkerError", "killed")
    bench = Bench({A: 0.1}, failing=lambda _, number: failure if number == 9 else None)
    [case] = bench.run(A)

    assert failure is case.failure
    assert 9 == len(case.all_pairs)


def test_recorded_pairs_are_not_measured_again() -> None:
    """A gate that was killed in a confirmation goes on in it."""
    recorded = tuple(pair(0.05, "screen", A) for _ in range(6)) + tuple(pair(0.05, "confirm", A) for _ in range(4))
    bench = Bench({A: 0.05})
    [case] = bench.run(A, recorded=recorded)

    assert [(A.id, "confirm", 7)] == bench.runs
    assert 17 == len(case.all_pairs)


def test_recorded_pairs_beyond_the_rules_are_left_out() -> None:
    """More pairs than one look allows are not looked at, nor those of benchmarks that are not asked for."""
    recorded = (*(pair(0.0, "screen", A) for _ in range(9)), pair(0.0, "screen", C))
    bench = Bench()
    [case] = bench.run(A, recorded=recorded)

    assert 6 == len(case.all_pairs)
    assert [] == bench.measured


def own(phase: Phase, slowdown: float = 0.05, number: int = 0) -> Pair:
    return pair(slowdown, phase, A, base_build=number % 2, head_build=number // 2 % 2)


UNSURE = (0.09, -0.03, 0.1, -0.04, 0.08, -0.02, 0.09, -0.05, 0.07, 0.01, 0.03)


def unsure(*, confirming: int) -> tuple[Pair, ...]:
    """A gate that could not tell, with so many confirming pairs."""
    return tuple(pair(0.05, "screen", A) for _ in range(6)) + tuple(pair(UNSURE[n % 11], "confirm", A) for n in range(confirming))


def test_control_is_measured_for_suspects_with_builds_of_their_own() -> None:
    bench = Bench({A: 0.05})
    [case] = bench.run(A, recorded=tuple(own("screen", number=number) for number in range(6)))

    assert [(A.id, "control", 6), (A.id, "confirm", 11)] == bench.runs
    assert 17 == len(case.all_pairs), "the control's are no pairs of head"
    assert [A.id] == bench.ended


def test_no_control_for_what_passes_or_shares_its_artifact() -> None:
    bench = Bench()
    bench.run(A, recorded=tuple(own("screen", 0.0, number) for number in range(6)))
    assert [] == bench.measured
    bench = Bench({A: 0.05})
    bench.run(A, recorded=tuple(pair(0.05, "screen", A) for _ in range(6)))
    assert [(A.id, "confirm", 11)] == bench.runs


@pytest.mark.parametrize(("confirming", "due"), [(11, 11), (15, 7), (22, 11), (30, 3)])
def test_gate_that_could_not_tell_looks_once_more(confirming: int, due: int) -> None:
    """It takes up all pairs, those of a look that was killed too, and ends with that look."""
    bench = Bench()
    bench.run(A, recorded=unsure(confirming=confirming))

    assert [(A.id, "confirm", due)] == bench.runs


def test_after_the_last_look_nothing_is_measured() -> None:
    bench = Bench()
    [case] = bench.run(A, recorded=unsure(confirming=33))

    assert [] == bench.measured
    assert 3 == case.looks


def test_what_was_decided_is_not_measured_again() -> None:
    bench = Bench({A: 0.05, B: 0.0})
    recorded = (*[pair(0.05, "screen", A)] * 6, *[pair(0.05, "confirm", A)] * 11)
    cases = bench.run(A, B, recorded=(*recorded, *(pair(0.0, "screen", B) for _ in range(6))))

    assert [] == bench.measured
    assert [1, 1] == [case.looks for case in cases]
