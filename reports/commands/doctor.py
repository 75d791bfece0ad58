"""What is missing on this machine and in its environment, or disturbs measuring: each check has its finding and its remedy."""

import os
import re
import shutil
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal, Self

from packaging.requirements import InvalidRequirement, Requirement

from fixtures.artifacts import entry_locks
from fixtures.bench.record import NOTABLE_OTHERS, NOTABLE_STEAL, recorded_variables
from fixtures.bench.variables import for_workers
from fixtures.machine import Machine, this_machine
from fixtures.machine.allocators import ALLOCATORS, PRELOAD
from fixtures.machine.cpus import CPU_FOLDER, ROOT
from fixtures.machine.host import UNREADABLE, HostSample, busy_s, is_told, since
from fixtures.machine.neighbours import Neighbour, Processes
from fixtures.machine.threads import HOW_TO_RAISE, unusable
from fixtures.session.ending import ignores_interrupts
from fixtures.steps.optimizations import ON_DEMAND, catalogue
from fixtures.steps.recipe import unmet
from fixtures.steps.requirements import allocator, compiler, huge_pages_on_request, torch_allocates_by_malloc
from reports.commands.recipes import PAGE, recipe_for
from reports.text.plain_text import plain

State = Literal["fine", "note", "missing", "disturbs"]
GIB = 2**30
LEAST_DISK_BYTES = 4 * GIB  # the artifacts of ResNet-50 and ViT-B/16 over all steps are about half of it
LEAST_MEMORY_BYTES = 4 * GIB
LISTENS_S = 1.0
DISTRIBUTION = "cpu-inference-ladder"
CLONE = Path(__file__).resolve().parents[2] / "pyproject.toml"
IN_MEMORY = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: its name, what was found, and the remedy where that is not fine."""

    name: str
    state: State
    found: str
    remedy: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing is to be done before measuring."""
        return self.state in {"fine", "note"}


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """How much others used the allowed CPUs while this process slept, as shares of their time; `told` is whether the system tells."""

    others_share: float
    steal_share: float
    load_1min: float
    told: bool = True
    neighbours: Sequence[Neighbour] = ()

    @classmethod
    def listen(cls, machine: Machine, seconds: float = LISTENS_S) -> Self:
        """Sleep, and see what the CPUs did meanwhile."""
        processes = Processes.now()
        before, busy, own = HostSample.now(), busy_s(), time.process_time()
        begin = time.perf_counter()
        time.sleep(seconds)
        passed = (time.perf_counter() - begin) * len(machine.allowed_cpus)
        others = busy_s() - busy - (time.process_time() - own)
        host = since(before)
        return cls(
            others_share=min(1.0, max(0.0, others / passed)),
            steal_share=host["steal_share"],
            load_1min=host["load_1min"],
            told=is_told(),
            neighbours=Processes.now().neighbours_since(processes),
        )


@dataclass(frozen=True, kw_only=True)
class WrittenFolder:
    """A folder that measurements write into: how much is free there, and the type of its file system."""

    folder: Path
    free_bytes: int
    file_system: str

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Look at the folder, or at the nearest one above it that exists."""
        existing = next(each for each in (folder, *folder.parents) if each.is_dir())
        return cls(folder=folder, free_bytes=shutil.disk_usage(existing).free, file_system=_file_system(existing))


def diagnose(artifact_cache: Path) -> list[Check]:
    """Check this machine, environment and artifact cache. Raises UnsupportedSystemError where nothing can be measured at all."""
    machine = this_machine()
    return [
        *check_cpus(machine),
        *check_quiet(Quiet.listen(machine)),
        *check_memory(machine, available_bytes()),
        *check_environment(os.environ, machine),
        *check_programs(machine),
        *check_versions(),
        *check_cache(artifact_cache, WrittenFolder.of(artifact_cache)),
        *check_steps(machine),
        *tell_recipe(machine),
    ]


def check_cpus(machine: Machine) -> Iterator[Check]:
    """Check what sets the CPUs' speed, and how many there are."""
    if machine.emulated:
        remedy = "measure on hardware; --proofs FILE proves the steps here"
        yield Check(name="machine", state="disturbs", found=f"this {machine.cpu_model} is emulated: times mean nothing", remedy=remedy)
    governors = f"/{CPU_FOLDER}/cpu*/cpufreq/scaling_governor"
    if not machine.governor:
        yield Check(name="governor", state="note", found="the kernel does not tell it, as on most virtual machines")
    elif machine.governor == "performance":
        yield Check(name="governor", state="fine", found="performance")
    else:
        found = f"{machine.governor}: the clock follows the load, and with it the time of an iteration"
        yield Check(name="governor", state="disturbs", found=found, remedy=f"echo performance | sudo tee {governors}")
    if not machine.boost:
        yield Check(name="boost", state="note", found="the kernel does not tell it, as on most virtual machines")
    elif machine.boost == "off":
        yield Check(name="boost", state="fine", found="off")
    else:
        remedy = (
            f"echo 0 | sudo tee /{CPU_FOLDER}/cpufreq/boost (with intel_pstate: echo 1 | sudo tee /{CPU_FOLDER}/intel_pstate/no_turbo), "
            "or measure with the boost that you will serve with; gains are taken in turns and suffer little"
        )
        yield Check(name="boost", state="disturbs", found="on: the clock follows temperature and the number of busy cores", remedy=remedy)
    cpus = machine.cpus
    if cpus.quota is not None and cpus.quota < len(cpus.cores):
        found = f"{cpus.quota:g} CPUs' time for {len(cpus.cores)} cores: the kernel stops threads beyond it"
        remedy = f"{HOW_TO_RAISE}, or give whole cores (docker run --cpuset-cpus, taskset)"
        yield Check(name="CPU quota", state="disturbs", found=found, remedy=remedy)
    else:
        found = "none" if cpus.quota is None else f"{cpus.quota:g} CPUs for {len(cpus.cores)} cores"
        yield Check(name="CPU quota", state="fine", found=found)
    if len(cpus.allowed) > len(cpus.cores):
        found = f"{len(cpus.allowed)} CPUs on {len(cpus.cores)} cores: one thread a core is used, and others may use its sibling"
        remedy = "keep the machine idle, or echo off | sudo tee /sys/devices/system/cpu/smt/control"
        yield Check(name="hyper-threads", state="note", found=found, remedy=remedy)
    else:
        shared = " of which each shares its core with one that this process may not use" if cpus.threads_per_core > 1 else ""
        yield Check(name="hyper-threads", state="note" if shared else "fine", found=f"{len(cpus.cores)} cores,{shared or ' none visible'}")
    if len(cpus.nodes) > 1:
        found = f"the CPUs lie in {len(cpus.nodes)} nodes: one process on all of them reads much of its memory from another node"
        remedy = "numactl --cpunodebind=0 --membind=0 in front of the command measures one node alone (docs/measuring.md#cpus)"
        yield Check(name="NUMA", state="note", found=found, remedy=remedy)


def check_quiet(quiet: Quiet) -> Iterator[Check]:
    """Check that the CPUs are there for measurements alone."""
    if not quiet.told:
        yield Check(name="other processes", state="note", found=UNREADABLE, remedy="see that the machine is idle by other means")
        return
    busy = quiet.others_share > NOTABLE_OTHERS
    named = "".join(f"; {plain(each)}" for each in quiet.neighbours)
    yield Check(
        name="other processes",
        state="disturbs" if busy else "fine",
        found=f"used {quiet.others_share:.0%} of the CPUs for {LISTENS_S:g} s (load {quiet.load_1min:.1f}){named}",
        remedy=f"end them, or measure when they have ended{'' if named else ': `top` shows which'}" if busy else "",
    )
    stolen = quiet.steal_share > NOTABLE_STEAL
    yield Check(
        name="hypervisor",
        state="disturbs" if stolen else "fine",
        found=f"took {quiet.steal_share:.1%} of the CPU time away",
        remedy="use an instance whose CPUs are its own (no burstable one), or another hour" if stolen else "",
    )


def check_memory(machine: Machine, available: int | None) -> Iterator[Check]:
    """Check that two workers of a default model fit into memory."""
    limit = machine.memory_limit_bytes or machine.memory_bytes
    free = min(limit, limit if available is None else available)
    small = free < LEAST_MEMORY_BYTES
    yield Check(
        name="memory",
        state="missing" if small else "fine",
        found=f"{free / GIB:.1f} GiB may be used" + (f", {LEAST_MEMORY_BYTES / GIB:g} GiB are wanted for two workers" if small else ""),
        remedy="end what uses it, raise the container's limit, or choose a smaller --model and --batch-size" if small else "",
    )


def check_environment(environment: Mapping[str, str], machine: Machine) -> Iterator[Check]:
    """Check the variables that workers inherit and that change what runs."""
    if (reason := unusable(environment, machine.cpus.default_threads)) is not None:
        finding, _, remedy = reason.rpartition(": ")
        yield Check(name="OpenMP", state="disturbs", found=finding, remedy=remedy)
    inherited = recorded_variables(for_workers(catalogue(), environment))
    for name, value in inherited.items():
        found = f"{name}={value} of this shell reaches every worker, the baseline's too, and is recorded"
        if name == PRELOAD:
            found += "; what a step preloads is put in front of it"
        yield Check(name="variable", state="disturbs", found=found, remedy=f"unset {name}, unless you serve with it")
    if not inherited:
        yield Check(name="variables", state="fine", found=f"neither {PRELOAD} nor one of OpenMP, oneDNN, MKL, torch or an allocator is set")
    if ignores_interrupts():
        yield Check(
            name="Ctrl-C", state="note", found="is ignored here, as in what a shell starts in the background", remedy="end runs by kill"
        )


def check_programs(machine: Machine) -> Iterator[Check]:
    """Check for what the steps call or load: the compiler, the allocators, huge pages on request."""
    wanted = {"compiler": compiler(), "huge pages": huge_pages_on_request()}
    if torch_allocates_by_malloc().unmet(machine) is None:
        wanted |= {each.title: allocator(name) for name, each in ALLOCATORS.items()}
    for name, requirement in wanted.items():
        skip = requirement.unmet(machine)
        if skip is None:
            yield Check(name=name, state="fine", found=requirement.name)
        else:
            yield Check(name=name, state="missing", found=skip.reason, remedy=skip.remedy)


def check_versions(asked: Sequence[str] | None = None) -> Iterator[Check]:
    """Check that the installed packages are those that the suite asks for, and that these ask of each other."""
    wanted = [("this suite", text) for text in (_asked() if asked is None else asked)]
    packages = [Requirement(text).name for _, text in wanted if _applies(text)]
    wanted += [(name, text) for name in packages for text in _requires(name)]
    wrong = sorted(found for found in {_mismatch(by, text) for by, text in wanted if _applies(text)} if found is not None)
    for found, remedy in wrong:
        yield Check(name="versions", state="missing", found=found, remedy=remedy)
    if not wrong:
        yield Check(name="versions", state="fine", found=f"{len(set(packages))} packages, as this suite and they themselves ask")


def _mismatch(by: str, text: str) -> tuple[str, str] | None:
    wanted = Requirement(text)
    remedy = f"pip install '{wanted.name}{wanted.specifier}'"
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is not installed, {by} asks for {wanted.name}{wanted.specifier}", remedy
    if wanted.specifier.contains(found, prereleases=True):
        return None
    return f"{wanted.name} is {found}, {by} asks for {wanted.specifier}", remedy


def _applies(text: str) -> bool:
    try:
        wanted = Requirement(text)
    except InvalidRequirement:  # of a package's own making
        return False
    return wanted.url is None and (wanted.marker is None or wanted.marker.evaluate({"extra": ""}))


def _asked() -> list[str]:
    """Return what the suite requires: as a clone says, else as it was installed."""
    try:
        return list(tomllib.loads(CLONE.read_text())["project"]["dependencies"])
    except OSError:
        return _requires(DISTRIBUTION)


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def check_cache(folder: Path, place: WrittenFolder) -> Iterator[Check]:
    """Check the folder that exported, quantized and compiled models are kept in."""
    try:
        entry_locks.check_path(folder)
        if folder.is_dir():
            entry_locks.check_owner(folder)
    except OSError as error:
        finding, _, remedy = str(error).rpartition(": ")
        yield Check(name="artifact cache", state="disturbs", found=finding, remedy=remedy)
        return
    free = f"{place.free_bytes / GIB:.1f} GiB free in {folder}"
    if place.free_bytes < LEAST_DISK_BYTES:
        remedy = "make room, or name another folder with --artifact-cache"
        yield Check(name="artifact cache", state="missing", found=f"{free}, {LEAST_DISK_BYTES / GIB:g} GiB are wanted", remedy=remedy)
    elif place.file_system in IN_MEMORY:
        remedy = "name a folder on a disk with --artifact-cache"
        yield Check(name="artifact cache", state="disturbs", found=f"{free}, which is memory ({place.file_system})", remedy=remedy)
    else:
        yield Check(name="artifact cache", state="fine", found=free)


def check_steps(machine: Machine) -> Iterator[Check]:
    """Tell which steps this machine cannot take, for another reason than a missing program."""
    programs = {check.found for check in check_programs(machine) if check.state == "missing"}
    skipped: dict[tuple[str, str], list[str]] = {}
    for step in catalogue().values():
        skip = None if step.family in ON_DEMAND else unmet(step, machine)
        if skip is not None and skip.reason not in programs:
            skipped.setdefault((skip.reason, skip.remedy), []).append(step.name)
    for (reason, remedy), steps in skipped.items():
        yield Check(name="steps", state="note", found=f"{', '.join(steps)} will be skipped: {reason}", remedy=remedy)


def tell_recipe(machine: Machine) -> Iterator[Check]:
    """Tell what to set on this machine before anything is measured on it."""
    page = f" ({PAGE}; not timed by us)" if machine.architecture == "aarch64" else ""
    for number, line in enumerate(recipe_for(machine)):
        yield Check(name="recipe", state="note", found=line + ("" if number else page))


def available_bytes() -> int | None:
    """Return how much memory programs may still take without swapping; None where the kernel does not tell."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", (ROOT / "proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None


def _file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on; an empty string where the kernel does not tell."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = (ROOT / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(" - ")[2].split(" ")[0] for line in lines if line.split(" ")[2] == number), "")
