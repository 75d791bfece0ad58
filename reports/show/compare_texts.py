"""A comparison in sentences, for every output alike. The names in them are not escaped: the renderers do that."""

from reports.saved.machines import Difference
from reports.saved.record import Measurement, Run
from reports.statistics import CONFIDENCE, FASTER, NEGLIGIBLE, SLOWER
from reports.statistics.run_spread import FEWEST_RUNS
from reports.text.figures import signed_percent
from reports.views.compare import Compared, Comparison, OneSided

BETWEEN_PROCESSES = 0.068
COMMIT_DIGITS = 40
MOST_NAMED = 4
NO_RATIO = "no other baseline to compare over"


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
    fewest = comparison.fewest_processes
    return (
        "Indicative: the runs were measured at different times, and the intervals are within the runs: they come from medians of as few as "
        f"{fewest} {'process' if fewest == 1 else 'processes'} a side, which share the hour of their run. {_between_runs(comparison)} "
        f"(Processes of the same code differ by about {100 * BETWEEN_PROCESSES:.1f} %: three a side resolve about ±18 %.) "
        f"{_what_decides(comparison)}"
    )


def chance(comparison: Comparison) -> str:
    """Say how many differences to expect where nothing changed."""
    rows = (*comparison.slower, *comparison.faster)
    expected = (1 - CONFIDENCE) * len(comparison.compared)
    count = len(comparison.compared)
    said = f"{len(rows)} of {count} benchmarks are called faster or slower; by chance alone about {expected:.1f} would be."
    if usual := sum(map(comparison.is_usual, rows)):
        said += f" {usual} of them {'differs' if usual == 1 else 'differ'} by no more than unchanged runs of this machine do."
    shift = comparison.common_shift
    if shift is None or abs(shift - 1) < NEGLIGIBLE:
        return said
    return f"{said} The median over all is {signed_percent(shift)}: what moves them alike is likely the machine (load, clock), not a step."


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
    rows = comparison.of_other_recipes
    if not rows:
        return ""
    names = ", ".join(f"{row.model} {row.step}" for row in rows[:MOST_NAMED]) + (
        f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    )
    told = dict.fromkeys(change_text(each) for row in rows for each in row.changes if each.field == "recipe")
    return (
        f"Recipes differ: the ratios of {names} are of two recipes, not of one step in two runs ({'; '.join(list(told)[:MOST_NAMED])}). "
        "Runs with --stack all have the same recipes whatever is slower."
    )


def _speed(row: Compared) -> str:
    if row.ratio is None:
        return NO_RATIO
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
