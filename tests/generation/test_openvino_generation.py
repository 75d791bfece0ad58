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


def session_of(model: ModelSpec, folder: Path) -> tuple[openvino_generation.OpenVinoGenerationSession, Any]:
    """The model in fp32, and the first of its drawn prompts."""
    pytest.importorskip("openvino")
    greedy.write(job_of(model), 2, folder)
    job = msgspec.structs.replace(job_of(model, inputs=folder), runtime="openvino_generation", settings=openvino_generation.ALL_IN_FP32)
    (folder / "exported").mkdir()
    openvino_generation.prepare(job, folder / "exported")
    session = openvino_generation.load(job, folder / "exported")
    return session, session.place(samples.batch(job))


@pytest.mark.parametrize(("phase", "tokens"), [("prefill", 20), ("decode", 1)])
def test_kernels_are_those_of_the_timed_call(
    prefill: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, tokens: int
) -> None:
    """OpenVINO chooses them for each shape anew: those of one token were told for prompts of a model of 150 M, and the step failed."""
    session, placed = session_of(msgspec.structs.replace(prefill, phase=phase), tmp_path)
    taken = []

    def nodes(compiled: Any) -> Any:
        taken.append(session._request.get_tensor("input_ids").shape[1])
        return runtime_nodes(compiled)

    monkeypatch.setattr(openvino_generation, "runtime_nodes", nodes)
    seen = session.observe(placed)

    assert [tokens] == taken
    assert seen.kernels


def test_a_changed_cache_changes_the_logits_by_as_much_each_time(prefill: ModelSpec, tmp_path: Path) -> None:
    """Values that were set without the keys had no room for the next token: by 0 to 1.8, and sometimes by no number."""
    session, placed = session_of(prefill, tmp_path)
    scored = session.scores(placed)

    assert 1 == len({session._change(placed, scored) for _ in range(20)})
