"""Whether two runs are of the same machine, and what was installed and set on it, from the fingerprints of saved runs. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = "(not recorded)"

# What can change on one machine is told as a change; every other field of the fingerprint makes another machine.
_SETTINGS = {"kernel", "thp_mode", "governor", "boost", "microcode"}
# Fields that older runs do not have: that they are missing there tells nothing.
_SINCE_LATER = {
    *("cores", "nodes", "sockets", "threads_per_core", "governor", "boost", "microcode"),
    *("builds.compiler", "builds.libc", "builds.openmp", "builds.allocators"),
}
_INSTALLED = ("versions", "builds", "python")
_MEMORY_TOLERANCE = 0.03  # kernels of different releases reserve different amounts of the same memory


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that two runs do not share."""

    field: str
    base: str
    head: str


_IDENTITY = ("architecture", "cpu_model", "features", "vcpus", "versions")


def missing_identity(fingerprint: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which fields a fingerprint lacks without which nobody can say that a run is of this machine."""
    return tuple(name for name in _IDENTITY if not fingerprint.get(name) and fingerprint.get(name) != [])


def machine_differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return the fields that show two fingerprints to be of different machines; empty for the same machine."""
    return tuple(d for d in _differences(base, head) if not _can_change(d.field))


def software_differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return what changed on the machine: kernel, settings and installed versions."""
    return tuple(d for d in _differences(base, head) if _can_change(d.field))


def machine_name(fingerprint: Mapping[str, Any]) -> str:
    """Describe a machine in a few words: `c8g.xlarge, Neoverse V2 (Graviton4), 4 vCPUs`."""
    parts = [str(fingerprint[name]) for name in ("instance_type", "cpu_model") if fingerprint.get(name)]
    if "vcpus" in fingerprint:
        parts.append(f"{fingerprint['vcpus']} vCPUs")
    if fingerprint.get("emulated"):
        parts.append("emulated: its times mean nothing")
    return ", ".join(parts) or "unknown machine"


def leaves(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested fields as `versions.torch`, value."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def flat(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return nested fields as `versions.torch` -> text."""
    return {name: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in leaves(fields)}


def _differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[Difference]:
    before, after = flat(base), flat(head)
    names = [name for name in {**before, **after} if name not in _SINCE_LATER or (name in before and name in after)]
    pairs = [(name, before.get(name, ABSENT), after.get(name, ABSENT)) for name in names]
    return [Difference(*pair) for pair in pairs if not _equal(*pair)]


def _equal(name: str, base: str, head: str) -> bool:
    if base == head:
        return True
    if name != "memory_bytes" or not (base.isdecimal() and head.isdecimal()):
        return False
    return abs(int(base) - int(head)) <= _MEMORY_TOLERANCE * max(int(base), int(head))


def _can_change(field: str) -> bool:
    return field in _SETTINGS or field.partition(".")[0] in _INSTALLED
