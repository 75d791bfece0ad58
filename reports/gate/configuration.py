"""`[tool.inference-ladder.gate]` of a judged repository's pyproject.toml. Base's is in force: head cannot weaken its own gate.

Both files are data of unknown origin: bounded, checked by type, never run. What names programs or places of the judging machine
(interpreters, outputs, caches) and the two sides have no key.
"""

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from reports.gate.benchmarks import GateError
from reports.gate.git import GitError, git
from reports.gate.limits import LIMIT_NAMES, Overrides, limit_of
from reports.gate.quantities import MEASURES, METRIC
from reports.text.durations import seconds_of
from reports.text.image_shape import ImageShape, size_of, square
from reports.text.metric_limit import metric_limit_of
from reports.text.plain_text import plain, some_of

FILE = "pyproject.toml"
TABLE = "tool.inference-ladder.gate"
LARGEST_BYTES = 2**20
MOST_NAMES = 200
MOST_TOLD = 20
LONGEST_TEXT = 1000
LARGEST_NUMBER = 10**6
TIME = "time"
ACKNOWLEDGEABLE = (TIME, *(measure.name.replace(" ", "-") for measure in MEASURES))
KINDS = ("families", "models", "benchmarks")


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledged:
    """A regression of one benchmark by one measure that is known until `expires`: at most `bound` percent, dB, points, of a metric."""

    benchmark: str
    measure: str
    bound: float
    reason: str
    expires: date


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """What the file says: options by their names on the command line (`image_size`), thresholds, known regressions; raw as it was read."""

    options: Mapping[str, Any] = field(default_factory=dict)
    common: Overrides = field(default_factory=dict)
    others: Mapping[str, Mapping[str, Overrides]] = field(default_factory=dict)
    acknowledged: tuple[Acknowledged, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


NO_CONFIGURATION = Configuration()


def configuration_of(side: str, revision: str | None, here: Path) -> Configuration:
    """Return what the side's pyproject.toml beside `here` says; nothing where there is no such file or table. Raises GateError."""
    where = f"{side}'s {FILE}"
    text = _text_of(revision, here, where)
    if text is None:
        return NO_CONFIGURATION
    try:
        table: Any = tomllib.loads(text)
        for name in TABLE.split("."):
            table = table.get(name, {})
    except (ValueError, AttributeError, RecursionError) as error:
        raise GateError(f"{where} cannot be read: {plain(error, 300)}") from error
    try:
        return configuration(table)
    except ValueError as error:
        raise GateError(f"[{TABLE}] in {where}: {plain(error, 500)}") from error


def check_families(named: Iterable[str], known: Iterable[str]) -> None:
    """Raise GateError for thresholds of a family that no step is of: they would judge nothing."""
    try:
        _refuse_unknown(named, sorted({*known}), "thresholds.families.")
    except ValueError as error:
        raise GateError(f"[{TABLE}] in base's {FILE}: {error}") from error


def changes_by_head(base: Configuration, revision: str | None, here: Path) -> tuple[str, ...]:
    """Say which keys head's file has otherwise than base's, which is in force."""
    try:
        head = configuration_of("head", revision, here)
    except GateError as error:
        return (f"{plain(error, 600)}; base's is in force",)
    before, after = _flat(base.raw), _flat(head.raw)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    told = [f"{plain(name, 100)} ({_short(before.get(name))} to {_short(after.get(name))})" for name in names]
    if not told:
        return ()
    return (f"head changes [{TABLE}] in {FILE}: {some_of(told, MOST_TOLD)}; base's is in force until the change is merged",)


def configuration(table: object) -> Configuration:
    """Check a table and return what it says. Raises ValueError naming the key, and the nearest one that there is."""
    entries = _table(table, TABLE)
    if not entries:
        return NO_CONFIGURATION
    _refuse_unknown(entries, (*OPTIONS, "thresholds", "acknowledged"), "")
    if {"steps", "expression"} <= {*entries}:
        raise ValueError("steps and expression name the benchmarks both: leave one of them out")
    options = {}
    for key, read in OPTIONS.items():
        if key in entries:
            try:
                options[key.replace("-", "_")] = read(entries[key])
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
    thresholds = _table(entries.get("thresholds", {}), "thresholds")
    _refuse_unknown(thresholds, (*map(_key, LIMIT_NAMES), *KINDS), "thresholds.")
    others = {
        kind: {
            name: _limits(_table(each, f"thresholds.{kind}.{name}"), f"thresholds.{kind}.{name}.")
            for name, each in _table(thresholds.get(kind, {}), f"thresholds.{kind}").items()
        }
        for kind in KINDS
    }
    known = entries.get("acknowledged", [])
    if not isinstance(known, list) or len(known) > MOST_NAMES:
        raise ValueError(f"acknowledged: expected at most {MOST_NAMES} tables, [[{TABLE}.acknowledged]]")
    return Configuration(
        options=options,
        common=_limits({name: value for name, value in thresholds.items() if name not in KINDS}, "thresholds."),
        others=others,
        acknowledged=tuple(_acknowledged(each, f"acknowledged, entry {number}") for number, each in enumerate(known, 1)),
        raw=entries,
    )


def _acknowledged(value: object, where: str) -> Acknowledged:
    entry = _table(value, where)
    _refuse_unknown(entry, ("benchmark", "measure", "bound", "reason", "expires"), f"{where}: ")
    missing = [name for name in ("benchmark", "bound", "reason", "expires") if name not in entry]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} missing; a regression is known by benchmark, bound, reason and date of expiry")
    measure, bound, expires = entry.get("measure", TIME), entry["bound"], entry["expires"]
    if measure not in ACKNOWLEDGEABLE and not (isinstance(measure, str) and measure.startswith(f"{METRIC}-")):
        raise ValueError(f"{where}: measure: expected one of {', '.join(ACKNOWLEDGEABLE)}, {METRIC}-NAME, found {plain(measure, 100)!r}")
    if type(expires) is not date:
        raise ValueError(f"{where}: expires: expected a date without quotes such as 2027-01-31, found {plain(expires, 100)!r}")
    try:
        limit = limit_of("bound", bound)
    except ValueError as error:
        raise ValueError(f"{where}: bound: {error}") from error
    if limit is None:
        raise ValueError(f"{where}: bound: expected a number, in percent (SQNR: dB, accuracy: points, metrics: their own), found 'off'")
    return Acknowledged(
        benchmark=_string(entry["benchmark"]), measure=measure, bound=limit, reason=_string(entry["reason"]), expires=expires
    )


def _limits(entries: Mapping[str, object], where: str) -> Overrides:
    _refuse_unknown(entries, tuple(map(_key, LIMIT_NAMES)), where)
    found: dict[str, float | None] = {}
    for key, value in entries.items():
        name = key.replace("-", "_")
        try:
            found[name] = limit_of(name, value)
        except ValueError as error:
            raise ValueError(f"{where}{key}: {error}") from error
    return found


def _refuse_unknown(entries: Iterable[str], known: Iterable[str], where: str) -> None:
    known = tuple(known)
    for key in entries:
        if key not in known:
            near = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.0)
            raise ValueError(f"{where}{plain(key, 100)}: no such key; the nearest is {near[0] if near else known[0]}")


def _table(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or len(value) > MOST_NAMES:
        raise ValueError(f"{plain(where, 200)}: expected a table of at most {MOST_NAMES} keys")
    return value


def _string(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        raise ValueError(f"expected a text of 1 to {LONGEST_TEXT} characters, found {plain(value, 100)!r}")
    return value


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_NAMES:
        raise ValueError(f"expected a list of 1 to {MOST_NAMES} texts, found {plain(value, 100)!r}")
    return [_string(each) for each in value]


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LARGEST_NUMBER:
        raise ValueError(f"expected a whole number from 1 to {LARGEST_NUMBER}, found {plain(value, 100)!r}")
    return value


def _image_size(value: object) -> ImageShape:
    return size_of(_string(value)) if isinstance(value, str) else square(_count(value))


def _file(value: object) -> Path:
    path = Path(_string(value))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"expected a file of the repository, found {plain(value, 100)!r}")
    return path


def _function(value: object) -> str:
    file, _, function = _string(value).rpartition(":")
    if not file.endswith(".py") or not function.isidentifier():
        raise ValueError(f"expected FILE.py:FUNCTION, found {plain(value, 100)!r}")
    return f"{_file(file)}:{function}"


# Each key with the reader of its value; `models` is --model, `expression` is -k.
OPTIONS: Mapping[str, Callable[[object], object]] = {
    "models": _strings,
    "steps": _strings,
    "expression": _string,
    "source": _strings,
    "requirements": lambda value: str(_file(value)),
    "image-size": _image_size,
    "image-channels": _count,
    "sequence-length": _count,
    "batch-size": _count,
    "threads": _count,
    "weights": lambda value: str(_file(value)),
    "accuracy": _file,
    "accuracy-pictures": _count,
    "evaluate": _function,
    "metric-limit": lambda value: [metric_limit_of(each) for each in _strings(value)],
    "budget": lambda value: seconds_of(_string(value)),
    "worker-timeout": _count,
}


def _key(name: str) -> str:
    return name.replace("_", "-")


def _text_of(revision: str | None, here: Path, where: str) -> str | None:
    """Return the file's text, of a revision as git has it (a link there is only its target's name), else of the working folder."""
    if revision is None:
        file = here / FILE
        try:
            if not file.is_file():
                return None
            if file.stat().st_size > LARGEST_BYTES:
                raise GateError(f"{where} has more than {LARGEST_BYTES} bytes; shorten it")
            return file.read_text(errors="replace")
        except OSError as error:
            raise GateError(f"{where} cannot be read: {error.strerror or error}") from error
    try:
        prefix = git(here, "rev-parse", "--show-prefix")
        commit = git(here, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        size = git(here, "cat-file", "-s", f"{commit}:{prefix}{FILE}")
    except GitError:
        return None  # no such file there; a revision that is none is told where it is checked out
    if int(size) > LARGEST_BYTES:
        raise GateError(f"{where} has more than {LARGEST_BYTES} bytes; shorten it")
    return git(here, "cat-file", "blob", f"{commit}:{prefix}{FILE}")


def _flat(value: object, prefix: str = "") -> dict[str, str]:
    """Return nested tables and lists as `thresholds.memory-percent` -> text."""
    if isinstance(value, dict):
        pairs: Iterable[tuple[str, object]] = ((str(name), each) for name, each in value.items())
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        pairs = ((str(number), each) for number, each in enumerate(value, 1))
    else:
        return {prefix.removesuffix("."): str(value)}
    found: dict[str, str] = {}
    for name, each in pairs:
        found |= _flat(each, f"{prefix}{name}.")
    return found


def _short(text: str | None) -> str:
    return "unset" if text is None else plain(text, 80)
