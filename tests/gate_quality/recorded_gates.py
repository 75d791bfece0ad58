"""Gates and studies made up for tests."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.gate_quality.kinds import STEP
from benchmarks.gate_quality.record import Gate, Recorded, read
from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Rules, Sample, Verdict, is_suspect, judge
from reports.gate.pair import Pair, Phase
from tests.gate.pairs import pair

BLOCKS = Benchmark("synthetic.blocks", STEP)
CONDITIONS = {
    "machine": {"architecture": "x86_64", "cpu_model": "AMD EPYC", "vcpus": 2, "memory_bytes": 16 * 2**30, "kernel": "6.1.0"},
    "versions": {"python": "3.11.7", "openvino": "2026.4.1"},
    "code": "0123456789abcdef",
    "commit": "0123456789ab",
}


def gate(kind: str = "same", screen: Sequence[float] = (0.0,) * 6, confirm: Sequence[float] = (), **fields: Any) -> Gate:
    """Return a gate whose pairs have these slowdowns, judged by the gate's rules."""
    [judged] = judge([Sample(screen=tuple(screen), confirm=tuple(confirm))], Rules())
    made = Gate(
        kind=kind,
        began="2026-11-20T10:00:00Z",
        exit_code=0,
        verdict=judged.verdict,
        why=judged.why,
        is_faster=judged.is_faster,
        took_s=20.0,
        pairs=(*(_pair(d, "screen") for d in screen), *(_pair(d, "confirm") for d in confirm)),
    )
    return replace(made, **fields)


def _pair(slowdown: float, phase: Phase) -> Pair:
    """Return a pair whose rounds differ a little: scipy warns of tests on equal values."""
    rounds = (0.0099, 0.01, 0.0101)
    return pair(phase=phase, benchmark=BLOCKS, base_rounds_s=rounds, head_rounds_s=tuple(math.exp(slowdown) * s for s in rounds))


def drawn_gate(generator: random.Random, kind: str, effect: float, deviation: float, rounds: int = 20) -> Gate:
    """Return a gate on a host where each process has a speed of its own: `deviation` between pairs, a third of it between rounds."""
    made = gate(kind, screen := [generator.gauss(effect, deviation) for _ in range(6)])
    if is_suspect(Sample(screen=tuple(screen)), Rules()):
        made = gate(kind, screen, [generator.gauss(effect, deviation) for _ in range(11)])
    return replace(made, pairs=tuple(_noisy(each, generator, deviation / 3, rounds) for each in made.pairs))


def study(*gates: Gate) -> Recorded:
    """Return a study of these gates."""
    return Recorded(conditions=CONDITIONS, gates=gates)


def recorded(folder: Path) -> list[Gate]:
    """Return the gates that are recorded in a folder, if any."""
    found = read(folder)
    return list(found.gates) if found else []


def errored(kind: str = "same") -> Gate:
    """Return a gate that came to nothing."""
    return gate(kind, verdict=str(Verdict.ERROR), why="the CPU melted", exit_code=2, pairs=())


def _noisy(of: Pair, generator: random.Random, deviation: float, rounds: int) -> Pair:
    base, head = (
        tuple(each[1] * generator.lognormvariate(0, deviation) for _ in range(rounds)) for each in (of.base_rounds_s, of.head_rounds_s)
    )
    return replace(of, base_rounds_s=base, head_rounds_s=head)
