"""A comparison of two runs as a table, and in sentences for every output alike. Computes nothing."""

from collections.abc import Iterator
from typing import Any

import msgspec

from reports.saved.machines import Difference
from reports.saved.record import Measurement, Run
from reports.statistics import CONFIDENCE, DISTURBED, FASTER, NEGLIGIBLE, SLOWER
from reports.statistics.run_spread import FEWEST_RUNS
from reports.text.figures import gain_short, per_second, signed_percent
from reports.text.plain_text import some_of
from reports.views.compare import Compared, Comparison, OneSided
from reports.views.tables import LONGEST_STEP, REMARK, STYLES, WARNING, Cell, Column, Line, Table

BETWEEN_PROCESSES = 0.068
COMMIT_DIGITS = 40
MOST_NAMED = 4


def comparison_table(comparison: Comparison) -> Table:
    """Return what differs between the runs, the table of all benchmarks, and how far the figures can be trusted."""
    over = "head's speedup / base's\n[95 %]" if comparison.across_machines else "head / base\n[95 % within runs]"
    return Table(
        before=(
            Line(f"base {run_text(comparison.base)}"),
            Line(f"head {run_text(comparison.head)}"),
            *(Line(f"changed: {change_text(each)}", WARNING) for each in (*comparison.machine, *comparison.software)),
        ),
        columns=(
            Column("model", "model", is_number=False, most_width=20),
            Column("step", "step", is_number=False, most_width=LONGEST_STEP),
            Column("base\nSPS", "base_samples_per_second"),
            Column("head\nSPS", "head_samples_per_second"),
            Column(over, "ratio", is_number=False),
            Column("verdict\n(indicative)", "verdict", is_number=False, folds=True),
            Column("pro-\ncesses", "processes"),
        ),
        rows=tuple(tuple(_cells(row)) for row in comparison.compared),
        remarks=tuple(_remarks(comparison)),
    )


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Return both runs, what changed, and every benchmark with its ratio, processes and changes."""
    return {
        "base": _run(comparison.base),
        "head": _run(comparison.head),
        "across_machines": comparison.across_machines,
        "machine": msgspec.to_builtins(comparison.machine),
        "software": msgspec.to_builtins(comparison.software),
        "spread_between_runs": msgspec.to_builtins(comparison.spread),
        "compared": [
            msgspec.to_builtins(row) | {"text": headline(row), "differs_as_runs_do": comparison.is_usual(row)}
            for row in comparison.compared
        ],
        "one_sided": msgspec.to_builtins(comparison.one_sided),
        "recipes": recipes_text(comparison),
        "advice": advice(comparison),
    }


def run_text(run: Run[Measurement]) -> str:
    """Name a run by number, time, commit and file."""
    return f"{run.name}, saved {run.saved_at:%Y-%m-%d %H:%M}, commit {run.commit.short}, {run.path}"


def change_text(difference: Difference) -> str:
    return f"{difference.field} went from {difference.base} to {difference.head}"


def headline(row: Compared) -> str:
    """Say of one benchmark how much faster or slower it is, and what else changed: `compile: 8 % slower; conv kernels went from …`."""
    told = "; ".join(change_text(difference) for difference in row.changes) or "nothing else that is recorded changed"
    return f"{row.model} {row.step}: {_speed(row)}; {told}"


def one_sided_text(one: OneSided) -> str:
    return f"{one.model} {one.step}: only in {one.only_in}; {one.reason}"


def advice(comparison: Comparison) -> str:
    """Say how far the intervals go, and what decides."""
    if not comparison.compared:
        return "The runs have no benchmark in common: nothing was compared."
    if comparison.across_machines:
        return "Across machines: ratios of the speedups over each run's own baseline, not of times. Indicative only."
    fewest = min(min(row.processes) for row in comparison.compared)
    return (
        "Indicative: the runs were measured at different times, and the intervals are within the runs: they come from medians of as few as "
        f"{fewest} {'process' if fewest == 1 else 'processes'} a side, which share the hour of their run. {_between_runs(comparison)} "
        f"(Processes of the same code differ by about {100 * BETWEEN_PROCESSES:.1f} %: three a side resolve about ±18 %.) "
        f"{_what_decides(comparison)}"
    )


def chance(comparison: Comparison) -> str:
    """Say how many differences to expect where nothing changed, of those that have an interval and were not disturbed."""
    rows = [row for row in comparison.compared if row.is_called]
    count = sum(row.ratio is not None and row.ratio.low is not None and row.ratio.verdict != DISTURBED for row in comparison.compared)
    called = "benchmarks are called faster or slower"
    if comparison.across_machines:
        called = "speedups over each run's own baseline are called larger or smaller"
    said = f"No ratio can be called: no {called}."
    if count:
        said = f"{len(rows)} of {count} {called}; by chance alone about {(1 - CONFIDENCE) * count:.1f} would be."
    if usual := sum(map(comparison.is_usual, rows)):
        said += f" {usual} of them {'differs' if usual == 1 else 'differ'} by no more than unchanged runs of this machine do."
    shift = comparison.common_shift
    if shift is None or abs(shift - 1) < NEGLIGIBLE:
        return said
    alike = "the baseline, which they share" if comparison.across_machines else "the machine (load, clock)"
    return f"{said} The median over all is {signed_percent(shift)}: what moves them alike is likely {alike}, not a step."


def _between_runs(comparison: Comparison) -> str:
    """Say how far unchanged runs of the machine lie apart."""
    spread = comparison.spread
    if spread is None:
        return f"How far runs of this machine differ from hour to hour is not known: {FEWEST_RUNS} saved runs tell it."
    return (
        f"Over {spread.runs} saved runs of this machine a step spreads by {100 * spread.log_sd:.1f} % (standard deviation), so two runs of "
        f"the same code differ by up to {100 * (spread.ratio - 1):.0f} % (95 %)."
    )


def recipes_text(comparison: Comparison) -> str:
    """Say which steps stand on other steps in base than in head; empty where none do."""
    rows = [row for row in comparison.compared if row.recipes_differ]
    if not rows:
        return ""
    names = some_of([f"{row.model} {row.step}" for row in rows], MOST_NAMED)
    told = dict.fromkeys(change_text(each) for row in rows for each in row.changes if each.field == "recipe")
    return (
        f"Recipes differ: the ratios of {names} are of two recipes, not of one step in two runs ({'; '.join(list(told)[:MOST_NAMED])}). "
        "Runs with --stack all have the same recipes whatever is slower."
    )


def no_ratio(row: Compared) -> str:
    """Say why a step has no ratio across machines."""
    return "the baseline of both: 1x" if row.step == row.baseline else "no baseline in one of the runs"


def _speed(row: Compared) -> str:
    if row.ratio is None:
        return no_ratio(row)
    percent = f"{100 * abs(row.ratio.ratio - 1):.0f} %" if row.ratio.ratio < 3 else f"{row.ratio.ratio:.1f} times"
    if row.ratio.verdict == SLOWER:
        return f"{percent} slower"
    if row.ratio.verdict == FASTER:
        return f"{percent} faster" if row.ratio.ratio < 3 else f"{percent} as fast"
    return row.ratio.verdict


def _what_decides(comparison: Comparison) -> str:
    base, head = _revision(comparison.base, "X"), _revision(comparison.head, "Y")
    if base == head:
        return (
            "Both runs are of one commit: between them only the environment can have changed. To decide, let two environments take turns: "
            "python -m reports gate --base-python X --head-python Y"
        )
    return f"To decide, let both take turns: python -m reports gate --base {base} --head {head}"


def _revision(run: Run[Measurement], unknown: str) -> str:
    """Return what can be checked out again, or a placeholder: uncommitted changes cannot."""
    is_clean = not run.commit.dirty and len(run.commit.id) == COMMIT_DIGITS and run.commit.id.isalnum()
    return run.commit.id[:12] if is_clean else unknown


def _cells(row: Compared) -> Iterator[Cell]:
    verdict = row.ratio.verdict if row.ratio else no_ratio(row)
    yield Cell(row.model)
    yield Cell(row.step)
    yield Cell(per_second(row.base_sps), row.base_sps)
    yield Cell(per_second(row.head_sps), row.head_sps)
    yield Cell(gain_short(row.ratio), row.ratio.ratio if row.ratio else None)
    yield Cell(verdict, style=STYLES.get(verdict, REMARK))
    yield Cell(f"{row.processes[0]}+{row.processes[1]}")


def _remarks(comparison: Comparison) -> Iterator[Line]:
    for row in comparison.notable:
        yield Line(headline(row), STYLES.get(row.ratio.verdict, "") if row.ratio else "")
    for one in comparison.one_sided:
        yield Line(one_sided_text(one), WARNING)
    if told := recipes_text(comparison):
        yield Line(told, WARNING)
    yield Line(advice(comparison), REMARK)
    if comparison.compared:
        yield Line(chance(comparison), REMARK)


def _run(run: Run[Measurement]) -> dict[str, Any]:
    return {
        "path": str(run.path),
        "number": run.number,
        "saved_at": run.saved_at.isoformat(),
        "commit": run.commit.id,
        "dirty": run.commit.dirty,
        "fingerprint": run.fingerprint,
    }
