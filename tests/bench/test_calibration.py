"""Calibration on the real machine: every peak is proved by the kernel that ran, and what is not there is said."""

import itertools
import platform
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.artifacts.cache import ArtifactCache
from fixtures.bench import calibration
from fixtures.bench.calibration import Calibrator
from fixtures.bench.launch import Launcher, WorkerError
from fixtures.bench.variables import for_workers
from fixtures.machine import this_machine
from fixtures.protocol import Calibrated
from fixtures.protocol.kernels import Kernel
from fixtures.steps.optimizations import catalogue
from fixtures.tasks import peaks
from fixtures.tasks.peaks import Run, Trial, array_bytes, calls_per_second
from reports.saved.record import Calibration
from tests.conftest import MARK

on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="ONEDNN_MAX_CPU_ISA=AVX2 names an x86 instruction set -> run on x86")


def calibrator(cache: Path, mark: str, **environment: str) -> Calibrator:
    inherited = for_workers(catalogue()) | {MARK: mark} | environment
    return Calibrator(
        launcher=Launcher(environment=inherited, timeout_s=300.0),
        cache=ArtifactCache(cache),
        machine=this_machine(),
        threads=this_machine().cpus.default_threads,
        progress=lambda stage: None,
    )


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of workers, which answer at once: the first time with 1, then with 2 and so on."""
    asked: list[str] = []
    rates = itertools.count(1)

    def ask(_self: Calibrator, wanted: list[str], trial_s: float) -> dict[str, Calibrated | str]:
        asked.extend(wanted)
        rate = float(next(rates))
        return {of: Calibrated(per_second=rate, trial="t", kernel="k") for of in wanted}

    monkeypatch.setattr(Calibrator, "_ask", ask)
    return asked


def first_rate(found: Calibration) -> float:
    return found.peaks[0].flops_per_second


@pytest.mark.slow
def test_this_machine_reaches_a_peak_in_each_precision_that_it_has(tmp_path: Path, mark: str) -> None:
    """Whatever the machine, a peak names its kernel, and lower precisions with instructions of their own are no slower than f32."""
    found = calibrator(tmp_path, mark).calibration(short=True)
    rates = {peak.precision: peak.flops_per_second for peak in found.peaks}

    assert {"f32", "int8"} <= set(rates)
    assert set(rates) | {each.precision for each in found.missing} == {"f32", "bf16", "f16", "int8"}
    assert all(peak.kernel and peak.trial and "ref" not in peak.kernel.split(":") for peak in found.peaks)
    assert ("bf16" in rates) == ("bf16" in this_machine().features)
    assert all(each.reason for each in found.missing)
    assert found.bandwidth_bytes_per_second is not None
    assert 1e8 < found.bandwidth_bytes_per_second < 1e13


@pytest.mark.slow
@on_x86
def test_without_avx512_bf16_is_refused_and_int8_without_vnni_is_said(tmp_path: Path, mark: str) -> None:
    """oneDNN held to AVX2 has no bf16 product worth the name; its int8 runs without VNNI."""
    found = calibrator(tmp_path, mark, ONEDNN_MAX_CPU_ISA="AVX2").calibration(short=True)

    assert "bf16" not in {peak.precision for peak in found.peaks}
    assert next(each.reason for each in found.missing if each.precision == "bf16")
    assert [note for note in found.notes if note.startswith("int8 ran without VNNI")]
    assert "avx512" not in (found.peak("f32") or found.peaks[0]).kernel


def test_a_precision_that_the_cpu_lacks_is_absent_with_the_reason(tmp_path: Path, answers: list[str]) -> None:
    lacking = replace(this_machine(), features=("avx2",), cpu_model="Old CPU")
    found = replace(calibrator(tmp_path, "none"), machine=lacking).calibration()

    assert {"bf16": "Old CPU has no bf16", "f16": "Old CPU has no f16"} == {each.precision: each.reason for each in found.missing}
    assert ["f32", "int8", "memory"] == answers


def test_it_is_taken_once_and_again_on_demand(tmp_path: Path, answers: list[str]) -> None:
    taken = [first_rate(calibrator(tmp_path, "none").calibration(redo=redo)) for redo in (False, False, True, False)]

    assert [1.0, 1.0, 2.0, 2.0] == taken


def test_one_taken_beside_other_processes_says_so_and_is_taken_anew_after_a_while(
    tmp_path: Path, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its peaks would be too low, and every share of peak too high."""
    seconds = itertools.count(0.0, 1e6)
    monkeypatch.setattr(calibration, "_others_s", lambda: next(seconds))
    disturbed = calibrator(tmp_path, "").calibration()
    monkeypatch.setattr(calibration, "_others_s", lambda: 0.0)

    assert any("other processes used" in note for note in disturbed.notes)
    assert 1.0 == first_rate(calibrator(tmp_path, "").calibration())
    monkeypatch.setattr(calibration, "RETAKEN_AFTER_S", 0.0)
    assert [2.0, 2.0] == [first_rate(calibrator(tmp_path, "").calibration()) for _ in range(2)]


def test_what_others_take_is_a_share_of_the_cpus_that_may_be_used(
    tmp_path: Path, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the one CPU that a taskset leaves, however many the host has."""
    monkeypatch.setattr(calibration, "time", SimpleNamespace(perf_counter=iter([0.0, 0.0, 10.0, 10.0]).__next__))
    monkeypatch.setattr(calibration, "_others_s", iter([0.0, 5.0]).__next__)
    one_cpu = replace(this_machine(), cpus=replace(this_machine().cpus, allowed=(0,)))
    pinned = replace(calibrator(tmp_path, "none"), machine=one_cpu)

    assert 0.5 == pytest.approx(pinned.calibration().others_share)


def test_a_hurried_one_serves_only_until_there_is_a_whole_one(tmp_path: Path, answers: list[str]) -> None:
    hurried = calibrator(tmp_path, "none").calibration(short=True)
    whole = calibrator(tmp_path, "none").calibration()
    again = calibrator(tmp_path, "none").calibration(short=True)

    assert [(1.0, True), (2.0, False), (2.0, False)] == [(first_rate(each), each.is_short) for each in (hurried, whole, again)]


def test_other_threads_and_another_environment_are_another_calibration(tmp_path: Path, answers: list[str]) -> None:
    usual = calibrator(tmp_path, "none")
    others = (replace(usual, threads=usual.threads + 1), calibrator(tmp_path, "none", ONEDNN_MAX_CPU_ISA="AVX2"))

    assert [1.0, 2.0, 3.0] == [first_rate(each.calibration()) for each in (usual, *others)]


@pytest.mark.slow
def test_a_kernel_that_kills_its_process_takes_nothing_else_with_it(tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown precision makes the worker fail; the next one is asked in a fresh process."""
    usual = calibrator(tmp_path, mark)
    found = usual._ask(["f64", "memory"], 0.01)

    assert isinstance(found["f64"], str)
    assert "no precision 'f64'" in found["f64"]
    assert isinstance(found["memory"], Calibrated)


def test_that_a_run_ends_is_no_answer_of_a_kernel(tmp_path: Path, mark: str) -> None:
    """It would be kept as the machine's lack of a peak."""
    stop = Event()

    def ask(*_: object) -> None:
        stop.set()
        raise WorkerError("calibration: given up while measuring the peak of memory: the run ends")

    launcher: Any = SimpleNamespace(stop=stop, launch=lambda _: SimpleNamespace(ask=ask, close=lambda: None))
    with pytest.raises(WorkerError, match="the run ends"):
        replace(calibrator(tmp_path, mark), launcher=launcher)._ask(["memory"], 0.01)


def test_a_machine_that_starts_no_worker_is_an_error(tmp_path: Path, mark: str) -> None:
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "__init__.py").write_text("raise SystemExit('broken checkout')")
    usual = calibrator(tmp_path / "cache", mark)
    broken = replace(usual, launcher=replace(usual.launcher, root=tmp_path))

    with pytest.raises(WorkerError, match=r"calibration: .* exited with status 1"):
        broken.calibration()
    assert [] == list(tmp_path.rglob("calibration.json"))


def trial(name: str, *kernels: Kernel, fails: str = "") -> Trial:
    def make() -> Run:
        if fails:
            raise RuntimeError(fails)
        return lambda: None

    return Trial(kind=name, name=name, flops=1.0, make=make, observe=lambda run: list(kernels))


def kernel(implementation: str, precision: str, operation: str = "matmul") -> Kernel:
    return Kernel(operation=operation, implementation=implementation, precision=precision, time_s=1.0)


def test_only_a_proved_trial_counts() -> None:
    """Another precision, a reference kernel, no report and an exception: each is refused with its reason."""
    found = peaks._arithmetic(
        "bf16",
        [
            trial("a", kernel("brgemm:f", "f32")),
            trial("b", kernel("ref:any", "bf16")),
            trial("c", kernel("jit:uni", "bf16", "reorder")),
            trial("d", fails="no such operator"),
        ],
        0.01,
    )

    assert (
        None,
        ["a: ran brgemm:f in f32", "b: ran the reference kernel ref:any", "c: no library reported a kernel", "d: no such operator"],
    ) == (
        found.per_second,
        found.refused,
    )
    good = peaks._arithmetic("bf16", [trial("e", kernel("brg_matmul:avx512_core_bf16", "bf16"), kernel("jit:uni", "f32", "reorder"))], 0.01)
    assert good.per_second is not None
    assert ("e", "brg_matmul:avx512_core_bf16") == (good.trial, good.kernel)


def test_no_larger_trial_of_a_refused_kind_is_tried() -> None:
    """A reference kernel may need minutes for what another does in milliseconds."""
    refused = trial("a", kernel("ref:any", "bf16"))
    found = peaks._arithmetic("bf16", [refused, replace(refused, name="larger", make=lambda: pytest.fail("tried"))], 0.01)

    assert ["a: ran the reference kernel ref:any"] == found.refused


@pytest.mark.parametrize(
    ("instructions", "noted"),
    [
        ("Intel AVX2", True),
        ("Intel AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions", True),
        ("Intel AVX2 with Intel DL Boost", False),
        ("Intel AVX 10.1/512", False),
        ("Intel AVX-512 with Intel DL Boost and bfloat16 support", False),
        ("AArch64 SVE (256 bits)", False),
        ("", False),
    ],
)
def test_int8_without_vnni_is_told_by_the_instructions_that_onednn_uses(instructions: str, noted: bool) -> None:
    assert noted == bool(peaks.int8_note(instructions))


@pytest.mark.parametrize("kernel", ["brg_conv_fwd:avx512_core_vnni", "brg_matmul:avx10_1_512_amx"])
def test_an_int8_kernel_that_names_its_instructions_is_believed(kernel: str) -> None:
    """Whatever oneDNN calls the CPU."""
    assert peaks.int8_note("Intel AVX-512", kernel) == ""


def test_the_rate_is_that_of_the_fastest_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands in for the machine: calls of 30 ms, then 10 ms, then 20 ms."""
    now_s = [0.0]
    lengths_s = iter([0.03] * 4 + [0.01] * 2 + [0.02] * 100)

    def run() -> None:
        now_s[0] += next(lengths_s)

    monkeypatch.setattr("time.perf_counter", lambda: now_s[0])
    assert 100.0 == pytest.approx(calls_per_second(run, 0.2))


def test_the_arrays_leave_room_in_a_small_memory(tmp_path: Path) -> None:
    """Three arrays take at most three sixteenths of the memory."""
    assert 2**20 == array_bytes(tmp_path / "none", memory_bytes=16 * 2**20)


def test_the_arrays_are_well_beyond_the_last_level_cache(tmp_path: Path) -> None:
    """Two sockets of 32 MiB L3 each, seen by both of their CPUs: four times 64 MiB; without any cache 64 MiB."""
    for cpu, shared in ((0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")):
        for index, level, size in ((0, 1, "48K"), (3, 3, "32768K")):
            folder = tmp_path / f"cpu{cpu}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            (folder / "level").write_text(f"{level}\n")
            (folder / "size").write_text(f"{size}\n")
            (folder / "shared_cpu_list").write_text(f"{shared if level == 3 else cpu}\n")

    assert 4 * 64 * 2**20 == array_bytes(tmp_path)
    assert 64 * 2**20 == array_bytes(tmp_path / "none")
