"""Pairs and results made up for tests."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Rules, Sample, Verdict, judge
from reports.gate.pair import Pair, Phase
from reports.gate.result import Result, Row, SideRecord

if TYPE_CHECKING:
    from reports.gate.run import Request

SOME = Benchmark("resnet50", "baseline")


def percent(*values: float) -> tuple[float, ...]:
    """Return slowdowns in percent as log ratios."""
    return tuple(math.log1p(value / 100) for value in values)


def pair(slowdown: float = 0.0, phase: Phase = "screen", benchmark: Benchmark = SOME, **fields: Any) -> Pair:
    """Return a pair in which head takes exp(slowdown) of base's 10 ms."""
    made = Pair(
        model=benchmark.model,
        step=benchmark.step,
        phase=phase,
        base_rounds_s=(0.01,) * 3,
        head_rounds_s=(0.01 * math.exp(slowdown),) * 3,
        base_samples=1,
        head_samples=1,
        restless=0,
        took_s=10.0,
        stolen=0.0,
        others=0.0,
    )
    return replace(made, **fields)


def row(benchmark: Benchmark, screen: Sequence[float], confirm: Sequence[float] = ()) -> Row:
    """Return the row of a benchmark with these slowdowns."""
    [judged] = judge([Sample(screen=tuple(screen), confirm=tuple(confirm))], Rules())
    pairs = [pair(d, "screen", benchmark) for d in screen] + [pair(d, "confirm", benchmark) for d in confirm]
    return Row(model=benchmark.model, step=benchmark.step, judged=judged, pairs=tuple(pairs))


def side(**fields: Any) -> SideRecord:
    """Return a side."""
    made = SideRecord(
        revision="main",
        commit="1" * 40,
        subject="Make it faster",
        python="/usr/bin/python3",
        fixtures="its own",
        versions={"torch": "2.13.0"},
    )
    return replace(made, **fields)


def result(*rows: Row, verdict: Verdict = Verdict.PASS, **fields: Any) -> Result:
    """Return a result with these rows."""
    made = Result(verdict=verdict, rows=rows, base=side(), head=side(commit="2" * 40), rules=Rules(), budget_s=1200.0, took_s=100.0)
    return replace(made, **fields)


def held(monkeypatch: pytest.MonkeyPatch, outcome: Result | BaseException, during: Callable[[], object] = lambda: None) -> "list[Request]":
    """Let the gate have this outcome, and something happen `during` it; return the gates that are asked for."""
    asked: list[Request] = []

    def hold(request: "Request") -> Result:
        asked.append(request)
        during()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("reports.gate.run.hold", hold)
    return asked
