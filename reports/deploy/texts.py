"""A recommendation as text and as JSON. Computes nothing."""

from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from reports.saved.record import Measurement, Run
from reports.show.tables import json_text
from reports.statistics.latency import CONFIDENCE
from reports.text.figures import milliseconds, p99_text, per_second, sqnr, times
from reports.text.plain_text import plain
from reports.views.recommend import MeasuredRecipe, Recommendation


def print_recommendation(console: Console, run: Run[Measurement], found: Recommendation) -> None:
    """Print the winner and why, then the others within the limits, then the recipes that were ruled out and by which limit."""
    winner = found.winner
    console.print(
        Text(f"{plain(found.model)}, run {plain(run.name)}: deploy ")
        .append(plain(winner.step), style="bold")
        .append(f", {figures(winner)}."),
        soft_wrap=True,
    )
    console.print(Text(why(found)), soft_wrap=True)
    for candidate in found.others[:5]:
        note = ", not shown to be slower" if candidate.unresolved else ""
        console.print(Text(f"  next: {plain(candidate.step)}, {figures(candidate)}{note}"), soft_wrap=True)
    for candidate in found.ruled_out:
        text = Text(f"  ruled out: {plain(candidate.step)}, {per_second(candidate.samples_per_second)} samples per second", style="dim")
        console.print(text.append(f": {candidate.broken}"), soft_wrap=True)


def figures(candidate: MeasuredRecipe) -> str:
    """Return a candidate's figures in one phrase."""
    measured = candidate.measurement
    interval = f" [{per_second(candidate.interval[0])}, {per_second(candidate.interval[1])}]" if candidate.interval else ""
    workers = f", {measured.workers} workers" if measured.workers > 1 else ""
    return (
        f"{per_second(candidate.samples_per_second)}{interval} samples per second, {p99_text(measured)}, calls of "
        f"{measured.batch_size}{workers}, {sqnr(measured.sqnr_db)}"
    )


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
    close = [plain(each.step) for each in found.others if each.unresolved]
    if close:
        text += f". Not shown to be slower: {', '.join(close[:4])}; take turns with `python -m reports tune` to tell them apart"
    if without := left_out(found):
        text += f". Its recipe leaves out {without}"
    return f"{text}."


def left_out(found: Recommendation) -> str:
    """Name what the winner's recipe leaves out on the machine of the run, and why; empty for nothing."""
    winner = found.winner.measurement
    reasons = {step: winner.left_out_reasons.get(step, "") for step in winner.left_out}
    return ", ".join(f"{plain(step)} ({plain(why)})" if why else plain(step) for step, why in reasons.items())


def recommendation_json(found: Recommendation) -> str:
    """Return the winner, the others and what was ruled out, with their figures."""
    return json_text(
        {
            "model": found.model,
            "limits": asdict(found.limits),
            "winner": _json(found.winner),
            "why": why(found),
            "left_out": {name: found.winner.measurement.left_out_reasons.get(name, "") for name in found.winner.measurement.left_out},
            "others": [_json(each) for each in found.others],
            "ruled_out": [_json(each) for each in found.ruled_out],
        }
    )


def _json(candidate: MeasuredRecipe) -> dict[str, object]:
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
        "batch_size": measured.batch_size,
        "workers": measured.workers,
        "threads": measured.threads,
        "broken": candidate.broken,
        "unresolved": candidate.unresolved,
    }
