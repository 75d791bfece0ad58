"""What a worker sees of its memory: the kernel's description, and counts of allocators."""

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.bench.launch import ROOT
from fixtures.machine import allocators, memory, thp_mode
from fixtures.machine.allocators import LARGE_BYTES, library
from fixtures.machine.memory import Area, Block, overlap, parse_areas

SMAPS = """\
55d0a7a00000-55d0a7c00000 rw-p 00000000 00:00 0                          [heap]
Size:               2048 kB
Rss:                2000 kB
AnonHugePages:         0 kB
VmFlags: rd wr mr mw me ac sd
7f2d00000000-7f2d08000000 rw-p 00000000 00:00 0
Size:             131072 kB
Rss:              131072 kB
AnonHugePages:     65536 kB
VmFlags: rd wr mr mw me ac sd hg
7f2d10000000-7f2d10200000 rw-p 00000000 00:0f 1234                       /anon_hugepage (deleted)
AnonHugePages:         0 kB
VmFlags: rd wr mr mw me de ht sd
7f2d20000000-7f2d20100000 r--s 00000000 08:01 77                         /home/me/my weights.safetensors
VmFlags: rd mr me ms
"""
MIB = 2**20


def test_the_kernels_description_is_read() -> None:
    """Paths may have spaces; a mapping without huge pages may have the flag, and one of the reserve has another."""
    heap, advised, reserved, file = parse_areas(SMAPS)

    begin, end = 0x55D0A7A00000, 0x55D0A7C00000
    assert Area(begin=begin, end=end, path="[heap]", flags=heap.flags, resident_bytes=2000 * 1024, anonymous_huge_bytes=0) == heap
    assert [0.0, 0.5, 0.0, 0.0] == [area.huge_share for area in (heap, advised, reserved, file)]
    assert [False, False, True, False] == [area.is_reserved for area in (heap, advised, reserved, file)]
    assert ("/home/me/my weights.safetensors", True) == (file.path, file.is_file)
    assert [False, False, False] == [area.is_file for area in (heap, advised, reserved)], "weights in reserved pages are memory"


def test_a_block_may_lie_in_several_mappings() -> None:
    """Only what lies in them counts."""
    areas = list(parse_areas(SMAPS))

    assert 2 * MIB == overlap(Block(address=0x7F2D00000000 - MIB, size=3 * MIB), areas)
    assert 3 * MIB == overlap(Block(address=0x55D0A7A00000, size=2 * MIB), areas) + overlap(Block(address=0x7F2D20000000, size=MIB), areas)
    assert 0 == overlap(Block(address=0x1000, size=MIB), areas)


@pytest.mark.parametrize("advised", [True, False], ids=["asked for", "not asked for"])
def test_pages_of_this_process(advised: bool) -> None:
    """In mode `madvise` memory lies in huge pages where they were asked for, and only there."""
    if thp_mode() != "madvise":
        pytest.skip("huge pages are not on request -> echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
    area = mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if advised:
        area.madvise(mmap.MADV_HUGEPAGE)
    area[:] = b"\1" * len(area)
    block = Block(address=ctypes.addressof(ctypes.c_char.from_buffer(area)), size=len(area), owner=area)
    seen = memory.observe([block], None, None, counted_before={}, tensor_before={})

    assert seen.large in {6 * MIB, 8 * MIB}  # by where the kernel has put it
    assert (seen.large if advised else 0, 0) == (seen.large_advised, seen.large_reserved)


BEGIN = 0x7F2D00000000  # of a huge page


@pytest.mark.parametrize(
    ("offset", "size", "huge", "seen", "holds"),
    [
        (0, 350, 2, (350, 2), False),
        (0, 350, 174, (350, 174), False),
        (0, 350, 176, (350, 176), True),
        (0, 350, 350, (350, 350), True),
        (1, 3, 2, (2, 2), True),
        (1, 3, 0, (2, 0), False),
        (1, 2, 0, (0, 0), True),
    ],
    ids=["one of all", "fewer than half", "half", "all", "the one that it has room for", "none where it has room", "no room"],
)
def test_each_huge_page_counts_for_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int, size: int, huge: int, seen: tuple[int, int], holds: bool
) -> None:
    """One of them in a mapping makes huge pages of no others, and what lies beside whole ones can be in none."""
    begin, end = BEGIN + offset * MIB, BEGIN + (offset + size) * MIB
    smaps = f"{begin:x}-{end:x} rw-p 00000000 00:00 0\nRss: {size * 1024} kB\nAnonHugePages: {huge * 1024} kB\nVmFlags: rd wr hg\n"
    (tmp_path / "smaps").write_text(smaps)
    monkeypatch.setattr(memory, "SMAPS", tmp_path / "smaps")
    tensor = Block(address=begin, size=MIB)
    found = memory.observe([Block(address=begin, size=end - begin)], None, tensor, counted_before={}, tensor_before={})

    assert seen == (found.large // MIB, found.large_advised // MIB)
    assert holds is found.in_huge_pages()[0]


def test_reserved_pages_hold_all_that_lies_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve's mappings have neither resident nor transparent huge pages in the kernel's count."""
    (tmp_path / "smaps").write_text(SMAPS)
    monkeypatch.setattr(memory, "SMAPS", tmp_path / "smaps")
    activation = Block(address=0x7F2D10000000, size=2 * MIB)
    seen = memory.observe([], activation, activation, counted_before={}, tensor_before={})

    assert (2 * MIB, 0, 2 * MIB) == (seen.large, seen.large_advised, seen.large_reserved)
    assert seen.in_reserved_huge_pages()[0]


def test_memory_that_cannot_be_read_is_not_none_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a reason, which every claim on pages or allocators shows."""
    monkeypatch.setattr(memory, "SMAPS", tmp_path / "smaps")
    seen = memory.observe([], None, None, counted_before={}, tensor_before={})

    assert f"{tmp_path / 'smaps'} cannot be read: No such file or directory" == seen.unread


@pytest.mark.parametrize("name", allocators.ALLOCATORS)
def test_a_preloaded_allocator_counts_what_malloc_gives(name: str) -> None:
    """Its count is exact to a thousandth, and no other allocator is in the process."""
    file = library(name)
    if file is None:
        pytest.skip(f"lib{name} is not installed -> .ci/packages")
    code = """
import ctypes
from fixtures.machine.allocators import LARGE_BYTES, counted_bytes
before = counted_bytes()
ctypes.CDLL(None).malloc(ctypes.c_size_t(LARGE_BYTES))
print({name: count - before[name] for name, count in counted_bytes().items()})
"""
    environment = os.environ | {"LD_PRELOAD": file}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    [(counted_by, counted)] = eval(done.stdout).items()

    assert name == counted_by
    assert abs(counted - LARGE_BYTES) < LARGE_BYTES / 1000


def test_what_torch_allocates_by_is_seen_whatever_is_preloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheels call malloc, those for aarch64 mimalloc from 2.10 on; the answer does not depend on the shell."""
    installed = [file for name in allocators.ALLOCATORS if (file := library(name)) is not None]
    monkeypatch.setenv("LD_PRELOAD", ":".join(installed))
    answer = allocators.torch_allocator.__wrapped__()

    assert answer in {"malloc", "mimalloc"}
