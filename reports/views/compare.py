"""Two saved runs, benchmark by benchmark: how much faster or slower, how sure that is, and what else changed. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median

import msgspec

from reports.saved.machines import Difference, machine_differences, software_differences
from reports.saved.record import Gain, Measurement, Outcome, Run, Throughput
from reports.statistics import DISTURBED, FASTER, SLOWER, unpaired_ratio
from reports.statistics.run_spread import RunSpread, run_spread
from reports.text.refusal import Refusal
from reports.views.changes import changes, recipes_differ
from reports.views.ladder import BASELINE, processes_sps

FEWEST_FOR_SHIFT = 3

Processes = Mapping[tuple[str, str], Sequence[float]]


class DifferentMachines(Refusal):
    """Two runs of different machines; the message names each field with both values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One benchmark on both sides. `ratio` is head's throughput / base's, across machines that of the speedups over the own baseline;
    its interval is within the runs, whose hours it does not know.

    `base_sps` and `head_sps`, in samples per second, are geometric means over all processes, as in `ratio`: not the run's own figure,
    which leaves out a step's turns as a predecessor. `ratio` is None where a side across machines has no baseline. `processes` is how
    many fresh processes base and head had. `recipes_differ` says that the step stands on other steps in base than in head.
    """

    model: str
    step: str
    base_sps: float
    head_sps: float
    ratio: Gain | None
    processes: tuple[int, int]
    changes: tuple[Difference, ...]
    recipes_differ: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class OneSided:
    """A benchmark that only one of two runs has; `reason` says what the other run saved about it."""

    model: str
    step: str
    only_in: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All benchmarks of two runs, in the order of head's ladder. `spread` is how far unchanged runs of the machine differ, if known."""

    base: Run[Measurement]
    head: Run[Measurement]
    across_machines: bool
    machine: tuple[Difference, ...]
    software: tuple[Difference, ...]
    compared: tuple[Compared, ...]
    one_sided: tuple[OneSided, ...]
    spread: RunSpread | None = None

    @property
    def fewest_processes(self) -> int:
        return min((min(row.processes) for row in self.compared), default=0)

    @property
    def slower(self) -> tuple[Compared, ...]:
        return tuple(row for row in self.compared if row.ratio is not None and row.ratio.verdict == SLOWER)

    @property
    def faster(self) -> tuple[Compared, ...]:
        return tuple(row for row in self.compared if row.ratio is not None and row.ratio.verdict == FASTER)

    @property
    def of_other_recipes(self) -> tuple[Compared, ...]:
        """Benchmarks that stand on other steps in base than in head."""
        return tuple(row for row in self.compared if row.recipes_differ)

    @property
    def common_shift(self) -> float | None:
        """The median ratio: what moved most benchmarks alike is the machine's doing, rarely a step's. None below three."""
        ratios = [row.ratio.ratio for row in self.compared if row.ratio is not None and row.ratio.verdict != DISTURBED]
        return median(ratios) if len(ratios) >= FEWEST_FOR_SHIFT else None

    def is_usual(self, row: Compared) -> bool:
        """Whether unchanged runs of this machine are known to differ by as much as this benchmark does."""
        return row.ratio is not None and self.spread is not None and 1 / self.spread.ratio <= row.ratio.ratio <= self.spread.ratio

    @property
    def notable(self) -> tuple[Compared, ...]:
        """Benchmarks that are faster or slower, or in which something else changed."""
        return tuple(row for row in self.compared if row.changes or (row.ratio is not None and row.ratio.verdict in {FASTER, SLOWER}))


def compare(
    base: Run[Measurement], head: Run[Measurement], *, across_machines: bool = False, saved: Sequence[Run[Throughput]] = ()
) -> Comparison:
    """Compare two runs. Raises DifferentMachines unless `across_machines`, which compares speedups over each run's own baseline.

    Runs on emulated CPUs are refused always. `saved` are runs that may tell how far those of this machine differ.
    """
    machine = machine_differences(base.fingerprint, head.fingerprint)
    _refuse_emulation(base, head)
    if not across_machines:
        _refuse_different_machines(base, head, machine)
    before = {(m.model, m.step): m for m in base.measurements}
    after = {(m.model, m.step): m for m in head.measurements}
    base_processes, head_processes = processes_sps(base.measurements), processes_sps(head.measurements)
    return Comparison(
        base=base,
        head=head,
        across_machines=across_machines,
        machine=machine,
        software=software_differences(base.fingerprint, head.fingerprint),
        compared=tuple(
            _compared(before[key], after[key], base_processes, head_processes, across_machines) for key in after if key in before
        ),
        one_sided=(
            *(_one_sided(key, "base", head.outcomes) for key in before if key not in after),
            *(_one_sided(key, "head", base.outcomes) for key in after if key not in before),
        ),
        spread=None if across_machines else run_spread(saved, head.fingerprint),
    )


def _refuse_emulation(base: Run[Measurement], head: Run[Measurement]) -> None:
    for run, side in ((base, "base"), (head, "head")):
        if run.fingerprint.get("emulated"):
            raise DifferentMachines(
                f"{side} ({run.path}) is of an emulated CPU ({run.fingerprint.get('cpu_model', 'unknown')}), whose times mean nothing: "
                "they are compared neither with hardware's nor with each other; name runs that were measured on hardware"
            )


def _refuse_different_machines(base: Run[Measurement], head: Run[Measurement], machine: Sequence[Difference]) -> None:
    for run, side in ((base, "base"), (head, "head")):
        if not run.fingerprint:
            raise DifferentMachines(
                f"{side} ({run.path}) says nothing about its machine (no machine_info.fingerprint), so the runs may be of different ones; "
                "add --across-machines, which compares the ratios to each run's own baseline"
            )
    if machine:
        fields = "; ".join(f"{d.field}: base {d.base}, head {d.head}" for d in machine)
        raise DifferentMachines(
            f"the runs are of different machines, so their times cannot be compared. {fields}. "
            "Add --across-machines, which compares the ratios to each run's own baseline"
        )


def _compared(before: Measurement, after: Measurement, base: Processes, head: Processes, across_machines: bool) -> Compared:
    key, baseline = (before.model, before.step), (before.model, BASELINE)
    ratio: Gain | None = None
    counts = (len(base[key]), len(head[key]))
    if not across_machines:
        ratio = unpaired_ratio((head[key],), (base[key],))
    elif key != baseline and baseline in base and baseline in head:
        ratio = unpaired_ratio((head[key], base[baseline]), (base[key], head[baseline]))
        counts = (min(counts[0], len(base[baseline])), min(counts[1], len(head[baseline])))
    if ratio is not None and (before.disturbed or after.disturbed):
        ratio = msgspec.structs.replace(ratio, verdict=DISTURBED)
    return Compared(
        model=before.model,
        step=before.step,
        base_sps=geometric_mean(base[key]),
        head_sps=geometric_mean(head[key]),
        ratio=ratio,
        processes=counts,
        changes=changes(before, after),
        recipes_differ=recipes_differ(before, after),
    )


def _one_sided(key: tuple[str, str], only_in: str, other_outcomes: Sequence[Outcome]) -> OneSided:
    found = next((o for o in other_outcomes if (o.model, o.step) == key), None)
    reason = "not run there" if found is None else f"{found.outcome} there" + (f": {found.reason}" if found.reason else "")
    return OneSided(model=key[0], step=key[1], only_in=only_in, reason=reason)
