"""Why a step does not apply: each requirement where it is met, and where it is not, with the remedy."""

import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.machine import Machine
from fixtures.machine.cpus import Cpus
from fixtures.steps import requirements as need
from fixtures.steps.optimizations import ON_DEMAND, catalogue
from fixtures.steps.recipe import unmet
from fixtures.steps.requirements import Requirement, Skip
from tests.machines import GRAVITON2, GRAVITON3, X86
from tests.processes import program

AMX = replace(X86, features=(*X86.features, "amx_bf16"))
PLAIN = replace(X86, features=("avx2",))
ONE_CPU = replace(X86, cpus=Cpus(allowed=(1,), cores=((1,),), nodes=((1,),)))
ALWAYS, NEVER, UNKNOWN = (replace(X86, thp_mode=mode) for mode in ("always", "never", "unknown"))


def skipped(requirement: Requirement, machine: Machine = X86) -> Skip:
    """Return why the requirement is not met."""
    skip = requirement.unmet(machine)
    assert skip is not None
    return skip


@pytest.mark.parametrize(
    ("requirement", "met_on", "unmet_on", "reason"),
    [
        (need.cpu_feature("bf16", "slow"), GRAVITON3, GRAVITON2, "Neoverse N1 (Graviton2) has no bf16: slow"),
        (need.any_cpu_feature(("bf16", "f16"), "same"), GRAVITON2, PLAIN, "AMD EPYC has none of bf16, f16: same"),
        (need.fast_math_kernels(), GRAVITON3, GRAVITON2, "Neoverse N1 (Graviton2) has no bf16"),
        (need.fast_math_kernels(), AMX, X86, "on x86 oneDNN lowers fp32 kernels to bf16 only with AMX"),
        (need.architecture("aarch64", "ACL"), GRAVITON3, X86, "ACL exists on aarch64 only, this is x86_64"),
        (need.huge_pages_on_request(), X86, ALWAYS, "already in force for the baseline"),
        (need.huge_pages_on_request(), X86, NEVER, "the request would do nothing"),
        (need.huge_pages_on_request(), X86, UNKNOWN, "has no transparent huge pages"),
        (need.several_cpus(), X86, ONE_CPU, "only one CPU is allowed"),
    ],
)
def test_machine_meets_a_requirement_or_the_reason_is_given(
    requirement: Requirement, met_on: Machine, unmet_on: Machine, reason: str
) -> None:
    """A skip is never without a reason and a remedy."""
    skip = skipped(requirement, unmet_on)

    assert requirement.unmet(met_on) is None
    assert reason in skip.reason
    assert skip.remedy


def test_package_is_looked_up_among_the_installed() -> None:
    """The remedy can be pasted."""
    expected = Skip("the Python package no-such-package is not installed", "pip install no-such-package")

    assert need.package("pytest").unmet(X86) is None
    assert expected == skipped(need.package("no-such-package"))


def test_compiler_is_looked_up_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`CXX` names another one than g++; Inductor needs openssl beside it."""
    program(tmp_path / "clang++", "#!/bin/sh\n")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert Skip("the C++ compiler g++ is not installed", "apt-get install g++") == skipped(need.compiler())

    monkeypatch.setenv("CXX", "clang++")
    assert "apt-get install openssl" == skipped(need.compiler()).remedy

    program(tmp_path / "openssl", "#!/bin/sh\n")
    assert need.compiler().unmet(X86) is None


def test_compiler_needs_the_headers_of_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian's python3-venv comes without them."""
    monkeypatch.setenv("CXX", "true")
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
    missing = skipped(need.compiler())
    assert f"{tmp_path / 'Python.h'} is missing" in missing.reason
    assert "apt-get install python3-dev" == missing.remedy

    (tmp_path / "Python.h").touch()
    skip = need.compiler().unmet(X86)
    assert skip is None or "openssl" in skip.remedy


@pytest.mark.parametrize(("name", "package"), [("tcmalloc", "libgoogle-perftools4"), ("jemalloc", "libjemalloc2")])
def test_missing_allocator_names_its_package(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    """The remedy can be pasted."""
    monkeypatch.setattr(need, "library", lambda name: None)

    assert Skip(f"lib{name} is not installed", f"apt-get install {package}") == skipped(need.allocator(name))


def test_allocator_that_the_user_preloads_is_in_force_for_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step would change nothing; another allocator's step goes in front of the user's."""
    monkeypatch.setattr(need, "library", lambda name: f"/usr/lib/lib{name}.so")
    monkeypatch.setenv("LD_PRELOAD", "/opt/libtrace.so:/usr/lib/libtcmalloc_minimal.so.4")
    expected = Skip("LD_PRELOAD of this shell preloads TCMalloc: already in force for the baseline", "unset LD_PRELOAD")

    assert expected == skipped(need.allocator("tcmalloc"))
    assert need.allocator("jemalloc").unmet(X86) is None


def test_torch_with_an_allocator_of_its_own_skips_what_replaces_malloc(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes its place there is offered where the kernel has pages for it."""
    monkeypatch.setattr(need, "torch_allocator", lambda: "mimalloc")
    monkeypatch.setattr(need, "library", lambda name: f"/usr/lib/lib{name}.so")
    monkeypatch.setattr(need, "free_reserved_pages", lambda: 1024)
    skips = {name: unmet(catalogue()[name], GRAVITON3) for name in ("tcmalloc", "huge_pages", "jemalloc", "mimalloc_huge_pages")}

    assert {name for name, skip in skips.items() if skip is None} == {"mimalloc_huge_pages"}
    assert all("this torch allocates tensors by mimalloc" in skip.reason for skip in skips.values() if skip is not None)

    monkeypatch.setattr(need, "free_reserved_pages", lambda: 12)
    skip = unmet(catalogue()["mimalloc_huge_pages"], GRAVITON3)
    assert skip is not None
    assert "12 huge pages of 2 MiB are in reserve" in skip.reason
    assert "/proc/sys/vm/nr_hugepages" in skip.remedy


def test_variable_that_is_the_default_changes_nothing() -> None:
    """A published step that sets what is set anyway is skipped, not measured."""
    skip = skipped(need.not_the_default("LRU_CACHE_CAPACITY", "1024", default="1024"))

    assert need.not_the_default("LRU_CACHE_CAPACITY", "4096", default="1024").unmet(X86) is None
    assert skip.reason == "LRU_CACHE_CAPACITY=1024 is already the default: nothing would change"


@pytest.mark.parametrize(
    ("machine", "skipped"),
    [
        (GRAVITON3, set()),
        (X86, {"fast_math", "onnxruntime_fast_math"}),
        (AMX, {"onnxruntime_fast_math"}),
        (GRAVITON2, {"bf16_autocast", "fast_math", "onnxruntime_fast_math"}),
        (ALWAYS, {"fast_math", "onnxruntime_fast_math", "huge_pages"}),
    ],
    ids=["Graviton3", "x86", "x86 with AMX", "Graviton2", "x86, huge pages always"],
)
def test_steps_that_a_machine_skips(machine: Machine, skipped: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything installed, only the CPU and the kernel decide."""
    monkeypatch.setattr(need, "library", lambda name: f"/usr/lib/lib{name}.so")
    monkeypatch.setattr(need, "torch_allocator", lambda: "malloc")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(need, "version", lambda name: "1.0")

    ladder = {name: step for name, step in catalogue().items() if step.family not in ON_DEMAND}
    everywhere = {"primitive_cache", "mimalloc_huge_pages"}
    assert skipped | everywhere == {name for name, step in ladder.items() if unmet(step, machine) is not None}
