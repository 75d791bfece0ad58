"""From pairs and failures to a result."""

import pytest

from reports.gate.benchmarks import Benchmark, Selection
from reports.gate.decision import Rules, Verdict
from reports.gate.failures import SideError, both_failed
from reports.gate.pair import Figures, Pair, Phase
from reports.gate.result import Row, rows, verdict_of
from reports.gate.schedule import Case
from reports.text.durations import duration, seconds_of
from tests.gate.pairs import pair

A, B, C = Benchmark("resnet50", "baseline"), Benchmark("resnet50", "pt2e_int8"), Benchmark("vit", "x")
LOST = "step 'pt2e_int8' on resnet50 was not in force; no int8 kernel ran"
Reasons = dict[Benchmark, str]


def case_of(screen: int, failure: SideError | None = None) -> Case:
    case = Case(A, failure=failure)
    case.pairs["screen"] += [pair(0.001 * number) for number in range(screen)]
    return case


def told(*cases: Case, missing: Reasons | None = None, new: Reasons | None = None, skipped: Reasons | None = None) -> tuple[Row, ...]:
    selection = Selection(compared=(A,), missing=missing or {}, new=new or {}, skipped=skipped or {}, notes=())
    return rows(selection, cases, Rules(), 1200.0, {})


def test_benchmark_without_a_change_passes() -> None:
    found = told(case_of(6))

    assert [Verdict.PASS] == [row.judged.verdict for row in found]
    assert (Verdict.PASS, None) == verdict_of(found)


def test_budget_that_ran_out_is_said() -> None:
    [row] = told(case_of(3))

    assert Verdict.INCONCLUSIVE is row.judged.verdict
    assert "the budget of 20 min ran out: 3 of 6 screening pairs; raise --budget or narrow -k" == row.judged.why


def test_memory_that_was_a_regression_stays_one_at_further_looks() -> None:
    """Time could not be told, so the gate was started again with the same --out; the later pairs need somewhat less memory."""

    def heavier(phase: Phase, percent: float, number: int) -> Pair:
        slowdown = (0.06, -0.05, 0.07, 0.02, -0.04, 0.05, 0.03, -0.03, 0.06, -0.05, 0.04)[number % 11]
        figures = (Figures(peak_rss_bytes=200.0), Figures(peak_rss_bytes=200.0 * (1 + percent / 100 + 0.0001 * (number % 3))))
        return pair(slowdown, phase, A, base=figures[0], head=figures[1])

    case = Case(A)
    case.pairs["screen"] = [heavier("screen", 5.2, number) for number in range(6)]
    case.pairs["confirm"] = [heavier("confirm", 5.2 if number % 2 else 4.6, number) for number in range(11)]
    [first] = told(case)
    case.looks = 2
    case.pairs["confirm"] += [heavier("confirm", 4.6, number) for number in range(11)]
    [second] = told(case)

    assert [(Verdict.REGRESSION, 1), (Verdict.REGRESSION, 2)] == [(row.judged.verdict, row.judged.look) for row in (first, second)]
    assert first.quantities == second.quantities


@pytest.mark.parametrize(
    ("pairs", "failure"),
    [
        *((0, SideError("head", kind, LOST)) for kind in ("ProofError", "DriftError", "WorkerError")),
        (0, SideError("head", "UnsupportedModelError", "complex numbers", is_unsupported=True)),
        (0, SideError("base", "WorkerError", "killed")),
        (2, SideError("base", "WorkerError", "killed")),
        (2, SideError("base", "ProofError", LOST)),
    ],
)
def test_failure_of_one_side_is_an_error_that_says_what_was_lost(pairs: int, failure: SideError) -> None:
    """However fast head is; and a step that is in force on base now and then cannot be compared."""
    [row] = told(case_of(pairs, failure))

    assert (Verdict.ERROR, f"{failure.side}: {failure.reason}") == (row.judged.verdict, row.judged.why)


def test_proof_that_fails_on_base_only_is_new_on_head() -> None:
    """A head that brings a step in force for the first time is not stopped for it; there is nothing to compare with."""
    [row] = told(case_of(0, SideError("base", "ProofError", LOST)))

    assert Verdict.NEW is row.judged.verdict
    assert LOST in row.judged.why


def test_failure_of_both_sides_is_an_error_with_both_reasons() -> None:
    failure = both_failed(SideError("base", "ProofError", "base's reason"), SideError("head", "ProofError", "head's reason"))
    [row] = told(case_of(0, failure))

    assert Verdict.ERROR is row.judged.verdict
    assert "head: head's reason; base too: base's reason" == row.judged.why


def test_claim_that_holds_on_neither_side_is_skipped() -> None:
    """Head cannot have lost what base has not: the same claims fail, whatever the figures beside them."""
    base, head = SideError("base", "ProofError", "packed: 0 of 50 layers"), SideError("head", "ProofError", "packed: 0 of 51 layers")
    [row] = told(case_of(0, both_failed(base, head)))

    assert Verdict.SKIPPED is row.judged.verdict
    assert "in force on neither side; head: packed: 0 of 51 layers; base too: packed: 0 of 50 layers" == row.judged.why


@pytest.mark.parametrize("kinds", [("DriftError", "DriftError"), ("ProofError", "DriftError"), ("WorkerError", "WorkerError")])
def test_other_failures_of_both_sides_stay_errors(kinds: tuple[str, str]) -> None:
    """Wrong outputs and crashes are not a step without effect."""
    base, head = kinds
    [row] = told(case_of(0, both_failed(SideError("base", base, LOST), SideError("head", head, LOST))))

    assert Verdict.ERROR is row.judged.verdict


def test_model_that_a_runtime_takes_on_neither_side_is_skipped() -> None:
    unsupported = [SideError(side, "UnsupportedModelError", "complex numbers", is_unsupported=True) for side in ("base", "head")]
    [row] = told(case_of(0, both_failed(*unsupported)))

    assert Verdict.SKIPPED is row.judged.verdict
    assert "both sides: complex numbers" == row.judged.why


def test_missing_new_and_skipped_have_rows() -> None:
    found = told(case_of(6), missing={B: "not in its catalogue"}, new={C: "not in its catalogue"}, skipped={A: "no bf16"})

    assert [Verdict.PASS, Verdict.ERROR, Verdict.NEW, Verdict.SKIPPED] == [row.judged.verdict for row in found]
    assert "missing on head: not in its catalogue" == found[1].judged.why
    assert (Verdict.ERROR, None) == verdict_of(found)


def test_nothing_compared_is_an_error_that_says_so() -> None:
    verdict, error = verdict_of(told(new={A: "not in its catalogue"}))

    assert Verdict.ERROR is verdict
    assert error is not None
    assert "nothing was compared" in error


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("20m", 1200), ("1h", 3600), ("1h30m", 5400), ("1.5m", 90), ("2m 5s", 125)])
def test_durations_are_read(text: str, expected: float) -> None:
    assert seconds_of(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "20", "m", "20 minutes", "-5m", "0s", "5m3", "1e3s", "8785h", "9" * 400 + "s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration"):
        seconds_of(text)


@pytest.mark.parametrize(("seconds", "expected"), [(45, "45 s"), (100, "1.7 min"), (1200, "20 min"), (7200, "2.0 h")])
def test_durations_are_told(seconds: float, expected: str) -> None:
    assert expected == duration(seconds)
