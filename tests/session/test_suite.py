"""The whole suite, as its user runs it: what is saved, and what happens when something goes wrong in the middle."""

import copy
import json
import math
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from pytest_benchmark.utils import get_machine_id
from safetensors.torch import save_file

from fixtures.bench.launch import ROOT
from fixtures.bench.proofs import Proofs
from fixtures.machine import this_machine
from fixtures.machine.allocators import ALLOCATORS, library
from fixtures.models import model_id
from fixtures.models.sets import SETS
from fixtures.steps.optimizations import ON_DEMAND, catalogue
from fixtures.steps.recipe import quick_steps, resolve
from tests.conftest import LEAN, MARK, mounted, skip_unless_met
from tests.processes import ended, with_variable

LIMIT_S = 300.0
FINGERPRINT = (
    "architecture cpu_model cpu_part features vcpus memory_bytes kernel thp_mode instance_type memory_limit_bytes cpu_quota emulated "
    "versions builds"
)
LADDER = [name for name, step in catalogue().items() if step.family not in ON_DEMAND]
MEASURED = ("baseline", "bf16_autocast", "workers_pinned", "onnxruntime", "openvino")


class Suite:
    """`pytest benchmarks/` on a small model, with storage of its own."""

    def __init__(self, storage: Path, artifacts: Path, mark: str, *, calibrates: bool = False) -> None:
        self.storage = storage
        self._calibrates = calibrates
        self._artifacts = artifacts
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | {MARK: mark}

    def command(self, *options: str, steps: Sequence[str] = ()) -> list[str]:
        small = [] if "--model" in options else ["--model", "torchvision:resnet18"]
        chosen = [word for step in steps for word in ("--step", step)]
        calibrated = [] if self._calibrates else ["--no-peaks"]
        places = [f"--benchmark-storage=file://{self.storage}", f"--artifact-cache={self._artifacts}"]
        return [
            sys.executable,
            "-m",
            "pytest",
            *LEAN,
            "benchmarks/",
            *small,
            "--image-size=64",
            *([] if any(option.startswith("--budget") for option in options) else ["--pairs=1"]),
            *places,
            *calibrated,
            *chosen,
            *options,
        ]

    def run(self, *options: str, steps: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run to the end; return the exit status and all output."""
        done = subprocess.run(
            self.command(*options, steps=steps),
            cwd=ROOT,
            env=environment or self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout

    def start(self, *options: str, steps: Sequence[str], before: Callable[[], None] | None = None) -> "subprocess.Popen[str]":
        """Start a run, which answers interrupts unless `before`, called in its process first, says otherwise."""
        return subprocess.Popen(
            self.command(*options, steps=steps),
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=before or answer_interrupts,  # noqa: PLW1509 - no other thread starts processes here
        )

    def runs(self) -> list[dict[str, Any]]:
        """All saved runs, the oldest first."""
        return [json.loads(file.read_text()) for file in sorted(self.storage.glob("*/*.json"))]

    def journals(self) -> list[Path]:
        return list(self.storage.glob("**/*.jsonl"))


def answer_interrupts() -> None:
    """What a shell without job control starts in the background ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


BASELINE_FINISHED = r"\[1/2\] torchvision\.resnet18-baseline: .* samples per second"


def read_until(suite: "subprocess.Popen[str]", pattern: str) -> str:
    """Read the suite's output up to a line that `pattern` is found in, and return it; one that says nothing for too long is killed."""
    assert suite.stdout is not None
    seen = ""
    limit = threading.Timer(LIMIT_S, suite.kill)
    limit.start()
    try:
        for line in suite.stdout:
            seen += line
            if re.search(pattern, line):
                return seen
    finally:
        limit.cancel()
    pytest.fail(f"{pattern!r} was never said:\n{seen}")


def rest(suite: "subprocess.Popen[str]") -> str:
    output, _ = suite.communicate(timeout=LIMIT_S)
    return output


def records(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The records of a saved run by step."""
    return {benchmark["extra_info"]["step"]: benchmark for benchmark in run["benchmarks"]}


def outcomes(run: Mapping[str, Any]) -> dict[str, str]:
    return {outcome["step"]: outcome["outcome"] for outcome in run["outcomes"]}


COLLECT = """
import contextlib, io, json, sys
import pytest
for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = pytest.main(json.loads(line))
    print(json.dumps([status, said.getvalue()]), flush=True)
"""


class Collector:
    """A process that runs the suite as often as it is asked to, for what starts no worker: all that it needs is imported once."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, suite: Suite, *options: str) -> tuple[int, str]:
        """Return the exit status and what was said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _python, _m, _pytest, *arguments = suite.command(*options)
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        status, output = json.loads(self._process.stdout.readline())
        return status, output

    def ids(self, suite: Suite, *options: str) -> list[str]:
        """Return what is collected."""
        status, output = self.run(suite, "--collect-only", "-q", *options)
        assert status == 0, output
        return [line for line in output.splitlines() if "::" in line]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    command = [sys.executable, "-c", COLLECT]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Collector(process)


@pytest.fixture
def suite(tmp_path: Path, artifact_folder: Path, mark: str) -> Suite:
    return Suite(tmp_path / "storage", artifact_folder, mark)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, artifact_folder: Path) -> dict[str, Any]:
    """A run of telling steps."""
    skip_unless_met(*MEASURED)
    suite = Suite(tmp_path_factory.mktemp("saved"), artifact_folder, "saved", calibrates=True)
    status, output = suite.run("--benchmark-autosave", steps=MEASURED)
    assert status == 0, output
    assert suite.journals() == []
    [run] = suite.runs()
    return run


def test_every_record_is_complete(saved: dict[str, Any]) -> None:
    """Each step has raw times, figures that fit each other, and evidence that holds."""
    assert list(records(saved)) == list(MEASURED)
    for step, benchmark in records(saved).items():
        info = benchmark["extra_info"]
        assert benchmark["name"] == f"test_{info['family']}[torchvision.resnet18-{step}]"
        assert benchmark["stats"]["rounds"] == len(benchmark["stats"]["data"]) >= 3
        assert all(item["holds"] and item["claim"] and item["observed"] for item in info["evidence"])
        assert pytest.approx(1.0) == sum(info["precision_share"].values())
        assert info["latency_p50_s"] <= info["latency_p90_s"] <= info["latency_p99_s"] <= info["latency_max_s"]
        assert info["latency_p99_low_s"] <= info["latency_max_s"]
        assert (info["latency_p99_high_s"] is None) == (info["latency_samples"] < 299)
        assert info["peak_rss_bytes"] > 2**20
        assert info["sqnr_db"] > 10


def test_records_say_what_was_in_force(saved: dict[str, Any]) -> None:
    """Batch, workers, variables and artifacts of each recipe."""
    info = {step: benchmark["extra_info"] for step, benchmark in records(saved).items()}

    assert {step: each["batch_size"] for step, each in info.items()} == {step: 1 if step == "baseline" else 8 for step in MEASURED}
    assert info["baseline"]["input_shape"] == [1, 3, 64, 64]
    assert info["baseline"]["environment"] == {}
    assert info["bf16_autocast"]["precision_share"]["bf16"] > 0.5
    assert info["workers_pinned"]["workers"] == this_machine().cpus.default_threads
    assert info["workers_pinned"]["environment"]["OMP_NUM_THREADS"] == "1"
    assert {step: each["samples_per_round"] for step, each in info.items()} == {step: each["batch_size"] for step, each in info.items()}
    assert info["onnxruntime"]["artifact_bytes"] > 40e6
    assert info["onnxruntime"]["build_s"] > 0


def test_every_record_has_its_work(saved: dict[str, Any]) -> None:
    """ResNet-18's convolutions take 1.8136 GMAC at 224 pixels, 12.25 times as many as at 64; the classifier takes 0.512 MMAC."""
    info = {step: benchmark["extra_info"] for step, benchmark in records(saved).items()}

    for each in info.values():
        assert each["flops_per_sample"] == pytest.approx(2 * (1.8136e9 / 12.25 + 512e3), rel=0.001)
        assert each["bytes_per_sample"] > 0
    f32 = info["onnxruntime"]
    assert "f32" in {peak["precision"] for peak in saved["calibration"]["peaks"]}
    assert info["bf16_autocast"]["bytes_per_sample"] < f32["bytes_per_sample"] < info["baseline"]["bytes_per_sample"]


def test_gains_are_paired(saved: dict[str, Any]) -> None:
    """A gain names what it is over, and comes from the rounds of its pairs; one pair has an interval by the prior of 7 %."""
    info = {step: benchmark["extra_info"] for step, benchmark in records(saved).items()}
    over = {"bf16_autocast": "channels_last", "onnxruntime": "batch_8", "openvino": "openvino_fp32"}

    assert info["baseline"]["gain"] is None
    assert {step: info[step]["gain"]["over"] for step in over} == over
    for step in over:
        [pair] = info[step]["pairs"]
        gain = info[step]["gain"]
        counted = [pair[rounds][info[step]["settling_rounds"] :] for rounds in ("own_rounds_s", "over_rounds_s")]
        logs = [math.log(over_s / own_s) for own_s, over_s in zip(*counted, strict=True)]
        assert pytest.approx(math.exp(median(logs))) == gain["ratio"]
        assert gain["low"] < gain["ratio"] / 1.18
        assert gain["high"] > gain["ratio"] * 1.18


def test_machine_is_described(saved: dict[str, Any]) -> None:
    """The fingerprint that runs are compared by, versions and build variants included."""
    fingerprint = saved["machine_info"]["fingerprint"]

    assert [field for field in FINGERPRINT.split() if field not in fingerprint] == []
    assert {"torch", "torchao", "onnxruntime", "openvino", "nncf"} <= set(fingerprint["versions"])
    builds = {"torch_build", "torch_blas", "torch_onednn", "torch_acl", "torch_allocator", "compiler", "libc", "openmp"}
    assert set(fingerprint["builds"]) - {"allocators"} == builds
    assert ("allocators" in fingerprint["builds"]) == any(map(library, ALLOCATORS))


def test_outcomes_are_saved_beside_the_records(saved: dict[str, Any]) -> None:
    """What was measured, skipped and failed can be told from the file alone."""
    assert outcomes(saved) == dict.fromkeys(MEASURED, "measured")


@pytest.mark.nightly
def test_interrupted_run_is_kept_and_resumed(suite: Suite, saved: dict[str, Any]) -> None:
    """Ctrl-C in the middle leaves no process and loses nothing; `--resume` measures the rest; both runs can be compared."""
    steps = ("baseline", "batch_2")
    with suite.start("--benchmark-autosave", steps=steps) as process:
        read_until(process, BASELINE_FINISHED)
        process.send_signal(signal.SIGINT)
        output = rest(process)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "Traceback" not in output
    assert with_variable(MARK, suite.environment[MARK]) == set()
    assert len(suite.journals()) == 1

    status, output = suite.run("--benchmark-autosave", "--resume", steps=steps)
    assert status == 0, output
    assert suite.journals() == []
    last = suite.runs()[-1]
    assert outcomes(last) == {"baseline": "measured", "batch_2": "measured"}
    assert last["calibration"] is None
    assert [benchmark["extra_info"]["resumed"] for benchmark in records(last).values()] == [True, False]
    assert len(records(last)["baseline"]["stats"]["data"]) >= 3

    machines = {json.dumps(run["machine_info"]) for run in [saved, *suite.runs()]}
    assert len(machines) == 1, "machine_info of all runs must be byte-equal"
    command = [str(Path(sys.executable).with_name("pytest-benchmark")), "--storage", f"file://{suite.storage}", "compare"]
    compared = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert compared.returncode == 0, compared.stderr
    names = re.findall(r"test_baseline\[torchvision\.resnet18-baseline\] \((\d{4}_\w{7})", compared.stdout)
    assert sorted(name[:4] for name in names) == ["0001", "0002"], compared.stdout


@pytest.mark.nightly
def test_killed_run_is_resumed(suite: Suite) -> None:
    """SIGKILL gives the suite no chance to save: workers exit by themselves, and the journal has what was finished."""
    steps = ("baseline", "batch_2")
    with suite.start("--benchmark-autosave", steps=steps) as process:
        read_until(process, BASELINE_FINISHED)
        workers = with_variable(MARK, suite.environment[MARK]) - {process.pid}
        process.kill()
    assert [pid for pid in workers if not ended(pid)] == []
    assert suite.runs() == []

    status, output = suite.run("--benchmark-autosave", "--resume", steps=steps[1:])
    assert status == 0, output
    assert "1 finished records of the interrupted run were not asked for" in output.replace("\n", " ")
    assert len(suite.journals()) == 1
    status, output = suite.run("--benchmark-autosave", "--resume", steps=steps)
    assert status == 0, output
    assert suite.journals() == []
    [_, run] = suite.runs()
    assert [benchmark["extra_info"]["resumed"] for benchmark in records(run).values()] == [True, True]


@pytest.mark.nightly
@pytest.mark.parametrize(("number", "closes"), [(signal.SIGTERM, False), (signal.SIGHUP, True)], ids=["SIGTERM", "lost terminal"])
def test_ending_signals_save_what_is_finished(suite: Suite, number: signal.Signals, closes: bool) -> None:
    """`timeout`, `docker stop` and an ssh that closes lose no finished record; the ladder is printed while there is somewhere to print."""
    ours, theirs = pty.openpty()
    command = suite.command("--benchmark-autosave", steps=("baseline", "batch_2"))
    # A session of its own whose terminal this is: closing the other end is what a lost ssh does.
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL, *command], cwd=ROOT, env=suite.environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = ""
    while not re.search(BASELINE_FINISHED, said):
        said += (read := os.read(ours, 65536)).decode(errors="replace")
        assert read, said
    if closes:
        os.close(ours)
    else:
        process.send_signal(number)
        said = all_of(ours)
        os.close(ours)
    assert 128 + number == process.wait(timeout=LIMIT_S), said

    [run] = suite.runs()
    assert outcomes(run) == {"baseline": "measured"}
    assert len(suite.journals()) == 1
    assert [] == [pid for pid in with_variable(MARK, suite.environment[MARK]) if not ended(pid)]
    if not closes:
        assert "Traceback" not in said
        assert "ended by SIGTERM" in said
        assert "Interrupted: finished records are in" in said
    other = suite.environment | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    status, output = suite.run("--benchmark-autosave", "--resume", steps=("baseline", "batch_2"), environment=other)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "other conditions (environment.ONEDNN_MAX_CPU_ISA: None then, 'AVX2' now)" in output.replace("\n", " ")


OWN_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def all_of(terminal: int) -> str:
    """What is written to a terminal until the last process has closed it."""
    said = b""
    try:
        while read := os.read(terminal, 65536):
            said += read
    except OSError:  # EIO: closed
        pass
    return said.decode(errors="replace")


def test_run_that_ignores_interrupts_says_so(suite: Suite) -> None:
    """As in the background of a shell: with the way to end it, and an end by that way saves."""
    with suite.start("--benchmark-autosave", "--pairs=9", steps=["baseline"], before=_ignore_interrupts) as process:
        read_until(process, f"note: Ctrl-C is ignored here.*end this run by `kill {process.pid}`")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        output = rest(process)

    assert 128 + signal.SIGTERM == process.returncode, output
    assert "Traceback" not in output


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.nightly
def test_incomplete_record_is_not_saved(suite: Suite) -> None:
    """Ctrl-C within the timed region: pytest-benchmark has rounds of the first pair, which are no measurement."""
    with suite.start("--benchmark-autosave", "--pairs=9", steps=["baseline"]) as process:
        read_until(process, "baseline: pair [2-9] of 9")
        process.send_signal(signal.SIGINT)
        output = rest(process)

    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "Traceback" not in output
    assert suite.runs() == []
    assert suite.journals() == []


@pytest.mark.nightly
def test_step_that_is_not_in_force_leaves_no_record_and_the_rest_goes_on(suite: Suite) -> None:
    """On a CPU that hides its bf16, autocast fails its proof; later steps build on the nearest step that holds."""
    skip_unless_met("bf16_autocast", "tcmalloc")
    environment = suite.environment | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    status, output = suite.run("--benchmark-autosave", steps=["bf16_autocast", "tcmalloc"], environment=environment)
    [run] = suite.runs()

    assert status == pytest.ExitCode.TESTS_FAILED, output
    assert "step 'bf16_autocast' on torchvision:resnet18 was not in force" in output
    assert outcomes(run) == {"bf16_autocast": "failed", "tcmalloc": "measured"}
    assert list(records(run)) == ["tcmalloc"]
    info = records(run)["tcmalloc"]["extra_info"]
    assert info["left_out"] == ["bf16_autocast"]
    assert info["gain"]["over"] == "channels_last"


@pytest.mark.nightly
def test_step_below_that_was_not_measured_and_fails_is_left_out(suite: Suite) -> None:
    """A model whose tensors are all too small for huge pages loses that step, and no other that applies to this machine."""
    skip_unless_met("huge_pages", "workers_pinned")
    below = resolve("workers_pinned", catalogue(), this_machine()).left_out
    status, output = suite.run("--benchmark-autosave", "--model", "torchvision:squeezenet1_1", steps=["workers_pinned"])

    assert status == 0, output
    info = records(suite.runs()[-1])["workers_pinned"]["extra_info"]
    assert {"huge_pages", *below} == set(info["left_out"])
    assert "tcmalloc" == info["gain"]["over"]


DRIFTING = """\
import torch
from torch import nn

class Drifting(nn.Module):
    \"\"\"Its second layer takes 1000 off again, which bf16 does not tell from 1001.\"\"\"

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 10)
        nn.init.constant_(self.second.bias, 0)

    def forward(self, x):
        seen = torch.nn.functional.adaptive_avg_pool2d(x.mean(1, keepdim=True), 8).flatten(1)
        return self.second(self.first(seen) + 1000) - self.second.weight.sum(1) * 1000

def create(): return Drifting()
"""


@pytest.mark.slow
def test_a_precision_that_drifts_below_is_left_out_whichever_side_is_proved_first(suite: Suite, tmp_path: Path) -> None:
    """It alone: neither fails the step above, nor go the allocator's steps in between, which drift with it."""
    skip_unless_met("bf16_autocast", "compile", "tcmalloc")
    file = tmp_path / "model" / "drifting.py"
    file.parent.mkdir()
    file.write_text(DRIFTING)
    for _ in range(2):  # the order is drawn
        status, output = suite.run("--benchmark-autosave", "--model", f"{file}:create", steps=["compile"])
        info = records(suite.runs()[-1])["compile"]["extra_info"]

        assert status == 0, output
        assert "bf16_autocast" in info["left_out"]
        assert "tcmalloc" in info["recipe"]
        assert "step 'bf16_autocast' on" in info["left_out_reasons"]["bf16_autocast"]
        assert "outputs drifted from fp32 eager" in info["left_out_reasons"]["bf16_autocast"]


@pytest.mark.nightly
def test_without_a_compiler_compiled_steps_are_skipped(suite: Suite, tmp_path: Path) -> None:
    """The reason and the remedy are shown and saved; everything else is measured."""
    environment = {name: value for name, value in suite.environment.items() if name != "CXX"} | {"PATH": str(tmp_path)}
    status, output = suite.run("--benchmark-autosave", steps=["baseline", "compile", "aot_inductor"], environment=environment)
    [run] = suite.runs()

    assert status == 0, output
    assert "the C++ compiler g++ is not installed" in output
    assert "apt-get install g++" in output
    assert outcomes(run) == {"baseline": "measured", "compile": "skipped", "aot_inductor": "skipped"}
    assert {outcome["remedy"] for outcome in run["outcomes"]} == {None, "apt-get install g++"}


@pytest.mark.nightly
def test_steps_are_proved_without_timing(suite: Suite, tmp_path: Path) -> None:
    """Each is served once; how it ended is in one file, and no run is saved."""
    file = tmp_path / "proofs.json"
    status, output = suite.run("--proofs", str(file), steps=["baseline", "primitive_cache", "onnxruntime"])
    proofs = Proofs.read(file)

    assert 0 == status, output
    assert {"baseline": "proved", "primitive_cache": "skipped", "onnxruntime": "proved"} == {s.step: s.outcome for s in proofs.steps}
    assert {"f32": 1.0} == proofs.of("torchvision.resnet18", "baseline").precision_share
    assert sum(use.count for use in proofs.of("torchvision.resnet18", "onnxruntime").kernels) >= 20
    assert [] == suite.runs()
    assert [] == suite.journals()


@pytest.mark.nightly
def test_an_emulated_cpu_is_proved_and_never_timed(suite: Suite, tmp_path: Path) -> None:
    """What is written of it says that it is emulated."""
    file, emulated = tmp_path / "proofs.json", suite.environment | {"QEMU_CPU": "neoverse-v1"}
    timed, said = suite.run("--benchmark-autosave", steps=["baseline"], environment=emulated)
    proved, output = suite.run("--proofs", str(file), steps=["baseline"], environment=emulated)

    assert (4, True) == (timed, "is emulated, its times mean nothing; --proofs FILE proves the steps instead" in said)
    assert 0 == proved, output
    assert Proofs.read(file).fingerprint["emulated"] is True
    assert [] == suite.runs()


@pytest.mark.nightly
def test_disk_that_fills_up_while_measuring(tmp_path: Path, artifact_folder: Path, mark: str) -> None:
    """The run is kept elsewhere, and says where; earlier runs stay whole; with room again it is moved to its place."""
    with mounted(tmp_path / "disk", "80m") as disk:
        suite = Suite(disk, artifact_folder, mark)
        earlier = disk / "Linux" / "0001_earlier.json"
        earlier.parent.mkdir()
        earlier.write_text('{"benchmarks": []}')
        with suite.start("--benchmark-autosave", steps=["baseline", "batch_2"]) as process:
            read_until(process, BASELINE_FINISHED)
            fill(disk / "filler")
            output = rest(process)

        assert process.returncode not in {0, 1}, output
        assert "warning: the journal cannot be written (No space left on device)" in output
        moved = re.search(r"could not be saved in (\S+\.json): .*\. It is kept in (\S+\.json): make room and move it there\.", output)
        assert moved is not None, output
        assert "Traceback" not in output
        assert list(disk.glob("*/*.json")) == [earlier]
        assert earlier.read_text() == '{"benchmarks": []}'

        (disk / "filler").unlink()
        shutil.move(moved[2], moved[1])
        assert ["baseline", "batch_2"] == list(records(suite.runs()[-1]))
        assert outcomes(suite.runs()[-1]) == {"baseline": "measured", "batch_2": "measured"}


def fill(file: Path) -> None:
    """Write until no byte is left."""
    with file.open("wb", buffering=0) as opened:
        for size in (2**20, 2**12, 1):
            try:
                while opened.write(b"x" * size):
                    pass
            except OSError:
                continue


def stopped(suite: Suite, *options: str) -> str:
    """Run with bad options; return the one paragraph that the suite must end with, before anything is measured."""
    status, output = suite.run("--benchmark-autosave", *options)

    assert status == pytest.ExitCode.USAGE_ERROR, output
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output
    assert suite.runs() == []
    return " ".join(output.split())


def save(suite: Suite, run: Mapping[str, Any]) -> None:
    """Let `run` be the only one saved."""
    folder = suite.storage / get_machine_id()  # type: ignore[no-untyped-call]
    folder.mkdir(parents=True)
    (folder / "0001_earlier.json").write_text(json.dumps(run))


@pytest.mark.parametrize(("times", "status"), [(0.1, 1), (10.0, 0)], ids=["slower", "faster"])
def test_benchmark_compare_fail_ends_with_its_verdict(suite: Suite, saved: dict[str, Any], times: float, status: int) -> None:
    """Against a saved run that took a tenth of the time, or tenfold: exit code 1 or 0, pytest-benchmark's message, no traceback."""
    earlier = copy.deepcopy(saved)
    for benchmark in earlier["benchmarks"]:
        benchmark["stats"]["mean"] *= times
    save(suite, earlier)

    found, output = suite.run("--benchmark-compare", "--benchmark-compare-fail=mean:50%", steps=["baseline"])
    assert found == status, output
    assert ("Performance has regressed" in output) == (status == 1)
    assert "1 passed" in output
    assert "Traceback" not in output
    assert "another machine" not in output


@pytest.mark.nightly
def test_burst_that_became_slower_fails_pytest_benchmarks_own_comparison(suite: Suite) -> None:
    """Four times the pixels: `mean` grows as the throughput falls, for workers and an asynchronous queue too, and compare-fail says so."""
    steps = ["workers_pinned", "openvino_throughput"]
    skip_unless_met(*steps)
    status, output = suite.run("--benchmark-autosave", steps=steps)
    assert status == 0, output
    status, output = suite.run(
        "--image-size=128", "--benchmark-autosave", "--benchmark-compare", "--benchmark-compare-fail=mean:5%", steps=steps
    )
    assert status == 1, output
    assert "Performance has regressed" in output
    before, after = (records(run) for run in suite.runs())
    for step in steps:
        slower = after[step]["stats"]["mean"] / before[step]["stats"]["mean"]
        throughput = before[step]["extra_info"]["samples_per_second"] / after[step]["extra_info"]["samples_per_second"]
        assert slower == pytest.approx(throughput)
        assert slower > 1.5
    table = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", f"--storage=file://{suite.storage}", "compare", "--columns=mean", "--csv=-"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for run in (before, after):
        for step in steps:
            assert str(run[step]["stats"]["mean"])[:8] in table


def test_comparing_with_another_release_is_warned_of(suite: Suite, saved: dict[str, Any]) -> None:
    """In a sentence, before anything is measured."""
    earlier = copy.deepcopy(saved)
    earlier["machine_info"]["fingerprint"]["versions"]["torch"] = "2.9.0"
    save(suite, earlier)

    status, output = suite.run("--benchmark-compare", "--collect-only", steps=["baseline"])
    assert status == 0, output
    assert "another machine or other versions: versions.torch went from 2.9.0 to" in output
    assert "builds." not in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pairs", "-1"], "argument --pairs: expected a whole number of at least 1"),
        (["--benchmark-compare-fail=mean:5%"], "--benchmark-compare-fail has no saved run to compare with, so nothing was measured"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_options_are_refused_at_once(suite: Suite, options: list[str], message: str) -> None:
    """One sentence, and no traceback; tests/session/test_options.py has the others."""
    assert message in stopped(suite, *options)


@pytest.mark.slow
def test_model_that_its_source_does_not_know_is_refused(suite: Suite) -> None:
    """Found out by a worker, before the first step."""
    assert "nothing was measured: torchvision has no classification model 'resnet5'" in stopped(suite, "--model", "torchvision:resnet5")


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["rubbish", "wrong shape"])
def test_weights_that_do_not_fit_are_refused(suite: Suite, tmp_path: Path, weights: str) -> None:
    """The message names the file and what is wrong with it."""
    file = tmp_path / "weights.safetensors"
    expected = "is neither safetensors nor a weights-only torch checkpoint"
    if weights == "rubbish":
        file.write_bytes(b"rubbish")
    else:
        from fixtures import models
        from fixtures.protocol import ModelSpec

        state = models.create(ModelSpec(name="torchvision:resnet18")).state_dict()
        save_file({**state, "fc.bias": torch.zeros(10)}, file)
        expected = "fc.bias has shape (10,), ResNet expects (1000,); check the number of classes"

    assert expected in stopped(suite, "--weights", str(file))


@pytest.mark.slow
def test_storage_that_cannot_be_written_is_refused(tmp_path: Path, artifact_folder: Path, mark: str) -> None:
    """Before an hour of measuring, not after."""
    (tmp_path / "file").write_text("not a folder")

    message = stopped(Suite(tmp_path / "file" / "storage", artifact_folder, mark))
    assert "runs cannot be saved in" in message
    assert "name a writable folder with --benchmark-storage" in message


@pytest.mark.slow
def test_full_disk_is_refused(tmp_path: Path, artifact_folder: Path, mark: str) -> None:
    """A disk with no room for a run is found out first."""
    with mounted(tmp_path / "disk", "1m") as disk:
        assert "MiB free; make room or name another --benchmark-storage" in stopped(Suite(disk, artifact_folder, mark))


@pytest.mark.slow
def test_nothing_to_resume_is_said(suite: Suite) -> None:
    """`--resume` does not quietly start anew."""
    assert "nothing to resume: no journal in" in stopped(suite, "--resume")


def test_default_is_the_whole_ladder_of_both_models_in_order(suite: Suite, collector: Collector) -> None:
    """Node ids are a contract: they name family, model and step."""
    ids = collector.ids(suite, "--model", "resnet50", "--model", "vit")
    names = [(model, step) for model in ("resnet50", "vit") for step in LADDER]

    assert ids == [f"benchmarks/test_{catalogue()[s].family}.py::test_{catalogue()[s].family}[{m}-{s}]" for m, s in names]


def test_quick_is_the_telling_steps(suite: Suite, collector: Collector) -> None:
    """A first answer: the best of each runtime in the precision that pays here."""
    steps = quick_steps(this_machine(), catalogue())

    assert [f"{step}]" for step in steps] == [line.rpartition("-")[2] for line in collector.ids(suite, "--quick")]


def test_a_quick_run_answers_for_one_model_before_it_turns_to_the_next(suite: Suite) -> None:
    """Nothing of the next model is built before, which would keep a user waiting for the first answer."""
    models = ("--model", "torchvision:squeezenet1_1", "--model", "torchvision:resnet18")
    status, output = suite.run("--quick", *models, "-k", "baseline or onnxruntime")
    lines = output.splitlines()
    answer = next(place for place, line in enumerate(lines) if re.match(r"torchvision\.squeezenet1_1: (best|fastest|no best)", line))

    assert status == 0, output
    assert any("resnet18" in line for line in lines[answer:])
    assert not any("resnet18" in line for line in lines[:answer]), output


def test_set_is_measured_by_one_step_over_eager(suite: Suite, collector: Collector) -> None:
    """Each model is named, and what is missing is said; --step asks for others."""
    ids = collector.ids(suite, "--set", "torchbench")
    status, output = collector.run(suite, "--collect-only", "--set", "torchbench")

    assert status == 0, output
    assert f"benchmarks/test_compile.py::test_compile[{model_id(SETS['torchbench'].models['hf_Bert'])}-compile_freezing]" in ids
    assert len(SETS["torchbench"].models) == len(ids)  # the --model of these tests is one of them
    assert "torchbench: 42 models; not here: doctr_det_predictor, doctr_reco_predictor, demucs" in output
    assert any("-onnxruntime]" in line for line in collector.ids(suite, "--set", "torchbench", "--step", "onnxruntime"))


def test_grid_is_measured_where_it_is_asked_for(suite: Suite, collector: Collector) -> None:
    """By option or by its file, and not among the others."""
    [test] = {line.partition("[")[0] for line in collector.ids(suite, "--grid", "16x1", "--grid", "128x8")}
    ids = collector.ids(suite, "--grid", "16x1", "--grid", "128x8", "--step", "batch_8", "--step", "onnxruntime")

    assert "benchmarks/test_language_models.py::test_language_models" == test
    assert [f"{test}[torchvision.resnet18-{point}]" for point in ("16x1-onnxruntime", "128x8-batch_8", "128x8-onnxruntime")] == ids
    assert not any("language_models" in line for line in collector.ids(suite))


def test_texts_of_several_lengths_are_measured_where_they_are_asked_for(suite: Suite, collector: Collector) -> None:
    """By option or by its file, with the batch size of the session, and not among the others."""
    bert = ("--model", "transformers:bert", "--batch-size", "4")
    [test, *_] = ids = collector.ids(suite, *bert, "--lengths", "16:0.5,64:0.5", "--step", "lengths_padded", "--step", "lengths_buckets")

    assert ["lengths_padded]", "lengths_buckets]"] == [line.rpartition("-")[2] for line in ids]
    assert re.fullmatch(
        r"benchmarks/test_variable_lengths\.py::test_variable_lengths\[transformers\.bert-16to64\.\w{6}x4-lengths_padded]", test
    )
    assert not any("lengths" in line for line in collector.ids(suite))


def test_a_step_on_demand_is_measured_where_it_is_named(suite: Suite, collector: Collector) -> None:
    """By the step or by its file, and not among the others."""
    name = "benchmarks/test_optional.py::test_optional[torchvision.resnet18-flush_denormals]"

    assert [name] == collector.ids(suite, "--step", "flush_denormals")
    assert not any("test_optional" in line for line in collector.ids(suite))


def test_steps_can_be_chosen_by_keyword(suite: Suite, collector: Collector) -> None:
    """pytest's own `-k` works too."""
    assert collector.ids(suite, "-k", "freezing and not autotune") == [
        "benchmarks/test_compile.py::test_compile[torchvision.resnet18-compile_freezing]"
    ]


@pytest.mark.nightly
def test_benchmark_disable_runs_each_step_once(suite: Suite) -> None:
    """Nothing is recorded, and no process stays."""
    status, output = suite.run("--benchmark-disable", steps=["batch_2"])

    assert status == 0, output
    assert "1 passed" in output
    assert "1 step was proved and ran once: pytest-benchmark is disabled, so nothing is recorded" in output
    assert "failed" not in output
    assert suite.runs() == []


def test_benchmark_skip_skips_every_step(suite: Suite, collector: Collector) -> None:
    """pytest-benchmark's own option; nothing is started for it."""
    status, output = collector.run(suite, "--benchmark-skip")

    assert status == 0, output
    assert f"{len(LADDER)} skipped" in output
    assert "resnet18-baseline: not measured" in output
    assert suite.runs() == []
