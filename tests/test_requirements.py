"""Why a step does not apply: each requirement where it is met, and where it is not, with the remedy."""

from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import requirements as need
from fixtures.machine import Machine
from fixtures.optimizations import ON_DEMAND, catalogue
from fixtures.recipe import unmet
from fixtures.requirements import Requirement
from tests.machines import GRAVITON2, GRAVITON3, X86

AMX = replace(X86, features=(*X86.features, "amx_bf16"))
PLAIN = replace(X86, features=("avx2",))
ONE_CPU = replace(X86, allowed_cpus=(1,))
ALWAYS, NEVER, UNKNOWN = (replace(X86, thp_mode=mode) for mode in ("always", "never", "unknown"))


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
    skip = requirement.unmet(unmet_on)

    assert requirement.unmet(met_on) is None
    assert skip is not None
    assert reason in skip.reason
    assert skip.remedy


def test_package_is_looked_up_among_the_installed() -> None:
    """The remedy can be pasted."""
    skip = need.package("no-such-package").unmet(X86)

    assert need.package("pytest").unmet(X86) is None
    assert skip is not None
    assert (skip.reason, skip.remedy) == ("the Python package no-such-package is not installed", "pip install no-such-package")


def test_compiler_is_looked_up_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`CXX` names another one than g++; Inductor needs openssl beside it."""

    def install(name: str) -> None:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)

    install("clang++")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    skip = need.compiler().unmet(X86)

    assert skip is not None
    assert (skip.reason, skip.remedy) == ("the C++ compiler g++ is not installed", "apt-get install g++")

    monkeypatch.setenv("CXX", "clang++")
    skip = need.compiler().unmet(X86)
    assert skip is not None
    assert skip.remedy == "apt-get install openssl"

    install("openssl")
    assert need.compiler().unmet(X86) is None


def test_missing_tcmalloc_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy can be pasted."""
    monkeypatch.setattr(need, "tcmalloc_library", lambda: None)
    skip = need.tcmalloc().unmet(X86)

    assert skip is not None
    assert (skip.reason, skip.remedy) == ("libtcmalloc is not installed", "apt-get install libgoogle-perftools4")


def test_variable_that_is_the_default_changes_nothing() -> None:
    """A published step that sets what is set anyway is skipped, not measured."""
    skip = need.not_the_default("LRU_CACHE_CAPACITY", "1024", default="1024").unmet(X86)

    assert need.not_the_default("LRU_CACHE_CAPACITY", "4096", default="1024").unmet(X86) is None
    assert skip is not None
    assert skip.reason == "LRU_CACHE_CAPACITY=1024 is already the default: nothing would change"


@pytest.mark.parametrize(
    ("machine", "skipped"),
    [
        (GRAVITON3, {"primitive_cache"}),
        (X86, {"primitive_cache", "fast_math", "onnxruntime_fast_math"}),
        (AMX, {"primitive_cache", "onnxruntime_fast_math"}),
        (GRAVITON2, {"primitive_cache", "bf16_autocast", "fast_math", "onnxruntime_fast_math"}),
        (ALWAYS, {"primitive_cache", "fast_math", "onnxruntime_fast_math", "huge_pages"}),
    ],
    ids=["Graviton3", "x86", "x86 with AMX", "Graviton2", "x86, huge pages always"],
)
def test_steps_that_a_machine_skips(machine: Machine, skipped: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything installed, only the CPU and the kernel decide."""
    monkeypatch.setattr(need, "tcmalloc_library", lambda: "/usr/lib/libtcmalloc.so.4")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(need, "version", lambda name: "1.0")

    ladder = {name: step for name, step in catalogue().items() if step.family not in ON_DEMAND}
    assert skipped == {name for name, step in ladder.items() if unmet(step, machine) is not None}
