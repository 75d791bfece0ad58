"""Where the time goes: one form for all runtimes, seen on a real small model, and never at the cost of a figure."""

import gzip
import json
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fixtures.bench.launch import ROOT
from fixtures.bench.profiling import profile_of
from fixtures.bench.rig import Serving
from fixtures.protocol import ModelSpec
from fixtures.protocol.profiles import LONGEST_NAME, MOST_OPERATORS, OTHERS, OUTSIDE, tabulate
from fixtures.steps.recipe import resolve
from reports.__main__ import main
from reports.saved.record import SavedProfile
from reports.text.image_shape import square
from tests.conftest import MakeRig, skip_unless_met
from tests.session.test_suite import Suite, records

RESNET = ModelSpec(name="torchvision:resnet18", image=square(64))
CONVOLUTIONS = 20  # of a ResNet-18, the three of its shortcuts included
CONVOLUTION = {
    "baseline": "aten::conv2d",
    "compile_freezing": "mkldnn::_convolution_pointwise",
    "pt2e_int8": "onednn::qconv",
    "aot_inductor": "convolution ",
    "onnxruntime": "Conv",
    "onnxruntime_int8": "QLinearConv",
    "openvino": "Convolution",
}
TRACED = [step for step in CONVOLUTION if step not in ("openvino", "aot_inductor")]


def serve(make_rig: MakeRig, step: str) -> Serving:
    skip_unless_met(step)
    rig = make_rig()
    [serving] = rig.serve(resolve(step, rig.catalogue, rig.machine), model=RESNET, least_samples=1)
    return serving


def profiled(make_rig: MakeRig, step: str, storage: Path) -> dict[str, Any]:
    found, failure = profile_of(serve(make_rig, step), storage, "traces/session", f"resnet18-{step}")
    assert failure is None
    return dict(msgspec.to_builtins(found))


def calls_of(profile: dict[str, Any], part: str) -> float:
    return sum(float(operator["calls"]) for operator in profile["operators"] if part in operator["name"])


@pytest.mark.nightly
@pytest.mark.parametrize("step", CONVOLUTION)
def test_each_runtime_fills_the_same_form(make_rig: MakeRig, tmp_path: Path, step: str) -> None:
    """Shares of a mean inference that sum to 1, and every convolution counted once, under the runtime's own name."""
    profile = profiled(make_rig, step, tmp_path)

    operators = profile["operators"]
    assert {"source", "inferences", "inference_s", "operators", "notes", "trace"} == set(profile)
    assert profile["inferences"] >= 3
    assert pytest.approx(1.0) == sum(operator["share"] for operator in operators)
    assert pytest.approx(profile["inference_s"]) == sum(operator["self_s"] for operator in operators)
    assert all(operator["self_s"] >= 0 for operator in operators)
    assert CONVOLUTIONS == calls_of(profile, CONVOLUTION[step])
    assert len(operators) <= MOST_OPERATORS + 2
    assert OUTSIDE == operators[-1]["name"]
    assert operators[-1]["share"] < 0.9


@pytest.mark.nightly
def test_eager_shows_operators_and_compiled_code_fused_ones(make_rig: MakeRig, tmp_path: Path) -> None:
    """The published comparison: `aten::` operators on one side, oneDNN's fused ones and one compiled graph on the other."""
    skip_unless_met("baseline", "compile_freezing")
    eager, compiled = (profiled(make_rig, step, tmp_path) for step in ("baseline", "compile_freezing"))

    assert {CONVOLUTIONS, 0} == {calls_of(eager, "aten::batch_norm"), calls_of(compiled, "aten::batch_norm")}
    assert 0 == calls_of(eager, "_convolution_pointwise")
    assert 1 == calls_of(compiled, "## Call CompiledFxGraph ##")
    assert any("loops which Inductor generated" in note for note in compiled["notes"])
    heaviest = {OUTSIDE: 0.0} | {operator["name"]: operator["share"] for operator in eager["operators"]}
    assert "conv" in max(heaviest, key=heaviest.__getitem__)


@pytest.mark.nightly
@pytest.mark.parametrize("step", TRACED)
def test_the_trace_is_chromes_format(make_rig: MakeRig, tmp_path: Path, step: str) -> None:
    """A file in the storage, named by the record, that trace viewers open; pytest-benchmark does not take it for a run."""
    profile = profiled(make_rig, step, tmp_path)

    assert f"traces/session/resnet18-{step}.json.gz" == profile["trace"]
    trace = json.loads(gzip.decompress((tmp_path / profile["trace"]).read_bytes()))
    events = trace if isinstance(trace, list) else trace["traceEvents"]
    assert CONVOLUTIONS * profile["inferences"] <= sum(CONVOLUTION[step] in json.dumps(event) for event in events)
    assert not [*tmp_path.glob("*.json"), *tmp_path.glob("*/*.json")]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["openvino", pytest.param("aot_inductor", marks=pytest.mark.nightly)])
def test_counters_make_no_trace_and_say_so(make_rig: MakeRig, tmp_path: Path, step: str) -> None:
    """Durations without a beginning are not laid out on a made-up time line."""
    profile = profiled(make_rig, step, tmp_path)

    assert profile["trace"] is None
    assert any("no trace" in note for note in profile["notes"])
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
@pytest.mark.parametrize(("step", "said"), [("workers_pinned", "one worker of "), ("openvino_throughput", "one request alone; ")])
def test_what_runs_side_by_side_is_profiled_once_and_says_so(make_rig: MakeRig, tmp_path: Path, step: str, said: str) -> None:
    """Several workers do the same work while one of them is profiled; of an asynchronous queue one request is."""
    profile = profiled(make_rig, step, tmp_path)

    assert [note for note in profile["notes"] if said in note]
    assert pytest.approx(1.0) == sum(operator["share"] for operator in profile["operators"])


@pytest.mark.slow
def test_a_worker_that_dies_of_it_costs_the_profile_only(make_rig: MakeRig, tmp_path: Path) -> None:
    serving = serve(make_rig, "baseline")
    [pid] = serving.workers._pids
    os.kill(pid, signal.SIGKILL)

    found, failure = profile_of(serving, tmp_path, "traces/session", "x")

    assert found is None
    assert failure is not None
    assert "baseline: the worker was killed by SIGKILL" in failure
    assert "being profiled" in failure


@pytest.mark.nightly
def test_a_trace_that_cannot_be_kept_costs_the_trace_only(make_rig: MakeRig, tmp_path: Path) -> None:
    (tmp_path / "traces").write_text("a file where the folder should be")

    found, _ = profile_of(serve(make_rig, "baseline"), tmp_path, "traces/session", "x")

    assert found is not None
    assert found.operators
    assert found.trace is None
    assert any("the trace was not kept: " in note for note in found.notes)


@pytest.mark.nightly
def test_file_names_of_traces_stay_in_their_folder(make_rig: MakeRig, tmp_path: Path) -> None:
    """A model's id may hold a path."""
    found, _ = profile_of(serve(make_rig, "baseline"), tmp_path, "traces/session", "../../my model/net.py:create-baseline")

    assert found is not None
    assert "traces/session/.._.._my_model_net.py_create-baseline.json.gz" == found.trace
    assert (tmp_path / found.trace).is_file()


def test_a_table_has_a_limit_and_loses_no_time() -> None:
    """The most expensive of very many operators are kept, the others together."""
    calls = [(f"op{number}", number * 1e-3) for number in range(1, 1001) for _ in range(2)]

    profile = tabulate("test", calls, inferences=2, total_s=2000.0)

    names = [operator.name for operator in profile.operators]
    assert [f"op{number}" for number in range(1000, 1000 - MOST_OPERATORS, -1)] + [OTHERS, OUTSIDE] == names
    assert pytest.approx(1.0) == sum(operator.share for operator in profile.operators)
    assert 1000 == sum(operator.calls for operator in profile.operators)
    assert (1000.0, 1.0, 0.001, 1.0) == (
        profile.inference_s,
        profile.operators[0].self_s,
        profile.operators[0].share,
        profile.operators[0].calls,
    )
    assert len(msgspec.json.encode(profile)) < 10_000


def test_long_names_are_cut() -> None:
    profile = tabulate("test", [("x" * 10_000, 1.0), ("x" * 20_000, 1.0)], inferences=1, total_s=4.0)

    assert [("x" * LONGEST_NAME, 0.5, 2), (OUTSIDE, 0.5, 0)] == [(each.name, each.share, each.calls) for each in profile.operators]


def test_operators_that_overlap_are_the_whole() -> None:
    """Their sum exceeds the time on the clock: nothing is left outside, and shares still sum to 1."""
    profile = tabulate("test", [("a", 3.0), ("b", 1.0)], inferences=1, total_s=2.0)

    assert [("a", 0.75), ("b", 0.25), (OUTSIDE, 0.0)] == [(operator.name, operator.share) for operator in profile.operators]
    assert 4.0 == profile.inference_s


def test_no_time_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="test reported no time at all over 3 inferences"):
        tabulate("test", [], inferences=3, total_s=0.0)


def test_a_profile_survives_the_socket() -> None:
    profile = tabulate("test", [("a", 1.0)], inferences=1, total_s=2.0, notes=["n"])

    assert profile == msgspec.json.decode(msgspec.json.encode(profile), type=SavedProfile)


@pytest.mark.nightly
def test_a_run_with_profiles_is_shown_and_one_that_failed_says_so(
    tmp_path: Path, artifact_folder: Path, mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--profile` end to end: table, comparison, trace and picture of a real run, and a step whose profiler is broken."""
    skip_unless_met("baseline", "batch_2", "onnxruntime")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text("import sys\nsys.modules['fixtures.runtimes.torch_profile'] = None\n")
    storage = tmp_path / "storage"
    suite = Suite(storage, artifact_folder, mark)

    status, output = suite.run("--profile", "--benchmark-autosave", steps=("batch_2", "onnxruntime"))
    assert 0 == status, output
    broken_environment = suite.environment | {"PYTHONPATH": os.pathsep.join([str(broken), str(ROOT)])}
    status, output = suite.run("--profile", "--benchmark-autosave", steps=("batch_2", "onnxruntime"), environment=broken_environment)
    assert 0 == status, output

    assert "batch_2 note: no profile: batch_2: ModuleNotFoundError while being profiled" in " ".join(output.split())
    found = records(suite.runs()[1])
    assert found["batch_2"]["extra_info"]["profile"] is None
    assert found["batch_2"]["extra_info"]["samples_per_second"] > 0
    assert found["onnxruntime"]["extra_info"]["profile"]["operators"]

    place = ["--storage", str(storage)]
    picture = tmp_path / "profile.svg"
    arguments = ["profile", "1", "--model", "torchvision:resnet18", "--step", "batch_2", "--against", "onnxruntime"]
    assert 0 == main([*arguments, *place, "--trace", "--plot", str(picture)])
    shown = capsys.readouterr()
    assert "aten::mkldnn_convolution" in shown.out
    assert "\nConv " in shown.out
    assert 2 == shown.err.count(".json.gz")
    assert b"onnxruntime" in picture.read_bytes()

    assert 2 == main(["profile", "2", "--step", "batch_2", *place])
    assert "profiling it failed: batch_2: ModuleNotFoundError" in capsys.readouterr().err


def test_profiles_are_refused_where_nothing_is_timed(tmp_path: Path, artifact_folder: Path, mark: str) -> None:
    status, output = Suite(tmp_path, artifact_folder, mark).run("--profile", f"--proofs={tmp_path / 'proofs.json'}")

    assert (pytest.ExitCode.USAGE_ERROR, True) == (status, "so --profile has nothing to work with" in output)
