"""Exact versions of the packages that a deployment's own packages need, as they are installed here, and of those that serve."""

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SERVING = Path(__file__).parent / "emitted" / "requirements.txt"
OF_A_BUILD = ("nvidia-", "cuda-", "triton")  # torch's CUDA builds pin these themselves, and its CPU builds have none


def release(installed: str) -> str:
    """Return a version without its local label, so that any build of that release serves."""
    return installed.partition("+")[0]


def needed_by(names: Iterable[str]) -> dict[str, str]:
    """Return the releases of the named distributions and of all that they need here, by canonical name."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen or name.startswith(OF_A_BUILD):
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            found[name] = release(version(name))
        except PackageNotFoundError:  # a requirement that this platform does without
            continue
        needs = [Requirement(text) for text in requires(name) or ()]
        waiting += [each for each in needs if _applies(each, wanted.extras)]
    return found


def serving() -> dict[str, str]:
    """Return the tested releases of what serve.py serves with, for this platform and Python."""
    lines = [line.strip() for line in SERVING.read_text().splitlines() if line.strip() and not line.startswith("#")]
    wanted = [each for each in map(Requirement, lines) if _applies(each, ())]
    return {canonicalize_name(each.name): next(iter(each.specifier)).version for each in wanted}


def requirements(versions: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return the pins, each name once, by their reason: the measured packages, their requirements, and the packages that serve."""
    known = {canonicalize_name(name) for name in versions}
    below = {name: found for name, found in sorted(needed_by(versions).items()) if name not in known}
    beside = {name: found for name, found in serving().items() if name not in known | below.keys()}
    return [("measured", dict(versions)), ("what these need", below), ("what serve.py serves with", beside)]


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
