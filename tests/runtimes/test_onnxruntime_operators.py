"""Which operators ONNX Runtime runs of a file: fused ones, and those that an operator without a kernel is taken apart into."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.protocol import Job, ModelSpec, Observations
from fixtures.runtimes.onnxruntime import _graph_of, _operators, nodes_of_last_run
from fixtures.steps.evidence import Proof, operators_fused
from tests.steps.test_evidence import EXACT

onnx: Any = pytest.importorskip("onnx")
onnxruntime: Any = pytest.importorskip("onnxruntime")

JOB = Job(model=ModelSpec(name="file:create"), runtime="onnxruntime", precision="fp32", batch_size=1, threads=1)


def claimed(folder: Path, level: str, *activations: str, branch: str = "") -> tuple[Any, str]:
    """Return what the claim says of a convolution before each of the activations, run at a level of optimization.

    An operator `branch` may stand at the end, in the branch of an `If` that is taken.
    """
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes, value = [], "x"
    for place, activation in enumerate(activations):
        nodes += [
            helper.make_node("Conv", [value, "w"], [f"c{place}"], pads=[1, 1, 1, 1]),
            helper.make_node(activation, [f"c{place}"], [f"a{place}"]),
        ]
        value = f"a{place}"
    if branch:
        inner = [
            helper.make_graph([helper.make_node(name, [value], ["i"])], name, [], [helper.make_tensor_value_info("i", floats, None)])
            for name in (branch, "Relu")
        ]
        nodes += [
            helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
            helper.make_node("Cast", ["m"], ["is_taken"], to=onnx.TensorProto.BOOL),
            helper.make_node("If", ["is_taken"], ["b"], then_branch=inner[0], else_branch=inner[1]),
        ]
        value = "b"
    shaped = [helper.make_tensor_value_info(name, floats, [1, 8, 8, 8]) for name in ("x", value)]
    weights = helper.make_tensor("w", floats, [8, 8, 3, 3], np.ones(8 * 8 * 9, np.float32))
    graph = helper.make_graph(nodes, "g", shaped[:1], shaped[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.ones((1, 8, 8, 8), np.float32)})
    ran = _operators(nodes_of_last_run(json.loads(Path(session.end_profiling()).read_text())))
    found = _graph_of(model)
    seen = Observations(operators=found.operators, fusible=found.fusible, counters=dict(ran), kernels=[], threads=1, batch_size=1)
    return operators_fused().check(Proof(job=JOB, ranks=[seen], agreement=EXACT))


def test_an_operator_that_is_taken_apart_is_not_fused(tmp_path: Path) -> None:
    """ONNX Runtime has no kernel for HardSwish, as of MobileNetV3: it runs as two operators of other names, at every level."""
    assert (False, "all 4 operators ran as in the file") == claimed(tmp_path, "ORT_DISABLE_ALL", "HardSwish", "Relu")
    assert (True, "1 Relu taken in") == claimed(tmp_path, "ORT_ENABLE_ALL", "HardSwish", "Relu")


def test_where_nothing_can_be_taken_in_there_is_nothing_to_fuse(tmp_path: Path) -> None:
    holds, shown = claimed(tmp_path, "ORT_ENABLE_ALL", "HardSwish")
    assert holds
    assert shown.startswith("nothing to fuse")


def test_an_operator_of_a_branch_is_not_fused(tmp_path: Path) -> None:
    """It stands in the file as well, and so does what the branch that is not taken would run."""
    assert (False, "all 5 operators ran as in the file") == claimed(tmp_path, "ORT_DISABLE_ALL", "Relu", branch="Selu")
    assert (True, "1 Relu taken in") == claimed(tmp_path, "ORT_ENABLE_ALL", "Relu", branch="Selu")
