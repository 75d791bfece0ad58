"""What the search chose, measured once more in fresh processes: whatever is chosen for its figures has luck among its reasons."""

import math

from msgspec.structs import replace

from fixtures.bench.record import latencies
from fixtures.bench.rig import Serving
from fixtures.bench.turns import Plan, is_free_running, take_turn
from fixtures.steps.recipe import Recipe
from reports.commands.measuring import Bench
from reports.saved.record import Measurement
from reports.statistics.latency import least_calls
from reports.text.durations import duration
from reports.tune.measure import measure
from reports.views.recommend import DeploymentLimits

AGAIN = Plan(pairs=2, budget_s=1.0, warmup_limit_s=1.5)
BACK_TO_BACK_S = 10.0
MOST_BACK_TO_BACK_S = 60.0
MOST_CALLS = 5000
MARGIN = 1.1  # calls of several workers count only while all of them are busy
BACK_TO_BACK = "back to back"


def measure_again(bench: Bench, recipe: Recipe, limits: DeploymentLimits, most_s: float) -> Measurement:
    """Return a second record of the recipe, of processes of its own. Raises ServingError, WorkerError.

    Where its turns leave open whether it keeps the limit of the p99, one more process runs back to back, for as many calls as that needs
    if they take at most `most_s`; the latencies of the record are then of these calls.
    """
    record = measure(bench, recipe, None, AGAIN)
    if not needs_calls(record, limits):
        return record
    [serving] = bench.rig.serve(recipe, model=bench.model)
    with serving.workers:
        calls, needed_s = calls_within(serving, most_s)
        if not calls:
            finding = f"not run back to back: {least_calls()} calls would take {duration(needed_s)}, {duration(most_s)} are left for them"
            return replace(record, findings=(*record.findings, finding))
        return replace(record, **latencies(back_to_back(serving, calls)), latency_calls=BACK_TO_BACK)


def needs_calls(measurement: Measurement, limits: DeploymentLimits) -> bool:
    """Whether more calls can tell if a recipe that is good for something keeps the limit of its p99."""
    return not measurement.disturbed and not limits.of_outputs.broken_by(measurement) and limits.leaves_open(measurement)


def calls_within(serving: Serving, most_s: float) -> tuple[int, float]:
    """Return how many calls to run back to back, and the seconds they take; none where those that a bound needs take more than `most_s`.

    The number is fixed before the first: whoever stops once the figures please is pleased too often.
    """
    call_s = serving.iteration_s / (serving.job.workers * serving.in_flight)
    calls = max(least_calls(), min(MOST_CALLS, int(min(BACK_TO_BACK_S, most_s) / call_s)))
    return (calls if calls * call_s <= most_s else 0), calls * call_s


def back_to_back(serving: Serving, calls: int) -> tuple[float, ...]:
    """Return the latencies of at least so many calls without rest, in seconds: of all workers, and with a full queue where there is one."""
    iterations = math.ceil(calls / serving.job.workers)
    if is_free_running(serving):
        iterations = math.ceil(MARGIN * iterations) + 2
    iterations = serving.in_flight * math.ceil(iterations / serving.in_flight)
    return take_turn(serving, iterations, untimed=1).latencies_s


def with_calls_of(record: Measurement, earlier: Measurement, limits: DeploymentLimits) -> Measurement:
    """Return a record with the latencies of an earlier one's calls back to back, unless its own show that the limit is broken."""
    if earlier.latency_calls != BACK_TO_BACK or not limits.leaves_open(record):
        return record
    return replace(record, **{name: getattr(earlier, name) for name in record.__struct_fields__ if name.startswith("latency_")})
