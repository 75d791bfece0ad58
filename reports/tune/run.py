"""A search from end to end: space, candidates by the suite's own workers, the finals, and a file that keeps it all."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from fixtures.artifacts.building_code import code_digest
from fixtures.bench.launch import WorkerError
from fixtures.bench.record import recorded_variables
from fixtures.bench.rig import ServingError
from fixtures.bench.turns import Plan
from fixtures.session.journal import Lines
from fixtures.steps.optimizations import Placement, catalogue
from fixtures.steps.placement import place, recorded
from fixtures.steps.recipe import Recipe
from reports.commands.measuring import Bench, CannotMeasure
from reports.saved.record import Measurement
from reports.text.durations import duration
from reports.text.figures import milliseconds, p99_text, signed_percent
from reports.tune.again import BACK_TO_BACK_S, MOST_BACK_TO_BACK_S, measure_again, needs_calls, with_calls_of
from reports.tune.finals import Finals, hold_finals
from reports.tune.measure import fingerprint, measure, save
from reports.tune.search import Search, Tried
from reports.tune.space import BATCHES, START_BATCH, Candidate, Space, alternatives, ordered_steps, start_batch
from reports.views.front import may_be_on_front, pareto_front
from reports.views.recommend import DeploymentLimits, NothingToRecommend, recommend

PROBE = Plan(pairs=1, budget_s=0.7, least_rounds=3, warmup_limit_s=1.5)
FINALS_SHARE = 0.3
MOST_FINALS_S = 240.0
AGAIN_SHARE = 0.15
MOST_AGAIN_S = 150.0
MOST_FINALS = 3
APP_SECONDS = 10
LEAST_APP_SECONDS = 3
MOST_PAIRS = 3
FINALS_AGAIN_S = 45.0
CLOSE = 0.93  # single processes of the same code differ by 7 % (docs/measuring.md)
MOST_HEATS = 2
HEAT_LEAVES_S = 150.0

JOURNAL = ".jsonl"  # of a search, beside its result
RAISED_AGAIN_S = 10.0  # ending workers takes less


class OutOfTime(BaseException):
    """The budget is over. Like a KeyboardInterrupt it passes all handlers of errors, so that workers end and the results stay."""


@dataclass
class Tuning:
    """What a search found, complete or not: `records` of all measured candidates, by their last measurement.

    `finals` are none that others disturbed. `measured_again` names steps whose figures are not those that they were chosen for.
    """

    model: str
    limits: DeploymentLimits
    budget_s: float
    records: list[Measurement] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    finals: Finals | None = None
    measured_again: set[str] = field(default_factory=set)
    ended: str = ""
    took_s: float = 0.0

    @property
    def front(self) -> tuple[Measurement, ...]:
        """What no other measured recipe beats in throughput and p99."""
        return pareto_front([m for m in self.records if may_be_on_front(m, self.limits)])

    def take(self, record: Measurement) -> None:
        """Put a later record of a step in place of its first."""
        self.records = [record if each.step == record.step else each for each in self.records]
        self.measured_again.add(record.step)

    @property
    def winner(self) -> str | None:
        """The fastest recipe within the limits; None where nothing keeps them and no finals were held.

        The finals' recipe wins, unless it breaks a limit that another keeps, or single probes put another far ahead.
        """
        final = self.finals.record if self.finals is not None else None
        try:
            candidates = recommend(self.records, self.model, self.limits)
        except NothingToRecommend:
            return final.step if final is not None else None
        best = candidates.winner
        within = {each.step for each in (best, *candidates.others)}
        if final is not None and final.step in within and CLOSE * best.samples_per_second <= final.samples_per_second:
            return final.step
        return best.step

    @property
    def is_within(self) -> bool:
        """Whether any recipe is shown to keep the limits, by figures that nobody disturbed."""
        return any(not m.disturbed and not self.limits.broken_by(m) for m in self.records)

    def save(self, file: Path, machine: Mapping[str, Any]) -> None:
        """Write a saved run that `recommend` and all of `reports` read, and beside it what the search was. Raises OSError."""
        tune = {
            "limits": asdict(self.limits),
            "budget_s": self.budget_s,
            "took_s": self.took_s,
            "ended": self.ended,
            "front": [m.step for m in self.front],
            "measured_again": [m.step for m in self.front if m.step in self.measured_again],
            "failed": [{"step": step, "reason": reason} for step, reason in self.failed],
            "finals": self.finals.as_json() if self.finals else None,
        }
        save(file, self.records, dict(machine), tune=tune)


def tune(
    bench: Bench,
    *,
    limits: DeploymentLimits,
    budget_s: float,
    ladder: Sequence[Measurement],
    out: Path,
    say: Callable[[str], None],
) -> Tuning:
    """Search, hold the finals, and save to `out`; what was found is kept whatever ends the search. Raises Refusal, OSError."""
    clock = Clock(budget_s)
    found = Tuning(model=bench.model_id, limits=limits, budget_s=budget_s)
    machine = fingerprint(bench)
    steps = {name: step.family for name, step in bench.rig.catalogue.items() if bench.rig.unmet(name, bench.model) is None}
    ordered = ordered_steps(steps, ladder, limits)
    space = Space(
        steps=ordered,
        cpus=bench.rig.threads,
        asynchronous=frozenset(name for name in steps if _is_asynchronous(bench, name)),
        alternatives=alternatives(steps, ordered),
        drifted=frozenset(m.step for m in ladder if not m.disturbed and limits.outputs_refuted_by(m)),
    )
    if not space.steps:
        raise CannotMeasure("no step of the ladder applies on this machine: run `ladder doctor`, which tells for each why")
    file = out.with_suffix(JOURNAL)
    journal = Lines(file, _conditions(bench, machine), f"{file} holds a search")
    found_before = list({tried.candidate: tried for record in journal.records if (tried := _tried(bench, record)) is not None}.values())
    start_batches = {step: start_batch(step, ladder, limits) for step in space.steps}
    start_batches |= {step: start_batch(original, ladder, limits) for step, original in space.alternatives.items()}
    search = Search(space, limits, start_batches)
    for tried in found_before:
        search.tried[tried.candidate] = tried
        _keep(found, tried)
    if found_before:
        say(f"going on with {len(found_before)} candidates in {journal.file}")
    say(f"{', '.join(space.steps)}: {duration(budget_s)} for batches of {BATCHES[0]} to {BATCHES[-1]} on {space.cpus} CPUs")

    def try_one(candidate: Candidate) -> Tried:
        begin_s = time.monotonic()
        measurement, reason = _measure(bench, candidate)
        drifted = (candidate.name, bench.model.name) in bench.rig.drifted
        tried = Tried(candidate, measurement, reason, time.monotonic() - begin_s, drifted)
        journal.add(msgspec.to_builtins(tried))
        _keep(found, tried)
        spent = f"{duration(clock.spent_s)} of {duration(budget_s)}"
        say(f"[{len(search.tried) + 1}, {spent}] {candidate.name}: {_told(tried, limits)}")
        return tried

    try:
        with _alarm(clock.left_s):
            # Where nothing was measured there is nothing to measure again, and no finals to keep time for.
            found.ended = search.run(try_one, lambda: clock.left_for_search_s() if found.records else clock.left_s)
            _draw_again(bench, search, found=found, clock=clock, keep_s=clock.finals_s, say=say)
            _decide(bench, search, ladder=ladder, found=found, clock=clock, say=say)
            _draw_again(bench, search, found=found, clock=clock, keep_s=0.0, say=say)  # the finals may have lowered what hid another
    except OutOfTime:
        found.ended = found.ended or "the budget is used up"
    except KeyboardInterrupt:
        found.ended = "interrupted: the same command goes on with what was found"
    finally:
        found.took_s = clock.spent_s
        if found.records:
            found.save(out, machine)
    if not found.ended.startswith("interrupted"):
        journal.remove()
    return found


class Clock:
    """How much of the budget is left, for the search, for measuring its front again, and for the finals."""

    def __init__(self, budget_s: float) -> None:
        self.budget_s = budget_s
        self._begin_s = time.monotonic()

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._begin_s

    @property
    def left_s(self) -> float:
        return max(0.001, self.budget_s - self.spent_s)

    @property
    def finals_s(self) -> float:
        """What of the budget is kept for the finals."""
        return min(MOST_FINALS_S, FINALS_SHARE * self.budget_s)

    def left_for_search_s(self) -> float:
        return self.budget_s - self.spent_s - self.finals_s - min(MOST_AGAIN_S, AGAIN_SHARE * self.budget_s)


def recipe_of(candidate: Candidate, bench: Bench) -> Recipe:
    """Return the candidate's recipe, steps that do not apply here left out."""
    recipe = bench.rig.recipe(candidate.step, bench.model, steps=catalogue(candidate.batch_size))
    return place(recipe, Placement(workers=candidate.workers, threads=candidate.threads))


def _measure(bench: Bench, candidate: Candidate) -> tuple[Measurement | None, str]:
    try:
        return measure(bench, recipe_of(candidate, bench), None, PROBE), ""
    except (ServingError, WorkerError) as error:
        return None, str(error).splitlines()[0]


def _measure_again(bench: Bench, candidate: Candidate, limits: DeploymentLimits, most_s: float) -> tuple[Measurement | None, str]:
    try:
        return measure_again(bench, recipe_of(candidate, bench), limits, most_s), ""
    except (ServingError, WorkerError) as error:
        return None, str(error).splitlines()[0]


def _draw_again(bench: Bench, search: Search, *, found: Tuning, clock: Clock, keep_s: float, say: Callable[[str], None]) -> None:
    """Measure what is on the front once more, until nothing stands there by the figures that it was chosen for, or the time is short.

    `keep_s` of the budget is left for others. What may be the winner comes first. A recipe that falls behind makes room for others, which
    are measured again, too.
    """
    candidates = {candidate.name: candidate for candidate in search.tried}
    attempted: set[str] = set()
    while waiting := [m for m in found.front if m.step not in attempted | found.measured_again]:
        chosen = max(waiting, key=lambda m: (not found.limits.refuted_by(m), m.samples_per_second))
        if clock.left_s - _cost_again_s(chosen, found.limits) < keep_s:
            say(f"no time is left to measure {', '.join(m.step for m in waiting)} again")
            return
        attempted.add(chosen.step)
        most_s = min(MOST_BACK_TO_BACK_S, clock.left_s - keep_s)
        candidate = candidates[chosen.step]
        measurement, reason = _measure_again(bench, candidate, found.limits, most_s)
        if measurement is None or measurement.disturbed:
            say(f"{chosen.step}, measured again: {reason or 'disturbed by other processes, so the first measurement stays'}")
            continue
        found.take(measurement)
        search.tried[candidate] = replace(search.tried[candidate], measurement=measurement)
        say(f"{chosen.step}, measured again: {_told(search.tried[candidate], found.limits)}")


def _cost_again_s(chosen: Measurement, limits: DeploymentLimits) -> float:
    """Return about how long a second measurement takes, calls back to back included where they may be needed."""
    start_s = 1.5 * (chosen.cold_start_s or 5.0)
    return 2 * start_s + 5.0 + (start_s + BACK_TO_BACK_S if needs_calls(chosen, limits) else 0.0)


def _decide(
    bench: Bench, search: Search, *, ladder: Sequence[Measurement], found: Tuning, clock: Clock, say: Callable[[str], None]
) -> None:
    """Hold the finals of the best; of another where they show that a limit is not kept after all, or that the probe was lucky."""
    held: list[Candidate] = []
    while len(held) < MOST_FINALS:
        best = _best_in_turns(bench, search, found.limits, clock=clock, say=say)
        if best is None or best.measurement is None or best.candidate in held:
            return
        finals = _finals(bench, best.candidate, ladder=ladder, found=found, clock=clock, say=say)
        if finals is None:
            return
        held.append(best.candidate)
        if finals.record.disturbed:
            say(f"{best.candidate.name}, measured again: disturbed by other processes, so the first measurement stays")
            return
        earlier = next(each for each in found.records if each.step == finals.record.step)
        finals = replace(finals, record=with_calls_of(finals.record, earlier, found.limits))
        measurement = finals.record
        found.take(measurement)
        search.tried[best.candidate] = Tried(best.candidate, measurement, "", best.took_s)
        found.finals = _faster(found.finals, finals, found.limits)
        broken = found.limits.broken_by(measurement)
        if not broken and found.winner == best.candidate.name:
            return
        say(f"{best.candidate.name}, measured again: {broken or f'{measurement.samples_per_second:.4g} samples per second'}")
        if clock.left_s < FINALS_AGAIN_S:
            return


def _faster(before: Finals | None, now: Finals, limits: DeploymentLimits) -> Finals:
    """Return the finals whose recipe keeps the limits and is the faster one; of two that do not, the later ones."""
    if before is None:
        return now
    if limits.broken_by(before.record):
        return now
    return before if limits.broken_by(now.record) or before.record.samples_per_second > now.record.samples_per_second else now


def _best_in_turns(bench: Bench, search: Search, limits: DeploymentLimits, *, clock: Clock, say: Callable[[str], None]) -> Tried | None:
    """Return the fastest within the limits. What came close takes turns with it, while there is time: single probes differ by chance."""
    within = [each for each in search.ranked() if each.measurement is not None and not limits.broken_by(each.measurement)]
    if not within:
        return None
    best, *others = within
    assert best.measurement is not None
    least = CLOSE * best.measurement.samples_per_second
    for other in [each for each in others if each.measurement is not None and each.measurement.samples_per_second >= least][:MOST_HEATS]:
        if clock.left_s < HEAT_LEAVES_S:
            break
        try:
            ratio = _ratio(bench, other.candidate, best.candidate)
        except (ServingError, WorkerError) as error:
            say(f"{other.candidate.name} in turns with {best.candidate.name}: {str(error).splitlines()[0]}")
            continue
        say(f"{other.candidate.name} in turns with {best.candidate.name}: {signed_percent(ratio)}")
        if ratio > 1:
            best = other
    return best


def _ratio(bench: Bench, one: Candidate, other: Candidate) -> float:
    """Return the throughput of one candidate over the other's, from two pairs that take turns; 1 where others disturbed them."""
    own = replace(recipe_of(one, bench), over=other.name)
    record = measure(bench, own, recipe_of(other, bench), Plan(pairs=2, budget_s=1.5, warmup_limit_s=PROBE.warmup_limit_s))
    return 1.0 if record.disturbed or record.gain is None else record.gain.ratio


def _finals(
    bench: Bench, winner: Candidate, *, ladder: Sequence[Measurement], found: Tuning, clock: Clock, say: Callable[[str], None]
) -> Finals | None:
    """Hold as many pairs as the time allows, at least one. None where even the winner fails."""
    best = _ladder_best(bench, ladder, found)
    cost_s = 3 * max((each.cold_start_s or 0.0 for each in found.records), default=5.0) + 8.0
    app_seconds = max(LEAST_APP_SECONDS, min(APP_SECONDS, int(clock.left_s / 12)))
    pairs = max(1, min(MOST_PAIRS, int(clock.left_s / (cost_s + app_seconds + 8))))
    say(f"{winner.name} is the best: now in turns with the ladder's best and benchmark_app, {pairs} pair{'s' if pairs > 1 else ''}")
    try:
        return hold_finals(
            bench,
            recipe_of(winner, bench),
            best,
            batch_size=winner.batch_size,
            int8=_int8_is_within(found, ladder),
            pairs=pairs,
            app_seconds=app_seconds,
            say=say,
        )
    except (ServingError, WorkerError) as error:
        say(f"the comparison failed: {str(error).splitlines()[0]}")
        return None


def _ladder_best(bench: Bench, ladder: Sequence[Measurement], found: Tuning) -> Recipe | None:
    """Return the recipe of the ladder's best step within the limits; without a ladder the best of its batch size and one worker."""
    for limits in (found.limits, found.limits.of_outputs):
        try:
            best = recommend(ladder, found.model, limits).winner.measurement
        except NothingToRecommend:
            continue
        return recorded(best.recipe, batch_size=best.batch_size, workers=best.workers, threads=best.threads or bench.rig.threads)
    alike = [m for m in found.records if m.batch_size == START_BATCH and m.workers == 1 and not found.limits.of_outputs.broken_by(m)]
    if not alike:
        return None
    best = max(alike, key=lambda m: m.samples_per_second)
    return bench.rig.recipe(best.step.partition("@")[0], bench.model, steps=catalogue(START_BATCH))


def _int8_is_within(found: Tuning, ladder: Sequence[Measurement]) -> bool:
    """Whether OpenVINO's int8 model was seen to keep the limits of outputs; else benchmark_app gets the fp32 model."""
    seen = [m for m in (*found.records, *ladder) if m.model == found.model and m.step.partition("@")[0] == "openvino_int8"]
    return any(not found.limits.of_outputs.broken_by(m) for m in seen)


def _is_asynchronous(bench: Bench, step: str) -> bool:
    return any("asynchronous" in each.transforms for each in bench.rig.recipe(step, bench.model).steps)


def _tried(bench: Bench, record: object) -> Tried | None:
    """Return the candidate in a line of a journal; None where another version of this suite wrote it, and it is tried again.

    That version may write what this one cannot read, or have steps and batch sizes that are none any more.
    """
    try:
        tried = msgspec.convert(record, Tried)
    except msgspec.ValidationError:
        return None
    is_known = tried.candidate.step in bench.rig.catalogue and tried.candidate.batch_size in BATCHES
    return tried if is_known else None


def _keep(found: Tuning, tried: Tried) -> None:
    if tried.measurement is not None:
        found.records.append(tried.measurement)
    else:
        found.failed.append((tried.candidate.name, tried.reason))


def _told(tried: Tried, limits: DeploymentLimits) -> str:
    measurement = tried.measurement
    if measurement is None:
        return f"failed: {tried.reason}"
    note = ""
    if refuted := limits.refuted_by(measurement):
        note = f" (not within the limits: {refuted})"
    elif limits.leaves_open(measurement):
        high_s = measurement.latency_p99_high_s
        by = f"; they show at most {milliseconds(high_s)} ms" if high_s is not None else ""
        note = f" (not shown to keep the limit by {measurement.latency_samples} calls{by})"
    return f"{measurement.samples_per_second:.4g} samples per second, {p99_text(measurement)}{note}"


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in this block once `seconds` are over, whatever it waits for; again where it was dropped, as in a destructor."""
    is_left = False

    def over(_number: int, _frame: FrameType | None) -> None:
        if not is_left:
            raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds, RAISED_AGAIN_S)
    try:
        yield
    finally:
        is_left = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _conditions(bench: Bench, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what candidates must share to be one search; other limits may judge the same measurements."""
    conditions: dict[str, Any] = {
        "model": bench.rig.content(bench.model),
        "machine": machine,
        "threads": bench.rig.threads,
        "calibration": bench.rig.calibrated_with,
        "environment": recorded_variables(bench.rig.launcher.environment),
        "code": code_digest(),
    }
    return conditions | {name: value for name, value in bench.rig.answers.conditions.items() if value}
