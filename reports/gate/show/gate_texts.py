"""A gate's result in sentences, for every output alike. The names in them are not escaped: the renderers do that."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from reports.gate.decision import BUILDS_DIFFER, Judged, Verdict
from reports.gate.limits import Limits
from reports.gate.quantities import MEASURES, METRIC, UNITS_LOST, Quantity
from reports.gate.result import Result, Row, SideRecord
from reports.saved.machines import machine_name
from reports.text.durations import duration
from reports.text.figures import EQUAL_DB, NONE, decibels, gibibytes, mebibytes, seconds
from reports.text.plain_text import some_of

MOST_FILES = 3
MUCH_STOLEN = 0.02
MUCH_OF_OTHERS = 0.05
COUNTED = (Verdict.ERROR, Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.ACKNOWLEDGED, Verdict.PASS, Verdict.NEW, Verdict.SKIPPED)


def headline(result: Result) -> str:
    """Say in one line how the gate came out: `REGRESSION: 1 regression, 11 passed, 8.2 min`."""
    counts = [f"{len(result.of(verdict))} {verdict}{_faster(result, verdict)}" for verdict in COUNTED if result.of(verdict)]
    return ", ".join([f"{result.verdict}: {counts[0] if counts else 'nothing compared'}", *counts[1:], duration(result.took_s)])


def _faster(result: Result, verdict: Verdict) -> str:
    return f" ({len(result.faster)} faster)" if verdict is Verdict.PASS and result.faster else ""


def side_text(side: SideRecord) -> str:
    """Name a side by revision, commit and interpreter, and by whose fixtures it ran where they are not its own."""
    commit = f" {side.commit[:12]}" if side.commit and not side.commit.startswith(side.revision) else ""
    whose = f" measured with {side.fixtures} fixtures" if side.fixtures != "its own" else ""
    return f"{side.revision}{commit} ({side.subject}) by {side.python}{whose}"


def about(result: Result) -> list[str]:
    """Return what a reader must know beside the rows: the sides, what differs between them, the machine, the rules."""
    sides = [(name, side) for name, side in (("base", result.base), ("head", result.head)) if side is not None]
    lines = [f"{name} {side_text(side)}" for name, side in sides]
    lines += [f"{name}'s models came from its own {some_of(side.code, MOST_FILES)}" for name, side in sides if side.code]
    lines += [f"{' and '.join(names)}: {note}" for note, names in _notes(sides).items()]
    lines += [f"changed: {d.field} went from {d.base} to {d.head}" for d in result.software]
    lines += [f"changed: {note}" for note in result.notes]
    if result.machine is not None:
        lines.append(f"machine: {machine_name(result.machine)}")
    return lines


def _notes(sides: Sequence[tuple[str, SideRecord]]) -> Mapping[str, list[str]]:
    """Return what must be known of the sides, each with the sides that it is true of."""
    found: dict[str, list[str]] = {}
    for name, side in sides:
        for note in side.notes:
            found.setdefault(note, []).append(name)
    return found


def rules_text(result: Result) -> str:
    """Say what the verdicts mean."""
    rules = result.rules
    return (
        f"Pairs of fresh processes took turns; PASS: at most {100 * rules.tolerated:g} % slower at {100 * (1 - rules.alpha):g} % "
        f"confidence; REGRESSION: significant (at most {100 * rules.alpha:g} % of gates without a change show any) and at least "
        f"{100 * rules.least_effect:g} % slower over {rules.confirm_pairs} fresh pairs. "
        f"A regression beside time: {limits_text(result.limits)}."
    )


def limits_text(limits: Limits) -> str:
    """Say from which change on a measure is a regression: `memory from +5 %, … , build time not judged`."""
    told = [(measure, limit) for measure in MEASURES if (limit := measure.limit(limits)) is not None or measure.is_usual]
    return ", ".join(
        (
            *(f"{measure.name} {'not judged' if limit is None else f'from {_limit(limit, measure.unit)} on'}" for measure, limit in told),
            *(f"{limit.name} from {limit.bound} on" for limit in limits.metrics),
        )
    )


def _limit(limit: float, unit: str) -> str:
    return f"-{limit:g} {unit}" if unit in UNITS_LOST else f"+{limit:g} %"


def slowdown_text(judged: Judged) -> str:
    """Return head's time against base's with its bounds: `+3.1 % [+2.2, +4.0]`."""
    if judged.slowdown is None:
        return NONE
    if judged.low is None or judged.high is None:
        return f"{100 * judged.slowdown:+z.1f} %"
    return f"{100 * judged.slowdown:+z.1f} % [{100 * judged.low:+.1f}, {100 * judged.high:+.1f}]"


def quantity_text(quantity: Quantity) -> str:
    """Return a measure of both sides: `612 MiB → 1.60 GiB (+168 %) !`, which is a regression; `?` marks what is not resolved."""
    shown = {"bytes": _bytes, "seconds": seconds, "dB": _decibels, "points": _share, METRIC: _plain}[quantity.unit]
    mark = {Verdict.REGRESSION: " !", Verdict.INCONCLUSIVE: " ?"}.get(quantity.verdict) if quantity.verdict else None
    base, head = shown(quantity.base), shown(quantity.head)
    if quantity.unit in {*UNITS_LOST, METRIC}:
        change = "" if base == head else f" ({quantity.change:{'+.3g' if quantity.unit == METRIC else '+.1f'}})"
    else:
        change = f" ({100 * quantity.change:+.1f} %)" if isfinite(quantity.change) and quantity.base != quantity.head else ""
    return (base if base == head else f"{base} → {head}") + change + (mark or "")


def _bytes(value: float) -> str:
    if value >= 2**30:
        return f"{gibibytes(value)} GiB"
    return f"{mebibytes(value)} MiB"


def _plain(value: float) -> str:
    return f"{value:.4g}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _decibels(value: float) -> str:
    return decibels(value) if value >= EQUAL_DB else f"{decibels(value)} dB"


def pairs_text(row: Row) -> str:
    """Return screening + confirming pairs: `6+11`."""
    confirming = sum(pair.phase == "confirm" for pair in row.pairs)
    return NONE if not row.pairs else f"{len(row.pairs) - confirming}+{confirming}" if confirming else str(len(row.pairs))


def why(row: Row) -> str:
    """Return the reason of a row, with p values, noise and what else changed where they help to judge it."""
    judged, parts = row.judged, [row.judged.why]
    if judged.is_faster:
        parts.append("an improvement")
    if judged.is_faster or judged.verdict in {Verdict.REGRESSION, Verdict.ACKNOWLEDGED}:
        parts.extend(f"{change.field} went from {change.base} to {change.head}" for change in row.changes)
    if judged.build_spread is not None and BUILDS_DIFFER not in judged.why:
        parts.append(f"{BUILDS_DIFFER} {100 * judged.build_spread:.1f} %")
    if judged.p_value is not None and judged.verdict is not Verdict.PASS:
        parts.append(f"p = {judged.p_value:.2g}, by Holm {judged.p_holm:.2g}, by sign flips {judged.p_sign_flip:.2g}")
    if judged.verdict is Verdict.INCONCLUSIVE and judged.spread is not None:
        parts.append(f"pairs spread by {100 * judged.spread:.1f} %")
        parts.extend(_noise(row))
    return "; ".join(parts)


def _noise(row: Row) -> Iterator[str]:
    """Yield what else the host did while the pairs ran, where it was much."""
    stolen, others = max(pair.stolen for pair in row.pairs), max(pair.others for pair in row.pairs)
    restless = sum(pair.restless for pair in row.pairs)
    if stolen >= MUCH_STOLEN:
        yield f"up to {100 * stolen:.0f} % of CPU time stolen by the hypervisor"
    if others >= MUCH_OF_OTHERS:
        yield f"other processes used up to {100 * others:.0f} % of the CPUs during a pair"
    if restless:
        yield f"workers still busy after {restless} turns"
