"""Measures one recipe outside of pytest, proved first, as the suite does, and saves its record."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from fixtures.bench.launch import WorkerError
from fixtures.bench.record import record_of
from fixtures.bench.turns import PairedMeasurement, Plan
from fixtures.machine.host import HostSample
from fixtures.machine.versions import installed
from fixtures.steps.recipe import Recipe
from reports.commands.measuring import Bench, CannotMeasure
from reports.saved.files import write_atomically
from reports.saved.load import as_saved
from reports.saved.record import RECORD_VERSION, MachineInfo, Measurement, Outcome, SavedBenchmark, SavedFile


def measure(bench: Bench, recipe: Recipe, over: Recipe | None, plan: Plan, after_pair: Callable[[], None] = lambda: None) -> Measurement:
    """Return the record of `recipe`, taking turns with `over` where it is given; `after_pair` is called while both stand still.

    Raises ServingError, WorkerError; no worker is left whatever happens.
    """
    host = HostSample.now()
    measurement = PairedMeasurement(bench.rig, recipe, over, bench.model, plan)
    measurement.measure(after_pair)
    record = record_of(bench.model_id, measurement, host, bench.rig.work(measurement.first.job))
    return msgspec.structs.replace(record, complete=True)


def fingerprint(bench: Bench) -> dict[str, Any]:
    """Return the fingerprint of this machine and its versions. Raises CannotMeasure where nothing can be served at all."""
    try:
        bench.rig.build(bench.model)
    except WorkerError as error:
        raise CannotMeasure(f"nothing was measured: {error.reason or error}") from error
    return bench.rig.machine.fingerprint() | {"versions": installed()}


def save(file: Path, records: list[Measurement], machine: dict[str, Any], **more: Any) -> None:
    """Write records as a saved run that all of `reports` reads. Raises OSError."""
    run = SavedFile(
        machine_info=MachineInfo(machine),
        benchmarks=[SavedBenchmark(fullname=f"tune[{each.model}-{each.step}]", extra_info=as_saved(each)) for each in records],
        outcomes=tuple(Outcome(model=each.model, step=each.step, outcome="measured") for each in records),
        datetime=datetime.now(UTC),
        record_version=RECORD_VERSION,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(run) | more), indent=1) + b"\n")
