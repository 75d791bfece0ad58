"""What the emulation does in another way than hardware, each by the smallest program: what it cannot do, and that the rest is the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emulation.root import EMULATED_COMPILER
from fixtures.machine import this_machine
from fixtures.machine.allocators import torch_allocator

TOUCH_MEMORY = """
import mmap
area = mmap.mmap(-1, 16 * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, len(area), 4096):
    area[page] = 1
print(sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("AnonHugePages")))
"""

ADVISE_MEMORY = """
import mmap
area = mmap.mmap(-1, 16 * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_HUGEPAGE)
area[:] = bytes([1]) * len(area)
from fixtures.machine.memory import SMAPS, parse_areas
areas = list(parse_areas(SMAPS.read_text()))
print((any("hg" in area.flags for area in areas), sum(area.anonymous_huge_bytes for area in areas)))
"""

SVE_LOOP = """
#include <arm_sve.h>
#include <algorithm>
void rectify(float* values, long count) {
  for (long place = 0; place < count; place += svcntw()) {
    svbool_t left = svwhilelt_b32(place, count);
    svst1(left, values + place, svmax_x(left, svld1(left, values + place), 0.0f));
  }
}
float largest(const float* values, long count) { return *std::max_element(values, values + count); }
"""


@pytest.fixture(autouse=True)
def _under_emulation_only() -> None:
    if not this_machine().emulated:
        pytest.skip("real hardware -> nothing to show")


def test_memory_lies_in_huge_pages_unasked() -> None:
    """In mode madvise no page may be huge that nobody asked for; as they are, their growth proves nothing of the step."""
    if this_machine().thp_mode != "madvise":
        pytest.skip("huge pages are not on request -> echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
    done = subprocess.run([sys.executable, "-c", TOUCH_MEMORY], capture_output=True, text=True, check=True)

    assert int(done.stdout) > 0


def test_a_process_is_shown_nothing_of_its_pages() -> None:
    """QEMU lists the mappings of its guest without what the kernel gave them: no claim about pages can hold or fail."""
    done = subprocess.run([sys.executable, "-c", ADVISE_MEMORY], capture_output=True, text=True, check=True)

    assert (False, 0) == eval(done.stdout)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, True),
        ({"MIMALLOC_ALLOW_LARGE_OS_PAGES": "0"}, False),
        ({"THP_MEM_ALLOC_ENABLE": "1", "MIMALLOC_ALLOW_LARGE_OS_PAGES": "0"}, False),
    ],
    ids=["as installed", "switched off", "by torch's own variable"],
)
def test_mimalloc_asks_for_huge_pages_unasked(variables: dict[str, str], expected: bool) -> None:
    """Torch's allocator calls madvise(MADV_HUGEPAGE) by default; THP_MEM_ALLOC_ENABLE is read on another path."""
    assert expected == ("MADV_HUGEPAGE" in _system_calls(variables))


def test_mimalloc_takes_pages_of_the_reserve_where_it_may() -> None:
    """`MIMALLOC_ALLOW_LARGE_OS_PAGES=1` maps with MAP_HUGETLB first, which fails without a reserve."""
    assert "MAP_HUGETLB" in _system_calls({"MIMALLOC_ALLOW_LARGE_OS_PAGES": "1"})
    assert "MAP_HUGETLB" not in _system_calls({})


def _system_calls(variables: dict[str, str]) -> str:
    """Return the system calls of a process that lets torch's library allocate 64 MiB."""
    if torch_allocator() != "mimalloc":
        pytest.skip("this torch has no mimalloc -> an aarch64 wheel of 2.10 or later")
    environment = os.environ | variables | {"QEMU_STRACE": "1"}
    code = "from fixtures.machine.allocators import ask_torch, torch_library; ask_torch(str(torch_library()))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stderr


def test_the_cross_compiler_writes_what_the_emulated_one_would(tmp_path: Path) -> None:
    """g++ calls a compiler proper that runs as a program of the host, for speed."""
    source = tmp_path / "loop.cpp"
    source.write_text(SVE_LOOP)
    [cross] = Path("/usr/libexec/gcc/aarch64-linux-gnu").glob("*/cc1plus")
    flags = ["-quiet", "-O3", "-march=armv8-a+sve+bf16", "-imultiarch", "aarch64-linux-gnu", "-D_GNU_SOURCE"]

    def assembly(compiler: Path) -> str:
        return subprocess.run([compiler, *flags, source, "-o", "-"], capture_output=True, text=True, check=True).stdout

    assert "smax" in assembly(cross) or "fmax" in assembly(cross)
    assert assembly(cross.with_name(EMULATED_COMPILER)) == assembly(cross)
