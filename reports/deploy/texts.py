"""A recommendation as a table and in sentences. Computes nothing."""

from collections.abc import Iterator
from dataclasses import asdict

from reports.saved.record import Measurement, Run
from reports.statistics.latency import CONFIDENCE
from reports.text.figures import counted_in, milliseconds, p99_text, per_second, sqnr, times
from reports.views.recommend import MeasuredRecipe, Recommendation
from reports.views.tables import REMARK, Line, Table
from reports.views.weights import weights_line, weights_text


def recommendation_table(run: Run[Measurement], found: Recommendation) -> Table:
    """Return the winner and why, then the others within the limits, then the recipes that were ruled out and by which limit."""
    winner = found.winner
    next_ = (f"  next: {each.step}, {figures(each)}{', not shown to be slower' if each.unresolved else ''}" for each in found.others[:5])
    out = (f"  ruled out: {each.step}, {rate(each)}: {each.broken}" for each in found.ruled_out)
    deploy = Line(f", {figures(winner)}.", lead=f"{found.model}, run {run.name}: deploy {winner.step}")
    weights = [Line(told, REMARK)] if (told := weights_line([winner.measurement])) else []
    before = (deploy, Line(why(found)), *map(Line, next_), *(Line(each, REMARK) for each in out), *weights)
    return Table(before=before, data=tuple(_rows(found)))


def recommendation_data(found: Recommendation) -> dict[str, object]:
    """Return the winner, the others and what was ruled out, with their figures."""
    return {
        "model": found.model,
        "limits": asdict(found.limits),
        "winner": _data(found.winner),
        "why": why(found),
        "weights": weights_text(found.winner.measurement.weights, found.winner.measurement.weights_found),
        "left_out": _left_out(found),
        "others": [_data(each) for each in found.others],
        "ruled_out": [_data(each) for each in found.ruled_out],
    }


def _rows(found: Recommendation) -> Iterator[dict[str, object]]:
    for each in (found.winner, *found.others, *found.ruled_out):
        low, high = each.interval or (None, None)
        one = {"model": found.model, **_data(each), "low": low, "high": high, "is_winner": each is found.winner}
        del one["interval"], one["accuracy"], one["metrics"]
        yield one


def figures(candidate: MeasuredRecipe) -> str:
    """Return a candidate's figures in one phrase."""
    measured = candidate.measurement
    interval = f" [{per_second(candidate.interval.low)}, {per_second(candidate.interval.high)}]" if candidate.interval else ""
    workers = f", {measured.workers} workers" if measured.workers > 1 else ""
    if (generated := measured.generation) is not None:
        first_s, tokens = generated.time_to_first_token_s, candidate.prompt_tokens
        first = "" if first_s is None else f", {milliseconds(first_s)} ms to the first token after {tokens}"
        texts = f", {measured.batch_size} texts at once" if measured.batch_size > 1 else ""
        token = f"{milliseconds(generated.time_per_token_s)} ms a token behind {generated.tokens}"
        return (
            f"{per_second(candidate.samples_per_second)}{interval} tokens per second, {token}{first}, {p99_text(measured)}"
            f"{texts}{workers}, {sqnr(measured.sqnr_db)}"
        )
    return (
        f"{per_second(candidate.samples_per_second)}{interval} samples per second, {p99_text(measured)}, calls of "
        f"{measured.batch_size}{workers}, {sqnr(measured.sqnr_db)}"
    )


def rate(candidate: MeasuredRecipe) -> str:
    """Return a candidate's throughput."""
    return f"{per_second(candidate.samples_per_second)} {counted_in(candidate.measurement)} per second"


def why(found: Recommendation) -> str:
    """Say why the winner won, in one or two sentences."""
    count = len(found.others) + len(found.ruled_out) + 1
    text = f"It is the fastest of the {len(found.others) + 1} recipes within {found.limits}, of {count} measured"
    if not found.limits:
        text = f"It is the fastest of {count} measured recipes (no limit was given)"
    if found.lead is not None:
        text += f", {times(found.lead)} the next (unpaired)"
    measured = found.winner.measurement
    if found.limits.p99_s is not None:
        high = milliseconds(measured.latency_p99_high_s)
        text += f". Its {measured.latency_samples} calls show a p99 of at most {high} ms ({CONFIDENCE:.0%})"
    close = [each.step for each in found.others if each.unresolved]
    if close:
        command = "pytest benchmarks/test_generation.py --pairs 5" if measured.generation else "python -m reports tune"
        text += f". Not shown to be slower: {', '.join(close[:4])}; take turns with `{command}` to tell them apart"
    if without := _left_out(found):
        text += f". Its recipe leaves out {', '.join(f'{step} ({why})' if why else step for step, why in without.items())}"
    return f"{text}."


def _left_out(found: Recommendation) -> dict[str, str]:
    """Return what the winner's recipe leaves out on the machine of the run, each with the reason, as far as that is recorded."""
    winner = found.winner.measurement
    return {step: winner.left_out_reasons.get(step, "") for step in winner.left_out}


def _data(candidate: MeasuredRecipe) -> dict[str, object]:
    measured = candidate.measurement
    return {
        "step": candidate.step,
        "samples_per_second": candidate.samples_per_second,
        "interval": candidate.interval,
        "latency_p99_s": measured.latency_p99_s,
        "latency_samples": measured.latency_samples,
        "latency_p99_high_s": measured.latency_p99_high_s,
        "sqnr_db": measured.sqnr_db,
        "top1_agreement": measured.top1_agreement,
        "cosine": measured.cosine,
        "accuracy": measured.accuracy,
        "metrics": measured.metrics,
        "time_to_first_token_s": measured.generation.time_to_first_token_s if measured.generation else None,
        "time_per_token_s": measured.generation.time_per_token_s if measured.generation else None,
        "prompt_tokens": candidate.prompt_tokens,
        "batch_size": measured.batch_size,
        "workers": measured.workers,
        "threads": measured.threads,
        "broken": candidate.broken,
        "unresolved": candidate.unresolved,
    }
