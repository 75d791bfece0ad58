"""docs/results/gate-quality.md from the recorded gates: targets, counts, larger counts by drawing pairs anew, other tools' rules."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.gate_quality.analysis import Rate, Summary, slowdowns, summarize
from benchmarks.gate_quality.gates import arguments
from benchmarks.gate_quality.kinds import KINDS, Kind
from benchmarks.gate_quality.other_rules import RULES, apart, called_apart, called_in_turns
from benchmarks.gate_quality.record import Gate, Recorded
from benchmarks.gate_quality.resampling import draw_gates
from benchmarks.gate_quality.targets import Target, targets
from reports.gate.decision import Verdict
from reports.saved.machines import machine_name
from reports.text.durations import duration
from reports.text.markdown import table

COUNTED = (Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.ERROR)
BENCHMARKS = 12
GATES_WITHOUT_CHANGE, GATES_WITH = 10_000, 2_000  # what is nearly always confirmed takes twenty times as long to judge
FEWEST_PAIRS = 60  # fewer would be drawn again and again
NONE = "-"


def page(recorded: Recorded) -> str:
    """Return the page as Markdown."""
    found = {kind.name: summarize(kind, recorded.gates) for kind in KINDS}
    blocks = (
        _beginning(found),
        ["## Targets", *_targets(found)],
        ["## Whole gates", *_gates(found)],
        ["## Larger counts by drawing recorded pairs anew", *_drawn(recorded.gates)],
        ["## Other rules on the same rounds", *_other_rules(recorded.gates)],
        ["## How it was obtained", *_obtained(recorded)],
    )
    return "\n\n".join(text for block in blocks for text in block) + "\n"


def _beginning(found: Mapping[str, Summary]) -> Iterator[str]:
    yield "# How good the gate is"
    held, wanted = sum(summary.held for summary in found.values()), sum(kind.gates for kind in KINDS)
    if held < wanted:
        missing = ", ".join(f"{title(s.kind)}: {s.held} of {s.kind.gates}" for s in found.values() if s.held < s.kind.gates)
        yield f"**A part of the study: {held} of {wanted} gates have been held** ({missing})."
    else:
        yield f"All {wanted} gates of the study have been held."
    yield (
        "Whole gates (`python -m reports gate`, two checkouts, fresh processes) over heads of which it is known how much they compute: "
        "the models are equal but for their number of equal blocks, which in head is the same, larger or smaller, or for their weights, "
        "which cost no time but give each side builds of its own. Written by "
        "`tox -e gate-quality`; nothing here is edited by hand. What the gate does is in [The gate](../gate.md)."
    )


def _targets(found: Mapping[str, Summary]) -> Iterator[str]:
    rows = [(each.promise, _promised(each), _found(each), each.judgement) for each in targets(found)]
    yield table(("", "promised", "found [95 % bound]", ""), *rows)
    yield (
        "*Shown*: the bound keeps the promise too; *met*: what was found does, and more gates could show it. "
        "Bounds are Clopper and Pearson's, one-sided: 0 of 100 bounds a rate at 3 % and 0 of 30 at 10 %; "
        "30 of 30 shows no more than 90 %. So 100 gates cannot show a rate of 1 %."
    )


def _gates(found: Mapping[str, Summary]) -> Iterator[str]:
    header = (
        "kind",
        "step",
        "blocks of base, head",
        "gates",
        *COUNTED,
        "improvements",
        "head's time",
        "SD of a pair",
        "of it within",
        "others' CPU",
        "pair",
        "gate: median, longest",
    )
    yield table(header, *map(_gate_row, found.values()))
    yield (
        "*Head's time*: against base's, the median over gates. *SD of a pair*: of the log ratio, within gates; *of it within*: what rounds "
        "drawn anew within the pairs give, which more rounds would lower (rounds are taken to be independent; where a neighbour works in "
        "bursts they are not, and it comes out too large). *Others' CPU*: share of the CPUs that other processes used while turns were "
        "taken, median and largest over pairs. *Pair*: median duration. A gate's duration is the whole command's, checkouts and proofs "
        "included, one benchmark."
    )


def _gate_row(found: Summary) -> tuple[str, ...]:
    return (
        title(found.kind),
        found.kind.step,
        f"{found.kind.base_blocks}, {found.kind.head_blocks}",
        f"{found.held} of {found.kind.gates}",
        *(str(found.verdicts.get(verdict, 0)) for verdict in COUNTED),
        str(found.faster),
        NONE if found.slowdown is None else f"{100 * found.slowdown:+z.2f} %",
        NONE if found.deviation is None else f"{100 * found.deviation:.2f} %",
        NONE if found.within is None else f"{100 * found.within:.2f} %",
        NONE if found.others is None else f"{100 * found.others.median:.0f} %, {100 * found.others.largest:.0f} %",
        NONE if found.pair_s is None else f"{found.pair_s.median:.1f} s",
        NONE if found.gate_s is None else f"{found.gate_s.median:.0f} s, {found.gate_s.largest:.0f} s",
    )


def _drawn(gates: Sequence[Gate]) -> Iterator[str]:
    yield (
        "Not held, but drawn: the pairs of each gate with replacement from the recorded ones, judged by the gate's own decision code. "
        "Bounds are one-sided, 95 % each, as if the recorded pairs were all there are. The eleven others of a dozen benchmarks are drawn "
        "from the idle gates without a change. Drawing takes pairs to be independent of one another, which those of several builds are "
        "not, and knows nothing of a budget."
    )
    pools = {kind: pool for kind in KINDS if not kind.has_other_weights and len(pool := _pool(kind, gates)) >= FEWEST_PAIRS}
    rows = [row for kind, pool in pools.items() for row in _drawn_rows(kind, pool, pools.get(KINDS[0]))]
    if rows:
        yield table(("pairs drawn from", "pairs", "gates", "benchmarks", "REGRESSION", "INCONCLUSIVE", "PASS"), *rows)
    else:
        yield f"No kind has {FEWEST_PAIRS} pairs yet."


def _drawn_rows(kind: Kind, pool: Sequence[float], unchanged: Sequence[float] | None) -> Iterator[tuple[str, ...]]:
    """Yield a gate of one benchmark, and one of a dozen of which it is one; the noisy host's dozen would mostly measure patience."""
    gates = GATES_WITH if kind.more_work else GATES_WITHOUT_CHANGE
    [_, alone] = draw_gates([pool], gates)
    yield (title(kind), str(len(pool)), f"{gates:,}", "1", *_counts(alone))
    if unchanged is not None and not kind.is_noisy:
        *_, whole = draw_gates([pool, *[unchanged] * (BENCHMARKS - 1)], gates)
        yield (title(kind), str(len(pool)), f"{gates:,}", f"{BENCHMARKS}, this and {BENCHMARKS - 1} unchanged", *_counts(whole))


def _other_rules(gates: Sequence[Gate]) -> Iterator[str]:
    of_kind = {kind: own for kind in KINDS if (own := [gate for gate in gates if gate.kind == kind.name and gate.screen])}
    if not of_kind:
        yield "No gates yet."
        return
    header = ("rule", *(title(kind) for kind in of_kind))
    ours = ("**the gate**", *(_share(sum(gate.verdict == Verdict.REGRESSION for gate in own), len(own)) for own in of_kind.values()))
    turns = [(name, *(_share(called_in_turns(rule, own), len(own)) for own in of_kind.values())) for name, rule in RULES.items()]
    separate = [(name, *(_share(called_apart(rule, own), len(apart(own))) for own in of_kind.values())) for name, rule in RULES.items()]
    yield (
        "How often each rule calls head slower. The rules see the rounds of a gate's screening pairs, pooled: more processes than "
        "most of their users take. In the first table both sides took turns, as the gate records them, so that these rules enjoy "
        "the gate's way of measuring, which their tools do not have."
    )
    yield table(header, ours, *turns)
    yield (
        "In the second table base's rounds are of one gate and head's of the next of that kind, some minutes later: two runs on separate "
        "occasions, which is what these tools compare."
    )
    yield table(header, *separate)
    yield (
        "`mean:5%`, `min:5%`: pytest-benchmark's `--benchmark-compare-fail`. asv: medians by a factor of 1.1 and Mann-Whitney at 0.002 "
        "(`_is_result_better` in asv/commands/compare.py, `is_different` in asv_runner/statistics.py). pyperf: Student's two-sided t test "
        "at 0.05 on all values (`is_significant` in pyperf/_utils.py). A test counts only where it calls head slower."
    )


def _obtained(recorded: Recorded) -> Iterator[str]:
    conditions, gates = recorded.conditions, recorded.gates
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    days = sorted({gate.began[:10] for gate in gates})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}, on {len(days)} days"
    yield (
        f"{machine_name(conditions['machine'])}, Linux {conditions['machine']['kernel']}; {versions}; {when} (UTC); "
        f"{_code(conditions)}. The gates took {duration(sum(gate.took_s for gate in gates))} together."
    )
    yield (
        "Each gate is this command in a repository of its own, in which branches differ in the number of the model's blocks, or in its "
        "weights, and in nothing else; kinds take turns, so that the hours of a day meet all of them alike:"
    )
    yield f"    python -m reports gate {' '.join(arguments(KINDS[1]))}"
    yield (
        "The noisy neighbour is one process that sorts, copies and computes on every core in bursts of 0.1 to 3 s, with rests as long; "
        "those gates have a budget of 3 minutes. The study goes on with `python -m benchmarks.gate_quality --minutes N`, and writes this "
        "page with `--write docs/results/gate-quality.md`; on another machine, with other versions or other code it refuses to."
    )


def _code(conditions: Mapping[str, Any]) -> str:
    commit = f"commit `{conditions['commit']}`, " if conditions.get("commit") else ""
    return f"{commit}code digest `{conditions['code']}`"


def title(kind: Kind) -> str:
    """Return a kind in words."""
    if kind.has_other_weights:
        return f"no change, own builds of {kind.step}"
    if not kind.more_work:
        return "no change, noisy" if kind.is_noisy else "no change"
    return f"{abs(100 * kind.more_work):.0f} % {'more' if kind.more_work > 0 else 'less'} work"


def _pool(kind: Kind, gates: Sequence[Gate]) -> list[float]:
    return slowdowns([pair for gate in gates if gate.kind == kind.name for pair in gate.pairs])


def _counts(counted: Mapping[Verdict, int]) -> tuple[str, ...]:
    gates = sum(counted.values())
    rates = [Rate(counted.get(v, 0), gates) for v in (Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.PASS)]
    return tuple(f"{100 * rate.share:.2f} % [{100 * rate.low:.2f}, {100 * rate.high:.2f}]" for rate in rates)


def _share(events: int, trials: int) -> str:
    return f"{events} of {trials}" if trials else NONE


def _promised(target: Target) -> str:
    if target.limit_s is not None:
        return f"at most {target.limit_s:.0f} s"
    if target.at_most == 0.0:
        return "none"
    return f"at most {100 * target.at_most:g} %" if target.at_most is not None else f"at least {100 * (target.at_least or 0):g} %"


def _found(target: Target) -> str:
    rate = target.rate
    if rate is None or not rate.trials:
        return NONE
    counted = f"{rate.events} of {rate.trials}"
    if target.limit_s is not None:
        return NONE if target.seconds is None else f"{target.seconds:.0f} s; it decided {counted}"
    bound = f"at least {100 * rate.low:.1f} %" if target.at_least is not None else f"at most {100 * rate.high:.1f} %"
    return f"{counted} [{bound}]"
