"""Reading saved files: what is taken, what is left out with a note, and what is refused with the reason."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace

from reports.saved.__main__ import PAGE, written
from reports.saved.load import UnreadableRun, as_saved, measurements_from_records, number_of, read_brief, read_run
from reports.saved.record import HISTORY, RECORD_VERSION
from tests.reports.saved_runs import FINGERPRINT, benchmark, ladder, measurement, outcome, save, saved_run


def changed(**extra_info: Any) -> dict[str, Any]:
    return saved_run([benchmark(**extra_info)])


FOREIGN = benchmark() | {"extra_info": {}}

REFUSED: list[tuple[Any, str]] = [
    ("", "empty"),
    ("   \n", "empty"),
    (json.dumps(saved_run(ladder("baseline")))[:-400], "truncated"),
    ("<html></html>", "malformed"),
    (b"\xff\xfe\x00\x01", "malformed"),
    ("[1, 2]", "not a saved run"),
    ("{}", "missing required field `benchmarks`"),
    (saved_run([]), "holds no benchmark"),
    (saved_run([FOREIGN, FOREIGN]), "none of its 2 benchmarks is of this suite"),
    (changed() | {"record_version": 3}, "newer version"),
    (saved_run([FOREIGN]) | {"record_version": 7}, "newer version"),
    (changed(samples_per_second=1e308), "samples_per_second"),
    (changed(samples_per_second=-1), "samples_per_second"),
    (changed(pairs=[{"own_median_s": 0.0, "over_median_s": 1.0}]), "own_median_s"),
    (changed(pairs="many"), "pairs"),
    (changed(gain={"over": "x", "ratio": 0, "verdict": "faster"}), "ratio"),
    (changed(samples_per_round=0), "samples_per_round"),
    (json.dumps(changed(cosine=float("nan"))), "NaN and Infinity are not JSON"),
    (changed() | {"datetime": "yesterday"}, "datetime"),
    (changed() | {"outcomes": [outcome("x", "measured") | {"outcome": "won"}]}, "outcome"),
    ("[" * 100_000, "not a saved run"),
    (json.dumps(changed()).encode().replace(b'"model": "resnet50"', b'"model": "\x80"', 1), "benchmark '.*decode byte 0x80"),
    ('{"benchmarks": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply|not a saved run"),
]


@pytest.mark.parametrize("read", [read_run, read_brief])
@pytest.mark.parametrize(("content", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_damaged_and_foreign_files_are_refused_with_name_and_reason(tmp_path: Path, content: Any, reason: str, read: Any) -> None:
    path = save(tmp_path, 3, content)

    with pytest.raises(UnreadableRun, match=reason) as refusal:
        read(path)
    assert str(path) in str(refusal.value)


def test_a_number_too_large_for_a_float_is_refused_where_it_is_read(tmp_path: Path) -> None:
    path = save(tmp_path, 1, json.dumps(changed()).replace("0.9999", "1e999"))

    with pytest.raises(UnreadableRun, match="out of range"):
        read_run(path)
    assert 1 == len(read_brief(path).measurements)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(UnreadableRun, match="not a file"):
            read_run(path)


def test_a_saved_run_is_read_whole(tmp_path: Path) -> None:
    skipped = outcome("tcmalloc", "skipped", "libtcmalloc is not installed", "apt-get install libtcmalloc-minimal4")
    saved = saved_run(ladder("baseline", "batch_8"), outcomes=[outcome("baseline", "measured"), outcome("batch_8", "measured"), skipped])
    run = read_run(save(tmp_path, 12, saved, name="main"))

    assert (12, "0012", FINGERPRINT) == (run.number, run.name, run.fingerprint)
    assert datetime(2026, 11, 20, 4, 40, tzinfo=UTC) == run.saved_at
    assert ["baseline", "batch_8"] == [m.step for m in run.measurements]
    assert ["measured", "measured", "skipped"] == [o.outcome for o in run.outcomes]
    batch_8 = run.measurements[1]
    assert batch_8.gain is not None
    assert ("baseline", 3, {"bf16": 0.96, "f32": 0.04}) == (batch_8.gain.over, len(batch_8.pairs), batch_8.precision_share)
    assert () == run.notes


def test_brief_reading_agrees_with_whole_reading(tmp_path: Path) -> None:
    path = save(tmp_path, 1, saved_run(ladder("baseline", "batch_8")))
    whole, brief = read_run(path), read_brief(path)

    assert [(m.step, m.samples_per_second, m.pairs) for m in whole.measurements] == [
        (m.step, m.samples_per_second, m.pairs) for m in brief.measurements
    ]


def test_incomplete_foreign_and_repeated_records_are_left_out_with_a_note(tmp_path: Path) -> None:
    interrupted = benchmark("compile", complete=False)
    run = read_run(save(tmp_path, 1, saved_run([benchmark(), benchmark(), interrupted, FOREIGN], outcomes=[])))

    assert ["baseline"] == [m.step for m in run.measurements]
    assert (
        "1 of 4 benchmarks are no steps of a ladder and were left out",
        "1 incomplete records (interrupted, or failed while timed) were left out",
        "1 records repeat a model and step; the last of each was kept",
    ) == run.notes


def test_a_run_in_which_nothing_could_be_measured_is_still_a_run(tmp_path: Path) -> None:
    run = read_run(save(tmp_path, 1, saved_run([], outcomes=[outcome("baseline", "failed", "the worker was killed")])))

    assert ((), "the worker was killed") == (run.measurements, run.outcomes[0].reason)


def test_unknown_fields_are_ignored_and_times_without_zone_are_utc(tmp_path: Path) -> None:
    run = read_run(save(tmp_path, 1, saved_run([benchmark(invented_later=1)], saved_at="2026-11-20T04:40:00") | {"also_new": []}))

    assert datetime(2026, 11, 20, 4, 40, tzinfo=UTC) == run.saved_at


def test_live_records_are_read_as_saved_ones_are() -> None:
    records = [entry["extra_info"] for entry in ladder("baseline", "batch_8")]

    assert ["baseline", "batch_8"] == [m.step for m in measurements_from_records(records)]
    with pytest.raises(UnreadableRun, match=r"step 'baseline' on 'resnet50'.*batch_size"):
        measurements_from_records([records[0] | {"batch_size": "eight"}])


@pytest.mark.parametrize("damage", [{"samples_per_second": 0.0}, {"cosine": float("nan")}, {"max_abs_error": float("inf")}])
def test_a_record_that_could_not_be_read_back_is_not_saved(damage: dict[str, float]) -> None:
    """NaN and Infinity are no JSON, and a throughput of nothing is none."""
    measured = measurement()

    assert measured == measurements_from_records([as_saved(measured)])[0]
    with pytest.raises(UnreadableRun, match="step 'baseline' on 'resnet50'"):
        as_saved(replace(measured, **damage))


def test_the_schema_of_a_saved_run_is_that_of_its_types() -> None:
    assert PAGE.read_text() == written(), "docs/record.schema.json is written by: python -m reports.saved"


@pytest.mark.parametrize(("record_version", "extra"), [(1, {}), (2, {"invented_later": 1})])
def test_saved_runs_are_valid_by_the_schema(record_version: int, extra: dict[str, int]) -> None:
    """Old ones, and those with fields of other plugins, too."""
    run = changed(**extra) | {"record_version": record_version}

    jsonschema.validate(run, json.loads(written()))
    with pytest.raises(jsonschema.ValidationError, match="samples_per_round"):
        jsonschema.validate(changed(samples_per_round="eight"), json.loads(written()))


def test_every_version_of_the_record_has_its_history() -> None:
    assert list(range(1, RECORD_VERSION + 1)) == list(HISTORY)


@pytest.mark.parametrize(
    ("name", "number"), [("0007_x.json", 7), ("12345_x.json", 12345), ("007_x.json", None), ("0007.json", None), ("a_b.json", None)]
)
def test_numbers_are_those_of_pytest_benchmark(name: str, number: int | None) -> None:
    assert number == number_of(Path(name))
