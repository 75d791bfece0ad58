"""The machine's fingerprint is stable, and features have one name on all architectures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures import machine
from fixtures.machine import this_machine, thp_mode
from tests.machines import GRAVITON2, GRAVITON3, X86

GRAVITON3_CPUINFO = """\
processor	: 0
BogoMIPS	: 2100.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 sm4 asimddp \
sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs paca pacg dcpodp svei8mm svebf16 i8mm bf16 dgh rng
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x1
CPU part	: 0xd40
CPU revision	: 1
"""
GRAVITON2_CPUINFO = """\
processor	: 0
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs
CPU part	: 0xd0c
"""
EPYC_CPUINFO = """\
processor	: 0
vendor_id	: AuthenticAMD
cpu family	: 26
model		: 2
model name	: AMD EPYC
stepping	: 1
flags		: fpu fma avx2 avx512f avx512dq avx_vnni avx512_bf16 avx512_vnni
"""


@pytest.fixture
def read_from(monkeypatch: pytest.MonkeyPatch) -> "Reader":
    return Reader(monkeypatch)


class Reader:
    """Reads a machine out of the text of its /proc/cpuinfo."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, cpuinfo: str) -> machine.Machine:
        self._monkeypatch.setattr(machine, "text_of", lambda file: cpuinfo if str(file) == "/proc/cpuinfo" else "")
        return this_machine.__wrapped__()


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [(GRAVITON3_CPUINFO, GRAVITON3), (GRAVITON2_CPUINFO, GRAVITON2), (EPYC_CPUINFO, X86)],
    ids=["Graviton3", "Graviton2", "EPYC"],
)
def test_features_are_read_from_cpuinfo(read_from: Reader, cpuinfo: str, expected: machine.Machine) -> None:
    """The kernel's names differ between architectures, the suite's do not."""
    seen = read_from(cpuinfo)

    assert (expected.cpu_model, expected.cpu_part, expected.features) == (seen.cpu_model, seen.cpu_part, seen.features)


@pytest.mark.parametrize(
    ("architecture", "kernel", "expected"),
    [("aarch64", "x86_64", True), ("aarch64", "aarch64", False), ("aarch64", "", False), ("x86_64", "x86_64", False)],
)
def test_an_emulator_is_known_by_its_kernel(monkeypatch: pytest.MonkeyPatch, architecture: str, kernel: str, expected: bool) -> None:
    """QEMU's user mode answers for its guest, but the kernel below still says what it is."""
    monkeypatch.setattr(machine, "text_of", lambda file: kernel + "\n" if str(file) == "/proc/sys/kernel/arch" else GRAVITON3_CPUINFO)
    monkeypatch.setattr("platform.machine", lambda: architecture)
    monkeypatch.delenv("QEMU_CPU", raising=False)

    assert expected is this_machine.__wrapped__().emulated


def test_the_emulated_cpu_that_was_asked_for_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on kernels before 6.1, which do not say what they are."""
    monkeypatch.setenv("QEMU_CPU", "neoverse-v1")

    assert this_machine.__wrapped__().emulated is True


def test_fingerprint_is_stable_and_fit_for_json() -> None:
    """Two readings of an unchanged machine are byte-equal: no load, no clock rate, no process id."""
    first, second = (json.dumps(this_machine.__wrapped__().fingerprint(), sort_keys=True) for _ in range(2))

    assert first == second


def test_fingerprint_counts_the_cpus_that_may_be_used() -> None:
    """Which CPUs they are does not matter for a comparison, how many does."""
    fingerprint = X86.fingerprint()

    assert fingerprint["vcpus"] == 2
    assert "allowed_cpus" not in fingerprint


def test_this_machine_is_described() -> None:
    """On the machine that runs this test, too."""
    here = this_machine()

    assert here.cpu_model not in {"", "unknown"}
    assert set(here.allowed_cpus) == os.sched_getaffinity(0)
    assert here.memory_bytes > 2**28


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("always [madvise] never\n", "madvise"),
        ("[always] madvise never\n", "always"),
        ("always madvise [never]\n", "never"),
        ("", "unknown"),
    ],
)
def test_huge_page_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: str) -> None:
    """The mode in force stands in brackets; without the file it is unknown."""
    (tmp_path / "enabled").write_text(text)
    monkeypatch.setattr(machine, "THP_FILE", tmp_path / "enabled" if text else tmp_path / "missing")

    assert mode == thp_mode()


@pytest.mark.parametrize(("expected", "code"), [("", 0), ("0xd40", 0), ("0xd4f, 0xd40", 0), ("0xd4f", 2), ("0xd4", 2)])
def test_cpu_part_is_asserted(read_from: Reader, expected: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A CI job that got another machine than it asked for ends at once, and says which one it got."""
    seen = read_from(GRAVITON3_CPUINFO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "this_machine", lambda: seen)
        assert code == machine.main(["--expect-cpu-part", expected])

    out, err = capsys.readouterr()
    assert out.startswith("Neoverse V1 (Graviton3), CPU part 0xd40, ")
    assert ("expected 0xd4f Neoverse V2 (Graviton4);" in err) == (expected == "0xd4f")


def test_machine_is_told_without_anything_installed() -> None:
    """The job asserts its machine before it installs gigabytes."""
    command = [sys.executable, "-S", "-m", "fixtures.machine"]
    told = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)

    assert "CPU part" in told.stdout


def test_what_is_no_graviton_says_so(read_from: Reader) -> None:
    """GitHub's arm64 runners have the same architecture and other cores."""
    assert "no Graviton" in read_from(GRAVITON3_CPUINFO.replace("0xd40", "0xd49")).cpu_model
