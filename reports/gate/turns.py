"""One pair: fresh processes of base and head take turns, iteration by iteration, in random order."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fixtures.machine import this_machine
from fixtures.machine.host import HostSample, busy_s, since
from fixtures.protocol.side_protocol import Load, Loaded, Open, Opened, ProveSide, SideProved
from reports.gate.benchmarks import Benchmark
from reports.gate.failures import SideError
from reports.gate.pair import Figures, MetricFigure, Pair, Phase
from reports.gate.sides import Side, ask_both, shut_all
from reports.saved.machines import Difference
from reports.views.changes import differs

TURNS_S = 4.0
LEAST_ROUNDS = 9
LONGEST_S = 20.0  # rounds of more than two seconds are as many as fit into this: others are cheap beside a start
FEWEST_ROUNDS = 5  # but no fewer
MOST_ROUNDS = 60
SETTLING_ROUNDS = 2
LONG_S = 0.1  # an iteration of so long is not warmed up for: both sides refill the same caches, in a small part of it


def measure_pair(base: Side, head: Side, benchmark: Benchmark, phase: Phase, order: random.Random) -> tuple[Pair, tuple[Difference, ...]]:
    """Measure one pair of `benchmark`; return it, and what the proofs of both sides saw differently.

    Raises SideError naming the side that could not serve it; then no worker is left.
    """
    begin_s, host = time.perf_counter(), HostSample.now()
    sides = (base, head)
    # The first to start finds other pages and caches than the second: which side that is must not be the same in all pairs.
    first, _ = starting = order.sample(sides, 2)
    ask_both(starting, Load(model=benchmark.model, step=benchmark.step), Loaded, "starting")
    # One after the other: threads that wait for one another while another process has their CPU take several times as long.
    ask_both(starting, ProveSide(), SideProved, "proving", one_by_one=True)
    warm = ask_both(starting, Open(), Opened, "warming up", one_by_one=True)
    opened = warm if first is base else warm[::-1]
    # Each side alone might come to see an iteration as just short or just long enough: both must do alike.
    iterations = max(each.iterations for each in opened)
    untimed = min(each.untimed for each in opened)
    try:
        turns = _take_turns(sides, opened, iterations, untimed, order)
    except SideError:  # whatever else ends the pair ends the gate: its sides are closed then, not asked
        shut_all(sides)
        raise
    shut_all(sides)
    pair = Pair(
        model=benchmark.model,
        step=benchmark.step,
        phase=phase,
        base_rounds_s=turns.base_s,
        head_rounds_s=turns.head_s,
        base_samples=opened[0].samples_per_iteration * iterations,
        head_samples=opened[1].samples_per_iteration * iterations,
        restless=turns.restless,
        took_s=time.perf_counter() - begin_s,
        stolen=since(host)["steal_share"],
        others=turns.others,
        head_started_first=first is head,
        base=_figures(opened[0], turns.peak_rss_bytes[0]),
        head=_figures(opened[1], turns.peak_rss_bytes[1]),
    )
    return pair, _changes(*opened)


def _figures(opened: Opened, peak_rss_bytes: int | None) -> Figures:
    return Figures(
        peak_rss_bytes=peak_rss_bytes,
        cold_start_s=opened.cold_start_s,
        build_s=opened.build_s,
        artifact_bytes=opened.artifact_bytes,
        sqnr_db=opened.sqnr_db,
        sqnr_samples=opened.sqnr_samples,
        right=opened.right,
        metrics=tuple(
            MetricFigure(name=each.name, value=each.value, samples=each.samples, resampled=tuple(each.resampled), drawn=each.drawn)
            for each in opened.metrics
        ),
    )


def _changes(base: Opened, head: Opened) -> tuple[Difference, ...]:
    """Return the claims whose observations tell something different, and the findings that came or went."""
    seen = [
        (claim, base.evidence.get(claim, "not claimed"), head.evidence.get(claim, "not claimed"))
        for claim in {**base.evidence, **head.evidence}
    ]
    findings = tuple("; ".join(each.findings) or "none" for each in (base, head))
    return tuple(Difference(claim, old, new) for claim, old, new in [*seen, ("findings", *findings)] if differs(old, new))


@dataclass(frozen=True, kw_only=True)
class _Turns:
    """The turns of both sides in seconds, how many ended restless, the share of the CPUs that other processes used, and both peaks."""

    base_s: tuple[float, ...]
    head_s: tuple[float, ...]
    restless: int
    others: float
    peak_rss_bytes: tuple[int | None, int | None]


def _take_turns(sides: tuple[Side, Side], opened: Sequence[Opened], iterations: int, untimed: int, order: random.Random) -> _Turns:
    durations_s: tuple[list[float], list[float]] = ([], [])
    restless, cpu_s = 0, [each.cpu_s for each in opened]
    peak_rss_bytes: list[int | None] = [None, None]
    settling = SETTLING_ROUNDS if untimed else 0  # both sides started at the same time: neither has run alone yet
    for side in sides:
        side.stands_still()
    others_s, begin_s, settled_s = _others_s(cpu_s), time.perf_counter(), 0.0
    while settling or _goes_on(len(durations_s[0]), time.perf_counter() - begin_s):
        for place in order.sample((0, 1), 2):
            taken = sides[place].turn(iterations, untimed)
            cpu_s[place] = taken.cpu_s
            restless += not (sides[place].stands_still() and taken.still)
            if taken.peak_rss_bytes is not None:
                peak_rss_bytes[place] = max(taken.peak_rss_bytes, peak_rss_bytes[place] or 0)
            if settling:
                settled_s = max(settled_s, taken.duration_s / iterations)
            else:
                durations_s[place].append(taken.duration_s)
        settling = max(0, settling - 1)
        if settled_s >= LONG_S:
            settling = untimed = 0
    if not all(min(each) > 0 for each in durations_s):
        raise SideError("both", "Clock", "a turn took no time at all; the workers' clock cannot be trusted")
    available_s = (time.perf_counter() - begin_s) * len(this_machine().allowed_cpus)
    return _Turns(
        base_s=tuple(durations_s[0]),
        head_s=tuple(durations_s[1]),
        restless=restless,
        others=max(0.0, (_others_s(cpu_s) - others_s) / available_s),
        peak_rss_bytes=(peak_rss_bytes[0], peak_rss_bytes[1]),
    )


def _goes_on(rounds: int, spent_s: float) -> bool:
    """Whether another round is due, by how many there are and how long they took; their ratio has no say."""
    if rounds >= LEAST_ROUNDS:
        return rounds < MOST_ROUNDS and spent_s <= TURNS_S
    return rounds < FEWEST_ROUNDS or spent_s <= LONGEST_S


def _others_s(ours_s: Sequence[float]) -> float:
    """Return the CPU time that processes other than the gate's have used so far."""
    return busy_s() - time.process_time() - sum(ours_s)
