"""The only reader of saved JSON: pytest-benchmark's files with this suite's `extra_info`, decoded by type.

What is not asked for (raw times above all) is skipped by the decoder, never built.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from reports.saved.record import RECORD_VERSION, Calibration, Measurement, Run, SavedBenchmark, SavedFile, Throughput
from reports.text.refusal import Refusal

LARGEST_FILE_BYTES = 512 * 2**20

Record = TypeVar("Record", bound=Throughput)


class UnreadableRun(Refusal):
    """A file that is not a whole saved run of this suite; the message names the file and the reason."""


class _Marks(msgspec.Struct):
    """What tells one of our records from another project's."""

    model: Any = None
    step: Any = None


@dataclass(frozen=True, slots=True)
class _Reader(Generic[Record]):
    """Decodes whole files at once, and single records where a file also holds benchmarks of others."""

    file: msgspec.json.Decoder[SavedFile[Record]]
    record: msgspec.json.Decoder[Record]


_WHOLE = _Reader(msgspec.json.Decoder(SavedFile[Measurement]), msgspec.json.Decoder(Measurement))
_BRIEF = _Reader(msgspec.json.Decoder(SavedFile[Throughput]), msgspec.json.Decoder(Throughput))
_UNREAD = msgspec.json.Decoder(SavedFile[msgspec.Raw])
_OTHER = "name another run"
_MARKS = msgspec.json.Decoder(_Marks)
_CALIBRATION = msgspec.json.Decoder(Calibration)


def read_run(path: Path) -> Run[Measurement]:
    """Read one saved run whole. Raises UnreadableRun."""
    return _read(path, _WHOLE)


def read_brief(path: Path) -> Run[Throughput]:
    """Read of one saved run what listing and tracking need: about 1 ms for a file of 1 MB. Raises UnreadableRun."""
    return _read(path, _BRIEF)


def measurements_from_records(records: Iterable[Mapping[str, Any]]) -> list[Measurement]:
    """Return the measurements of records as JSON has them, each an `extra_info`. Raises UnreadableRun naming the record."""
    return [_converted(record) for record in records]


def as_saved(measurement: Measurement) -> dict[str, Any]:
    """Return a measurement as JSON has it. Raises UnreadableRun, naming the record, for one that could not be read back."""
    record: dict[str, Any] = msgspec.to_builtins(measurement)
    try:
        json.dumps(record, allow_nan=False)
    except ValueError as error:
        raise _unreadable(record, error) from error
    _converted(record)
    return record


def _converted(record: Mapping[str, Any]) -> Measurement:
    try:
        return msgspec.convert(record, Measurement)
    except msgspec.ValidationError as error:
        raise _unreadable(record, error) from error


def _unreadable(record: Mapping[str, Any], error: Exception) -> UnreadableRun:
    return UnreadableRun(f"the record cannot be read back: live record of step {record.get('step')!r} on {record.get('model')!r}: {error}")


def read_calibration(path: Path) -> Calibration:
    """Read what `python -m reports peaks --format json` printed. Raises UnreadableRun."""
    try:
        return _CALIBRATION.decode(_read_bytes(path))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRun(
            f"{path}: not a machine's peaks: {error}; write them with `python -m reports peaks --format json > peaks.json`"
        ) from error


def number_of(path: Path) -> int | None:
    """Return the number that pytest-benchmark gave the file, None for a name of another form."""
    head, underscore, _ = path.name.partition("_")
    return int(head) if underscore and 4 <= len(head) <= 9 and head.isascii() and head.isdecimal() else None


def _read(path: Path, reader: _Reader[Record]) -> Run[Record]:
    data = _read_bytes(path)
    others = 0
    try:
        saved = reader.file.decode(data)
        records = [benchmark.extra_info for benchmark in saved.benchmarks]
        _check_version(path, saved.record_version)
        frame: SavedFile[Any] = saved
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        unread = _read_frame(path, data)
        _check_version(path, unread.record_version)
        ours = [benchmark for benchmark in unread.benchmarks if _is_ours(benchmark.extra_info)]
        others = len(unread.benchmarks) - len(ours)
        records = [_read_record(path, benchmark, reader) for benchmark in ours]
        frame = unread
    if not records and others:
        raise UnreadableRun(f"{path}: none of its {others} benchmarks is of this suite (no `model` and `step` in extra_info); {_OTHER}")
    if not records and not frame.outcomes:
        raise UnreadableRun(f"{path}: holds no benchmark; {_OTHER}")
    complete = {(record.model, record.step): record for record in records if record.complete}
    return Run(
        path=path,
        number=number_of(path),
        saved_at=frame.datetime if frame.datetime.tzinfo else frame.datetime.replace(tzinfo=UTC),
        commit=frame.commit_info,
        fingerprint=frame.machine_info.fingerprint,
        measurements=tuple(complete.values()),
        outcomes=frame.outcomes,
        notes=tuple(_notes(records, others, len(complete))),
        calibration=frame.calibration,
        earlier_pairs=frame.earlier_pairs,
        budget_s=frame.budget_s,
    )


def _notes(records: list[Record], others: int, kept: int) -> Iterable[str]:
    if others:
        yield f"{others} of {others + len(records)} benchmarks are no steps of a ladder and were left out"
    incomplete = sum(not record.complete for record in records)
    if incomplete:
        yield f"{incomplete} incomplete records (interrupted, or failed while timed) were left out"
    if kept < len(records) - incomplete:
        yield f"{len(records) - incomplete - kept} records repeat a model and step; the last of each was kept"


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UnreadableRun(f"{path}: not a file; {_OTHER}")
        if (size := path.stat().st_size) > LARGEST_FILE_BYTES:
            raise UnreadableRun(f"{path}: {size} bytes; a saved run has at most {LARGEST_FILE_BYTES}; {_OTHER}")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableRun(f"{path}: {error.strerror or error}; {_OTHER}") from error


def _read_frame(path: Path, data: bytes) -> SavedFile[msgspec.Raw]:
    """Read everything but the records, or say why the file cannot be read."""
    if not data.strip():
        raise UnreadableRun(f"{path}: the file is empty; {_OTHER}")
    try:
        return _UNREAD.decode(data)
    except msgspec.ValidationError as error:
        raise UnreadableRun(f"{path}: not a saved run: {error}; {_OTHER}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "truncated" in str(error):
            raise UnreadableRun(
                f"{path}: truncated after {len(data)} bytes: the session that wrote it did not finish saving; {_OTHER}"
            ) from error
        named = " (NaN and Infinity are not JSON)" if b"NaN" in data or b"Infinity" in data else ""
        raise UnreadableRun(f"{path}: {error}{named}; {_OTHER}") from error
    except RecursionError as error:
        raise UnreadableRun(f"{path}: nested too deeply to be a saved run; {_OTHER}") from error


def _is_ours(extra_info: msgspec.Raw) -> bool:
    try:
        marks = _MARKS.decode(extra_info)
    except msgspec.DecodeError:
        return False
    except (UnicodeDecodeError, RecursionError):  # `_read_record` says which record is damaged
        return True
    return isinstance(marks.model, str) and isinstance(marks.step, str)


def _read_record(path: Path, benchmark: SavedBenchmark[msgspec.Raw], reader: _Reader[Record]) -> Record:
    try:
        return reader.record.decode(benchmark.extra_info)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRun(f"{path}: benchmark {benchmark.fullname[:200]!r}: {error}; {_OTHER}") from error


def _check_version(path: Path, found: int) -> None:
    if found > RECORD_VERSION:
        raise UnreadableRun(
            f"{path}: written by a newer version of this suite (record version {found}, this one reads up to {RECORD_VERSION}): "
            "update the suite to read it"
        )
