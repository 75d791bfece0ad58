"""What `recommend --emit` writes runs without this suite, and its check tells what is in force."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
import venv
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fixtures.bench.launch import ROOT
from fixtures.bench.turns import Plan
from fixtures.machine import this_machine
from fixtures.machine.allocators import ALLOCATORS, library
from fixtures.steps.optimizations import Placement, catalogue
from fixtures.steps.placement import place
from fixtures.steps.recipe import Recipe, resolve
from reports.__main__ import main
from reports.commands.measuring import Bench, CannotMeasure, bench
from reports.deploy.emit import EMITTED, REPORTED_KERNELS, check_calibration, check_versions
from reports.tune.measure import fingerprint, measure, save
from tests.benches import bench_of
from tests.conftest import BUILT, remember, skip_unless_met
from tests.processes import ran

MODEL = "torchvision:resnet18"
SIZE = 64
CPUS = len(os.sched_getaffinity(0))
Emit = Callable[..., Path]


@pytest.fixture(scope="module")
def made(artifact_folder: Path) -> Bench:
    """As other tests have it, so that what is built is built once."""
    usual = bench_of(MODEL, artifact_folder, size=SIZE, warmup_limit_s=0.0)
    return replace(usual, rig=replace(usual.rig, built=dict(BUILT)))


@pytest.fixture(scope="module")
def emitted(made: Bench, artifact_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Emit:
    """A function that measures a step shortly, saves it, and emits it by the command line, each recipe once."""
    folders: dict[tuple[str, int | None], Path] = {}

    def run(step: str, *, workers: int | None = None) -> Path:
        skip_unless_met(step, *(["workers_pinned"] if workers else []))
        if (step, workers) not in folders:
            folder = tmp_path_factory.mktemp("emitted")
            recipe = resolve(step, made.rig.catalogue, made.rig.machine)
            if workers:
                recipe = place(recipe, Placement(workers=workers, threads=1))
            measure_shortly(made, recipe, folder / "runs")
            emit_as_built(made, folder / "runs", artifact_folder, "--emit", str(folder / "served"))
            remember(made.rig)
            folders[step, workers] = folder
        return folders[step, workers]

    return run


@pytest.fixture
def emit(emitted: Emit, tmp_path: Path) -> Emit:
    """A function that returns a deployment of the test's own; the run that it is of lies beside it in `runs`."""

    def copy(step: str, *, workers: int | None = None) -> Path:
        shutil.copytree(emitted(step, workers=workers), tmp_path, dirs_exist_ok=True)
        return tmp_path / "served"

    return copy


def measure_shortly(made: Bench, recipe: Recipe, runs: Path) -> None:
    """Measure a recipe for a moment, and save it as run 1 of `runs`."""
    measured = measure(made, recipe, None, Plan(pairs=1, budget_s=0.01, warmup_limit_s=0.0))
    record = msgspec.structs.replace(measured, disturbed=False)  # whatever else this machine does: no figure is tested
    save(runs / "0001_run.json", [record], fingerprint(made))


def emit_as_built(made: Bench, runs: Path, artifact_folder: Path, *arguments: str) -> None:
    """Emit run 1 of `runs` by the command line, which knows the model as a worker has built it already."""

    def known(*given: Any, **options: Any) -> Bench:
        own = bench(*given, **options)
        return replace(own, rig=replace(own.rig, built=made.rig.built))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("reports.deploy.command.bench", known)
        assert 0 == main(["recommend", "1", "--storage", str(runs), "--artifact-cache", str(artifact_folder), *arguments])


def run_alone(folder: Path, *arguments: str, python: str = sys.executable) -> "subprocess.CompletedProcess[str]":
    """Run the deployment in a process that cannot import this suite."""
    blocked = folder.parent / "blocked"
    for name in ("fixtures", "reports", "benchmarks"):
        (blocked / name).mkdir(parents=True, exist_ok=True)
        (blocked / name / "__init__.py").write_text("raise ImportError('a deployment must not need the suite')")
    return ran([str(folder / "run.sh"), *arguments], folder.parent, {"PYTHON": python, "PYTHONPATH": str(blocked)}, limit_s=900)


def lines(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """The check's findings by name: 'ok' or 'NOT IN FORCE'."""
    found = {}
    for line in done.stdout.splitlines()[1:]:
        verdict, _, rest = line.replace("NOT IN FORCE", "NOT").partition(" ")
        found[rest.strip().partition(":")[0]] = verdict
    return found


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The deployment as it is started by hand, on a port of its own; its address."""
    environment = dict(os.environ) | {"PYTHON": sys.executable}
    process = subprocess.Popen([str(folder / "run.sh"), "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = [process.stderr.readline()]
        while said[-1] and not said[-1].startswith("serving on "):  # libraries print lines of their own
            said.append(process.stderr.readline())
        assert said[-1], said
        yield f"http://{said[-1].split()[-1]}"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    ["onnxruntime", pytest.param("openvino_fp32", marks=pytest.mark.nightly), pytest.param("channels_last", marks=pytest.mark.nightly)],
)
def test_it_runs_without_the_suite_and_proves_its_steps(emit: Emit, step: str) -> None:
    folder = emit(step)

    done = run_alone(folder, "check.py")

    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert {"ok"} == set(lines(done).values())
    assert {"versions", "CPUs", "threads", "kernels", "outputs"} <= lines(done).keys()


def test_it_takes_any_batch_up_to_its_own_and_refuses_others(emit: Emit) -> None:
    folder = emit("openvino_fp32")
    program = """
from model import load, sample
import numpy as np
model = load()
inputs, expected = sample()
one, whole = model.infer(inputs[0][:1]), model.infer(*inputs)
assert one.shape == (1, 1000) and whole.shape == (8, 1000) and np.allclose(one, whole[:1], atol=0.1)
try:
    model.infer(np.concatenate([inputs[0]] * 2))
except ValueError as error:
    print(error)
"""
    (folder / "program.py").write_text(program)

    done = run_alone(folder, "program.py")

    assert (0, "this deployment takes 1 to 8 samples in a call, found 16\n") == (done.returncode, done.stdout), done.stderr


@pytest.mark.nightly
def test_pinned_workers_are_proved_apart(emit: Emit) -> None:
    folder = emit("openvino_fp32", workers=2)

    done = run_alone(folder, "check.py")

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "ok" == lines(done)["affinity"]
    assert "ok" == lines(done)["variable OMP_NUM_THREADS"]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (
            {
                "kernels": {"precision": "int8", "least_share": 0.5},
                "least_sqnr_db": 250.0,
                "versions": {"openvino": "2020.1"},
                "allocator": "tcmalloc",
                "huge_pages": "requested",
                "environment": {"OMP_NUM_THREADS": "77"},
            },
            {"kernels", "outputs", "versions", "TCMalloc allocates tensors", "huge pages", "variable OMP_NUM_THREADS"},
        ),
        (
            {"huge_pages": "reserved", "pinned": True, "threads": 1 + CPUS, "settings": {"INFERENCE_NUM_THREADS": "1"}},
            {"huge pages", "affinity", "threads", "INFERENCE_NUM_THREADS"},
        ),
        ({"settings": {"NO_SUCH_SETTING": "1"}}, {"worker"}),
    ],
    ids=["kernels and memory", "threads", "worker"],
)
def test_the_check_fails_where_a_step_is_not_in_force(emit: Emit, change: dict[str, Any], broken: set[str]) -> None:
    """One process looks at several; whatever the change leaves alone still holds."""
    folder = emit("openvino_fp32")
    deployment = json.loads((folder / "deployment.json").read_text())
    settings = deployment["settings"] | change.get("settings", {})  # without OpenVINO's hint a CPU that has bf16 computes in it
    (folder / "deployment.json").write_text(json.dumps(deployment | change | {"settings": settings}))
    if "threads" in broken:  # threads that are missing do not come later
        watched = (folder / "thread_work.py").read_text()
        assert "WATCH_S = 0.3" in watched
        (folder / "thread_work.py").write_text(watched.replace("WATCH_S = 0.3", "WATCH_S = 0.05"))

    done = run_alone(folder, "check.py")

    assert 1 == done.returncode, done.stdout + done.stderr
    assert broken == {name for name, verdict in lines(done).items() if verdict == "NOT"}, done.stdout
    assert "environment" not in change or "expected '77': start by ./run.sh" in done.stdout


MAPPED_LATER = "import ctypes; ctypes.CDLL({library!r}, ctypes.RTLD_GLOBAL)\n"
ASKED_FOR_ELSEWHERE = """
import mmap
area = mmap.mmap(-1, 2**25, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_HUGEPAGE)
area[:] = bytes(len(area))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["tcmalloc", pytest.param("jemalloc", marks=pytest.mark.nightly), pytest.param("huge_pages", marks=pytest.mark.nightly)]
)
def test_allocators_and_huge_pages_are_proved_by_where_tensors_lie(emit: Emit, step: str) -> None:
    """In place they hold; a library that is mapped later and huge pages of others hold nothing."""
    folder = emit(step)
    title = "huge pages" if step == "huge_pages" else f"{ALLOCATORS[step].title} allocates tensors"
    done = run_alone(folder, "check.py")
    assert "ok" == lines(done)[title], done.stdout + done.stderr

    variable = "THP_MEM_ALLOC_ENABLE" if step == "huge_pages" else "LD_PRELOAD"
    deployment = json.loads((folder / "deployment.json").read_text())
    del deployment["environment"][variable]
    (folder / "deployment.json").write_text(json.dumps(deployment))
    kept = [line for line in (folder / "environment").read_text().splitlines(keepends=True) if not line.startswith(variable)]
    (folder / "environment").write_text("".join(kept))
    (folder / "sitecustomize.py").write_text(ASKED_FOR_ELSEWHERE if step == "huge_pages" else MAPPED_LATER.format(library=library(step)))
    done = run_alone(folder, "check.py")

    assert 1 == done.returncode, done.stderr
    assert {title: "NOT"} == {name: verdict for name, verdict in lines(done).items() if verdict != "ok"}, done.stdout


@pytest.mark.nightly
def test_the_check_holds_the_throughput_against_the_record(emit: Emit) -> None:
    holds_the_throughput(emit("openvino_fp32"), "samples", ("within", "BELOW", "above"))


def holds_the_throughput(folder: Path, unit: str, words: Sequence[str]) -> None:
    """The check places the throughput within, below and above intervals that no machine is too slow or fast enough for."""
    deployment = json.loads((folder / "deployment.json").read_text())
    for word in words:
        low, high = {"within": (1e-6, 1e9), "BELOW": (1e9, 2e9), "above": (1e-7, 1e-6)}[word]
        deployment["throughput"] |= {"low": low, "high": high, "processes": 3}
        (folder / "deployment.json").write_text(json.dumps(deployment))

        done = run_alone(folder, "check.py", "--throughput")

        assert (word == "BELOW") == done.returncode, done.stdout + done.stderr
        assert f" {unit} per second" in done.stdout
        assert f"; {word} " in done.stdout


def test_it_serves_over_http(emit: Emit) -> None:
    """The sample, by the Open Inference Protocol; a whole batch as bytes, one sample as JSON."""
    folder = emit("openvino_fp32")
    with np.load(folder / "sample.npz") as sample:
        inputs, expected = sample["input_0"], sample["expected"]
    with served(folder) as address:
        url = f"{address}/v2/models/torchvision.resnet18"
        tensor = {"name": "input_0", "datatype": "FP32", "shape": inputs.shape, "parameters": {"binary_data_size": inputs.nbytes}}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        asked = urllib.request.Request(f"{url}/infer", head + inputs.tobytes(), {"Inference-Header-Content-Length": str(len(head))})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            content = answer.read()[int(answer.headers["Inference-Header-Content-Length"]) :]
        tensor = {"name": "input_0", "datatype": "FP32", "shape": (1, *inputs.shape[1:]), "data": inputs[0].ravel().tolist()}
        with urllib.request.urlopen(f"{url}/infer", json.dumps({"inputs": [tensor]}).encode(), timeout=60) as answer:
            one = json.load(answer)["outputs"][0]
    assert np.allclose(expected, np.frombuffer(content, np.float32).reshape(expected.shape), atol=1e-3)
    assert [1, expected.shape[1]] == one["shape"]
    assert np.allclose(expected[0], one["data"], atol=1e-3)


def test_a_folder_that_is_there_is_left_alone(emit: Emit, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = emit("openvino_fp32")
    again = ["recommend", "1", "--storage", str(tmp_path / "runs"), "--emit", str(folder)]

    assert 2 == main(again)
    assert "is there already; name a folder that does not exist yet" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["no-such-package", "executorch"], ids=["recorded nowhere", "recorded by its version"])
def test_a_package_that_was_removed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is one of another release; a local label is none."""
    found = {"numpy": "2.1", "msgspec": "1"}
    monkeypatch.setattr("reports.deploy.emit.installed", lambda names: {each: found[each] for each in names if each in found})

    with pytest.raises(
        CannotMeasure, match=f"^{name} is not installed; numpy 2.1 is installed, 2.0 was measured: install what was measured"
    ):
        check_versions(("numpy", name, "msgspec"), {"numpy": "2.0", "executorch": "1.0"})
    check_versions(("numpy", "msgspec"), {"numpy": "2.1+cpu"})


@pytest.mark.parametrize(
    ("step", "measured", "named", "reason"),
    [
        ("openvino_int8", "0123", "", "calibrated with other images or texts: name the same --int8-images"),
        ("openvino_int8", "0123", "4567", "calibrated with other images or texts: name the same --int8-images"),
        ("openvino_int8", "random", "4567", "calibrated with random samples: leave --int8-images and --int8-texts out"),
        ("openvino_int8", "random", "", None),
        ("openvino_int8", "0123", "0123", None),
        ("openvino", "0123", "", None),  # has nothing to calibrate
        ("openvino", "random", "4567", None),
    ],
)
def test_an_int8_is_emitted_as_it_was_calibrated(step: str, measured: str, named: str, reason: str | None) -> None:
    """Other samples make another model than the one whose figures stand in the deployment."""
    recipe = resolve(step, catalogue(), this_machine())

    with pytest.raises(CannotMeasure, match=reason) if reason else nullcontext():
        check_calibration(recipe, measured, named)


EVIL = """
from pathlib import Path
Path(__file__).with_name("was here").write_text("")
def create():
    import torch
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(1000))
"""


Altered = Callable[..., tuple[int, str]]


@pytest.fixture
def altered(emit: Emit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Altered:
    """A function that emits from a run whose record and fingerprint were altered; returns exit code and what was said."""

    def run(*arguments: str, fingerprint: Callable[[dict[str, Any]], object] = lambda _found: None, **record: Any) -> tuple[int, str]:
        emit("openvino_fp32")
        (tmp_path / "evil.py").write_text(EVIL)
        file = tmp_path / "runs" / "0001_run.json"
        saved = json.loads(file.read_text())
        fingerprint(saved["machine_info"]["fingerprint"])
        saved["benchmarks"][0]["extra_info"] |= record
        file.write_text(json.dumps(saved))
        capsys.readouterr()
        code = main(["recommend", "1", "--storage", str(tmp_path / "runs"), "--emit", str(tmp_path / "other"), *arguments])
        said = capsys.readouterr()
        assert (tmp_path / "other").exists() == (code == 0)
        return code, said.out + said.err

    return run


@pytest.mark.parametrize(
    ("fingerprint", "record", "reason"),
    [
        ({"vcpus": 64}, {}, "is of another machine (vcpus: 64 there"),
        ({"versions": {"openvino": "2020.1"}}, {}, "was measured: install what was measured"),
        ({}, {"weights": "0123456789abcdef"}, "was measured with weights of digest 0123456789abcdef: --weights is missing"),
        ({}, {"recipe": ["baseline", "no_such_step"]}, "has no 'no_such_step'"),
        pytest.param({}, {"reference": {"output": [1.0] * 8}}, "has other fp32 outputs than run 0001", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_the_measured_recipe_is_refused(
    altered: Altered, fingerprint: dict[str, Any], record: dict[str, Any], reason: str
) -> None:
    code, said = altered(fingerprint=lambda found: found.update(fingerprint), **record)

    assert (code, reason in said) == (2, True), said


def test_a_saved_run_never_chooses_code(altered: Altered, tmp_path: Path) -> None:
    """A hostile run names a file that lies beside it: under the name of another model, or under its own, nothing of it is run."""
    evil = f"{tmp_path}/evil.py:create"

    for arguments, record, reason in (
        ((), {"model_name": evil}, "its record was altered"),
        ((), {"model": "evil.create", "model_name": evil}, f"if you trust it, name it with --model {evil}"),
        (("--model", "evil.create"), {"model": "evil.create", "model_name": evil}, "never chooses which code runs here"),
        ((), {"model": "os.getcwd", "model_name": "os:getcwd"}, "never chooses which code runs here"),
    ):
        code, said = altered(*arguments, **record)
        assert (code, reason in said) == (2, True), said
    assert not (tmp_path / "was here").exists()


def test_code_that_is_named_must_have_the_recorded_outputs(altered: Altered, tmp_path: Path) -> None:
    """What the user trusts is said and built; where its outputs are others than the record's, nothing is emitted."""
    evil = f"{tmp_path}/evil.py:create"
    code, said = altered("--model", evil, model="evil.create", model_name=evil)

    assert code == 2
    assert f"Building evil.create ({evil}) by openvino_fp32, batch 8" in said
    assert "could not be built" in said or "has other fp32 outputs than run 0001" in said


@pytest.mark.parametrize("lost", ["architecture", "cpu_model", "features", "vcpus", "versions"])
def test_a_run_without_a_whole_fingerprint_is_another_machines(altered: Altered, lost: str) -> None:
    code, said = altered(fingerprint=lambda found: found.pop(lost))

    assert (code, f"does not say which machine it is of (no {lost})" in said) == (2, True), said


@pytest.mark.nightly
@pytest.mark.parametrize(
    "step", ["mimalloc_huge_pages", "compile_freezing", "aot_inductor", "pt2e_int8", "onnxruntime_int8", "openvino_throughput"]
)
def test_every_runtime_is_emitted(emit: Emit, step: str) -> None:
    folder = emit(step)

    done = run_alone(folder, "check.py", "--throughput")

    assert {"ok"} == set(lines(done).values()) or ["throughput"] == [name for name, seen in lines(done).items() if seen != "ok"], (
        done.stdout
    )
    assert "" == done.stderr
    assert not [file for file in folder.rglob("*") if file.suffix in {".pkl", ".pickle", ".pt", ".pth"}]
    for package in (folder / "artifact").glob("*.pt2"):
        with zipfile.ZipFile(package) as archive:
            pickled = [name for name in archive.namelist() if name.endswith((".pt", ".pkl")) and archive.getinfo(name).file_size]
        assert [] == pickled


@pytest.mark.nightly
@pytest.mark.parametrize("step", ["openvino_fp32", "aot_inductor", "compile_freezing"])
def test_it_runs_in_an_environment_of_its_named_requirements(emit: Emit, tmp_path: Path, step: str) -> None:
    folder = emit(step)
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = str(home / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", str(folder / "requirements.txt")], check=True, timeout=1800)

    done = run_alone(folder, "check.py", python=python)

    shutil.rmtree(home)
    assert (0, {"ok"}) == (done.returncode, set(lines(done).values())), done.stdout + done.stderr


def test_compiled_code_of_another_user_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inductor's usual folder in the temporary folder has a name that anybody can make first."""
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    (tmp_path / "torchinductor_ladder").symlink_to(tmp_path)
    (tmp_path / REPORTED_KERNELS).symlink_to(ROOT / "fixtures" / "protocol" / "kernels.py")
    folders = [tmp_path, EMITTED, ROOT / "fixtures" / "machine"]
    program = f"import sys; sys.path[:0] = {[*map(str, folders)]}; import runtime_torch; runtime_torch.keep_compiled_code_apart()"
    names = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "ladder")
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), **names}
    found = ran([sys.executable, "-c", program], tmp_path, environment)
    named = ran([sys.executable, "-c", program], tmp_path, environment | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "mine")})
    (awkward := tmp_path / "a b").mkdir()
    program = program.replace(
        "import runtime_torch;", f"import runtime_torch, own_folder; own_folder.USUAL_TEMPORARY = [{str(tmp_path)!r}];"
    )
    left = ran([sys.executable, "-c", program], tmp_path, environment | {"TMPDIR": str(awkward)})

    assert "torchinductor_ladder, but that is a link" in found.stderr
    assert (0, "") == (named.returncode, named.stderr)
    assert f"{tmp_path}/torchinductor_ladder, but that is a link" in left.stderr, "torch would take the path of TMPDIR apart"
