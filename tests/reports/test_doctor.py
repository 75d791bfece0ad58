"""The doctor names what is missing and what disturbs, each with its remedy, and finds nothing where all is well."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.machine import Machine, this_machine
from fixtures.machine.cpus import Cpus
from fixtures.machine.neighbours import Neighbour
from fixtures.steps.optimizations import catalogue
from reports.__main__ import main
from reports.commands import doctor_command
from reports.commands.doctor import (
    GIB,
    Check,
    Quiet,
    WrittenFolder,
    check_cache,
    check_cpus,
    check_environment,
    check_memory,
    check_programs,
    check_quiet,
    check_steps,
    check_versions,
)
from reports.commands.recipes import DO, DO_NOT, ORDERS, PAGE, recipe_for
from tests.machines import GRAVITON2, GRAVITON3, X86

ROOT = Path(__file__).parents[2]
IDLE = Quiet(others_share=0.0, steal_share=0.0, load_1min=0.0)
WELL = replace(X86, governor="performance", boost="off")


def ill(checks: Iterable[Check]) -> dict[str, Check]:
    """What is to be mended, by name; everything that is has a remedy."""
    found = {check.name: check for check in checks if not check.is_well}
    assert all(check.remedy for check in found.values())
    return found


def test_nothing_is_found_where_all_is_well(tmp_path: Path) -> None:
    place = WrittenFolder(folder=tmp_path, free_bytes=100 * GIB, file_system="ext4")
    checks = [
        *check_cpus(WELL),
        *check_quiet(IDLE),
        *check_memory(WELL, 8 * GIB),
        *check_environment({"HOME": "/root"}, WELL),
        *check_cache(tmp_path, place),
        *check_versions(["pytest>=8"]),
    ]

    assert {} == ill(checks)


@pytest.mark.parametrize(
    ("change", "name", "remedy"),
    [
        ({"governor": "powersave"}, "governor", "echo performance"),
        ({"governor": "performance, schedutil"}, "governor", "echo performance"),
        ({"boost": "on"}, "boost", "no_turbo"),
        ({"cpus": replace(WELL.cpus, quota=1.5)}, "CPU quota", "docker run --cpus"),
        ({"emulated": True}, "machine", "measure on hardware"),
    ],
)
def test_what_sets_the_speed_of_cpus_is_named(change: dict[str, object], name: str, remedy: str) -> None:
    [(found, check)] = ill(check_cpus(replace(WELL, **change))).items()  # type: ignore[arg-type]

    assert name == found
    assert remedy in check.remedy


@pytest.mark.parametrize("machine", [X86, replace(WELL, cpus=replace(WELL.cpus, quota=2.0))], ids=["clock not told", "quota of all cores"])
def test_virtual_machines_and_a_quota_that_covers_the_cores_are_no_fault(machine: Machine) -> None:
    assert {} == ill(check_cpus(machine))


def test_hyper_threads_and_nodes_are_told() -> None:
    """The suite copes with both: they are no fault of the machine."""
    smt = Cpus(allowed=(0, 1, 2, 3), cores=((0, 2), (1, 3)), nodes=((0, 2), (1, 3)), threads_per_core=2)
    checks = {check.name: check for check in check_cpus(replace(WELL, cpus=smt))}

    assert {} == ill(checks.values())
    assert "4 CPUs on 2 cores" in checks["hyper-threads"].found
    assert "numactl" in checks["NUMA"].remedy


def test_others_and_the_hypervisor_are_named() -> None:
    assert {"other processes"} == set(ill(check_quiet(replace(IDLE, others_share=0.3))))
    assert {"hypervisor"} == set(ill(check_quiet(replace(IDLE, steal_share=0.05))))
    busy = replace(IDLE, others_share=0.5, neighbours=[Neighbour(number=7, name="make", cpus=0.98)])
    assert "make (process 7) used 98% of a CPU" in ill(check_quiet(busy))["other processes"].found


def test_a_system_that_does_not_tell_is_not_called_idle() -> None:
    [check] = check_quiet(replace(IDLE, told=False))

    assert ("note", True) == (check.state, "will not be noticed" in check.found)


def test_listening_sees_this_machine() -> None:
    quiet = Quiet.listen(this_machine(), seconds=0.1)

    assert 0 <= quiet.others_share
    assert 0 <= quiet.steal_share <= 1


def test_little_memory_is_named() -> None:
    assert {"memory"} == set(ill(check_memory(WELL, 1 * GIB)))
    assert {"memory"} == set(ill(check_memory(replace(WELL, memory_limit_bytes=2 * GIB), 100 * GIB)))
    assert {} == ill(check_memory(WELL, None))


@pytest.mark.parametrize(
    ("name", "value"),
    [("LD_PRELOAD", "/usr/lib/libmine.so"), ("OMP_PROC_BIND", "close"), ("ONEDNN_MAX_CPU_ISA", "AVX2"), ("MALLOC_ARENA_MAX", "1")],
)
def test_variables_of_the_shell_are_named(name: str, value: str) -> None:
    [check] = ill(check_environment({name: value, "HOME": "/root"}, WELL)).values()

    assert f"{name}={value}" in check.found
    assert f"unset {name}" in check.remedy


def test_variables_that_rule_measuring_out_are_named_with_what_to_do() -> None:
    found = ill(check_environment({"OMP_THREAD_LIMIT": "1"}, WELL))

    assert found["OpenMP"].remedy.startswith("unset it")


def test_variables_that_steps_set_reach_no_worker() -> None:
    name = next(name for step in catalogue().values() for name in step.environment)

    assert {} == ill(check_environment({name: "1"}, WELL))


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = ill(check_programs(this_machine()))

    assert "no-such-compiler is not installed" in found["compiler"].found
    assert "apt-get install" in found["compiler"].remedy


def test_huge_pages_that_nobody_may_ask_for_are_named() -> None:
    assert "madvise" in ill(check_programs(replace(WELL, thp_mode="always")))["huge pages"].remedy
    assert "huge pages" not in ill(check_programs(WELL))


def test_versions_that_do_not_match_are_named() -> None:
    missing, other = sorted(
        check_versions(["no-such-package>=1", "pytest<1", "other; python_version < '3'"]), key=lambda check: check.found
    )

    assert "no-such-package is not installed, this suite asks for no-such-package>=1" == missing.found
    assert "pip install 'no-such-package>=1'" == missing.remedy
    assert other.found.startswith("pytest is ")
    assert other.found.endswith(", this suite asks for <1")


def test_what_this_clone_asks_for_is_looked_up() -> None:
    assert all("this suite asks for" in check.found or check.state == "fine" or check.remedy for check in check_versions())


@pytest.mark.parametrize(
    ("place", "state"),
    [({"free_bytes": GIB}, "missing"), ({"file_system": "tmpfs"}, "disturbs"), ({}, "fine")],
)
def test_room_of_the_artifact_cache(tmp_path: Path, place: dict[str, object], state: str) -> None:
    found = replace(WrittenFolder(folder=tmp_path, free_bytes=100 * GIB, file_system="ext4"), **place)  # type: ignore[arg-type]

    assert [state] == [check.state for check in check_cache(tmp_path, found)]


def test_an_artifact_cache_that_no_run_would_take_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    [check] = ill(check_cache(tmp_path, WrittenFolder.of(tmp_path))).values()

    assert "may be written by others" in check.found
    assert check.remedy.startswith("name another folder with --artifact-cache")


def test_a_folder_that_is_not_there_yet_is_looked_at_where_it_will_be(tmp_path: Path) -> None:
    place = WrittenFolder.of(tmp_path / "not" / "yet")

    assert place.free_bytes > 0
    assert WrittenFolder.of(tmp_path).file_system == place.file_system


def test_steps_that_the_cpu_rules_out_are_told() -> None:
    """Another CPU is no remedy that a person could apply here, so it is a note."""
    checks = list(check_steps(GRAVITON2))

    assert {} == ill(checks)
    assert any("bf16_autocast" in check.found for check in checks)


@pytest.mark.parametrize(("state", "code"), [("fine", 0), ("note", 0), ("missing", 1), ("disturbs", 1)])
def test_the_command_ends_with_1_where_something_is_to_be_done(
    state: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Check(name="governor", state=state, found="powersave", remedy="echo performance")  # type: ignore[arg-type]
    monkeypatch.setattr("reports.commands.doctor.diagnose", lambda _cache: [check])

    assert code == main(["doctor"])
    shown = capsys.readouterr().out
    assert "governor: powersave" in shown
    assert "-> echo performance" in shown
    assert state in doctor_command.STYLES


ROWS = [
    *((f"{each.models}: `{each.command}`", each.without_bf16, each.with_bf16) for each in ORDERS),
    *((each.do, each.without_bf16, each.with_bf16, each.known_from) for each in DO),
    *((each.what, each.why, each.known_from) for each in DO_NOT),
]


@pytest.mark.parametrize("row", ROWS)
def test_the_recipe_is_the_page_of_graviton(row: tuple[str, ...]) -> None:
    """What the doctor prints on Arm stands on the page, with its source."""
    assert f"| {' | '.join(row)} |" in (ROOT / PAGE).read_text().splitlines()


def test_the_recipe_is_that_of_the_machine() -> None:
    """Without bf16 nothing is said of it; on x86 the telling steps are named."""
    old, new, x86 = (list(recipe_for(machine)) for machine in (GRAVITON2, GRAVITON3, X86))

    assert any(line.startswith("do: bf16 autocast") and line.endswith("no bf16") for line in old)
    assert not any(line.startswith("do not: freezing") for line in old)
    assert any(line.startswith("do not: freezing") for line in new)
    assert any("bf16_autocast, compile_freezing, onnxruntime_int8" in line for line in new)
    assert ["measure first: baseline, channels_last, bf16_autocast, "] == [line[:55] for line in x86]
    assert not any("](" in line or "`" in line for line in (*old, *new))


def test_every_step_that_the_recipe_names_is_one() -> None:
    named = {name for order in ORDERS for cell in (order.without_bf16, order.with_bf16) for name in re.findall(r"`(\w+)`", cell)}

    assert len(named) > 8
    assert set() == named - set(catalogue())
