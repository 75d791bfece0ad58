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
from reports.views.ladder import baseline_of, processes_sps

FEWEST_FOR_SHIFT = 3

Key = tuple[str, str]


class DifferentMachines(Refusal):
    """Two runs of different machines; the message names each field with both values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One benchmark on both sides. `ratio` is head's throughput / base's, across machines that of the speedups over the own baseline;
    its interval is within the runs, whose hours it does not know.

    `base_sps` and `head_sps`, in samples per second, are geometric means over all processes, as in `ratio`: not the run's own figure,
    which leaves out a step's turns as a predecessor. `ratio` is None where a side across machines has no `baseline`, the step that its
    speedup is over. `processes` is how many fresh processes base and head had. `recipes_differ` says that the step stands on other steps in
    base than in head.
    """

    model: str
    step: str
    baseline: str
    base_sps: float
    head_sps: float
    ratio: Gain | None
    processes: tuple[int, int]
    changes: tuple[Difference, ...]
    recipes_differ: bool = False

    @property
    def is_called(self) -> bool:
        """Whether it is called faster or slower."""
        return self.ratio is not None and self.ratio.verdict in {FASTER, SLOWER}


@dataclass(frozen=True, kw_only=True, slots=True)
class OneSided:
    """A benchmark that only one of two runs has; `reason` says what the other run saved about it."""

    model: str
    step: str
    only_in: str
    reason: str


@dataclass(frozen=True, slots=True)
class _OneRun:
    """One of the two runs by model and step: its records, and the throughputs of their fresh processes."""

    measured: Mapping[Key, Measurement]
    processes: Mapping[Key, Sequence[float]]


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
        return tuple(row for row in self.compared if row.changes or row.is_called)


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
    before, after = _side(base), _side(head)
    return Comparison(
        base=base,
        head=head,
        across_machines=across_machines,
        machine=machine,
        software=software_differences(base.fingerprint, head.fingerprint),
        compared=tuple(_compared(key, before, after, across_machines) for key in after.measured if key in before.measured),
        one_sided=(
            *(_one_sided(key, "base", head.outcomes) for key in before.measured if key not in after.measured),
            *(_one_sided(key, "head", base.outcomes) for key in after.measured if key not in before.measured),
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


def _side(run: Run[Measurement]) -> _OneRun:
    return _OneRun(measured={(m.model, m.step): m for m in run.measurements}, processes=processes_sps(run.measurements))


def _compared(key: Key, base: _OneRun, head: _OneRun, across_machines: bool) -> Compared:
    """Return one benchmark of both sides; its ratio is disturbed where others disturbed any of the records that it stands on."""
    before, after = base.measured[key], head.measured[key]
    baseline = (after.model, baseline_of(after, before))
    ratio: Gain | None = None
    stands_on = [key]
    if not across_machines:
        ratio = unpaired_ratio((head.processes[key],), (base.processes[key],))
    elif key != baseline and baseline in base.measured and baseline in head.measured:
        stands_on.append(baseline)
        ratio = unpaired_ratio((head.processes[key], base.processes[baseline]), (base.processes[key], head.processes[baseline]))
    if ratio is not None and any(side.measured[each].disturbed for side in (base, head) for each in stands_on):
        ratio = msgspec.structs.replace(ratio, verdict=DISTURBED)
    fewest_base, fewest_head = (min(len(side.processes[each]) for each in stands_on) for side in (base, head))
    return Compared(
        model=after.model,
        step=after.step,
        baseline=baseline[1],
        base_sps=geometric_mean(base.processes[key]),
        head_sps=geometric_mean(head.processes[key]),
        ratio=ratio,
        processes=(fewest_base, fewest_head),
        changes=changes(before, after),
        recipes_differ=recipes_differ(before, after),
    )


def _one_sided(key: Key, only_in: str, other_outcomes: Sequence[Outcome]) -> OneSided:
    found = next((o for o in other_outcomes if (o.model, o.step) == key), None)
    reason = "not run there" if found is None else f"{found.outcome} there" + (f": {found.reason}" if found.reason else "")
    return OneSided(model=key[0], step=key[1], only_in=only_in, reason=reason)
