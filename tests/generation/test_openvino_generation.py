"""Generation by OpenVINO: what is told of a compiled model is told of the call that is timed."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fixtures.generation import greedy, openvino_generation
from fixtures.inputs import samples
from fixtures.protocol import ModelSpec
from fixtures.runtimes.openvino import runtime_nodes
from tests.generation.conftest import job_of


@pytest.mark.parametrize(("phase", "tokens"), [("prefill", 20), ("decode", 1)])
def test_kernels_are_those_of_the_timed_call(
    prefill: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, tokens: int
) -> None:
    """OpenVINO chooses them for each shape anew: those of one token were told for prompts of a model of 150 M, and the step failed."""
    pytest.importorskip("openvino")
    model = msgspec.structs.replace(prefill, phase=phase)
    greedy.write(job_of(model), 2, tmp_path)
    job = msgspec.structs.replace(job_of(model, inputs=tmp_path), runtime="openvino_generation", settings=openvino_generation.ALL_IN_FP32)
    (tmp_path / "exported").mkdir()
    openvino_generation.prepare(job, tmp_path / "exported")
    session = openvino_generation.load(job, tmp_path / "exported")
    taken = []

    def nodes(compiled: Any) -> Any:
        taken.append(session._request.get_tensor("input_ids").shape[1])
        return runtime_nodes(compiled)

    monkeypatch.setattr(openvino_generation, "runtime_nodes", nodes)
    seen = session.observe(session.place(samples.batch(job)))

    assert [tokens] == taken
    assert seen.kernels
