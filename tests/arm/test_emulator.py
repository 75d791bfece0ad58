"""What the emulator itself does not do, each shown by the smallest program: such cells are skipped for that reason alone."""

import subprocess
import sys

import pytest

from fixtures.machine import this_machine

TOUCH_MEMORY = """
import mmap
area = mmap.mmap(-1, 16 * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, len(area), 4096):
    area[page] = 1
print(sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("AnonHugePages")))
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
