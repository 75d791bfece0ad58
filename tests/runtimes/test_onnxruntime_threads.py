"""Which threads of ONNX Runtime's pool work: those that wait spin, and use CPU time without computing anything."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.machine.thread_work import ThreadWork
from fixtures.runtimes import WARM_RUNS
from fixtures.runtimes.onnxruntime import COLD_RUNS, SPINNING, product_in, product_model, shared_work
from tests.conftest import skip_unless_met

onnx: Any = pytest.importorskip("onnx")
onnxruntime: Any = pytest.importorskip("onnxruntime")

SHAPE = [1, 64, 56, 56]


def ran(folder: Path, operator: str, threads: int) -> ThreadWork | None:
    """Return the threads' work over a file of one operator: a convolution, which they share, or a running sum, which one computes."""
    helper, types = onnx.helper, onnx.TensorProto
    constant = {
        "Conv": helper.make_tensor("w", types.FLOAT, [64, 64, 3, 3], np.ones(64 * 64 * 9, np.float32)),
        "CumSum": helper.make_tensor("w", types.INT64, [], [3]),
    }[operator]
    node = helper.make_node(operator, ["x", "w"], ["y"], **({"pads": [1, 1, 1, 1]} if operator == "Conv" else {}))
    shaped = [helper.make_tensor_value_info(name, types.FLOAT, SHAPE) for name in "xy"]
    graph = helper.make_graph([node], "g", shaped[:1], shaped[1:], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_profiling, options.profile_file_prefix = True, str(folder / f"{operator}-{threads}")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for _ in range(COLD_RUNS + WARM_RUNS):
        session.run(None, {"x": np.ones(SHAPE, np.float32)})
    return shared_work(json.loads(Path(session.end_profiling()).read_text()), WARM_RUNS)


def test_a_thread_that_only_spins_has_not_worked(tmp_path: Path) -> None:
    """Its CPU time is that of a whole thread: what counts is whether it ran tasks of the operators."""
    skip_unless_met("workers_pinned")
    shared, alone = ran(tmp_path, "Conv", 2), ran(tmp_path, "CumSum", 2)

    assert shared is not None
    assert alone is not None
    assert (True, 2) == (shared.judge(2)[0], shared.working)
    assert (False, 1) == (alone.judge(2)[0], alone.working)
    assert "1 of 2 threads worked" in alone.judge(2)[1]


@pytest.mark.parametrize("entry", [None, "0", "1"], ids=["never set", "off", "on"])
def test_a_product_leaves_the_options_of_its_session_alone(entry: str | None) -> None:
    """They are one object, by which a twin is made later that is profiled: it has to spin as the timed session does."""
    options = onnxruntime.SessionOptions()
    if entry is not None:
        options.add_session_config_entry(SPINNING, entry)
    session = onnxruntime.InferenceSession(product_model(4), options, providers=["CPUExecutionProvider"])
    kept = session.get_session_options()
    kept.enable_profiling = True
    for spins in (False, True, False):
        product_in(kept, 8, spins=spins)()

    assert kept is session.get_session_options()
    assert (entry or "1", True) == (kept.get_session_config_entry(SPINNING), kept.enable_profiling)


def test_a_pool_of_one_thread_has_nobody_who_spins(tmp_path: Path) -> None:
    assert ran(tmp_path, "CumSum", 1) is None


def event(name: str, at: int, took: int, **tasks: int) -> dict[str, Any]:
    """An event of ONNX Runtime's profiler: of an operator with the tasks that each further thread has run so far."""
    threads = {thread: {"num_run": count, "core": 0} for thread, count in tasks.items()}
    return {"name": name, "ts": at, "dur": took, "args": {"thread_scheduling_stats": {"main_thread": {}, "sub_threads": threads}}}


def test_tasks_count_from_operator_to_operator() -> None:
    """Three operators of 1, 2 and 3 us in the warm run: one thread ran tasks of the last two, another of none, whatever it ran before."""
    cold = [event("model_run", 0, 9), event("a_kernel_time", 1, 5, one=4, other=7)]
    warm = [
        event("model_run", 100, 9),
        event("a_kernel_time", 101, 1, one=4, other=7),
        event("b_kernel_time", 103, 2, one=5, other=7),
        event("c_kernel_time", 106, 3, one=6, other=7),
    ]
    found = shared_work([*cold, *warm], 1)

    assert found is not None
    assert [6e-6, 5e-6] == pytest.approx(found.cpu_s)
    assert (2, False) == (found.working, found.judge(3)[0])
    assert 18e-6 == pytest.approx(found.process_cpu_s + (found.idle_s or 0.0))


def test_operators_that_take_no_time_tell_nothing() -> None:
    """A model of a few numbers: the profiler tells whole microseconds."""
    assert shared_work([event("model_run", 0, 9), event("a_kernel_time", 1, 0, one=1)], 1) is None


def test_a_version_that_does_not_count_tasks_tells_nothing() -> None:
    events = [event("model_run", 0, 9), {"name": "a_kernel_time", "ts": 1, "dur": 5, "args": {"thread_scheduling_stats": ""}}]
    assert shared_work(events, 1) is None
