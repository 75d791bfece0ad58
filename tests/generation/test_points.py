"""Points of generation as they are written, and their ids."""

import pytest

from fixtures.models import full_name, spec_id
from fixtures.protocol import ModelSpec
from fixtures.steps.grid import DECODE, DEPTHS, GENERATION, PREFILL, PROMPTS, TEXTS, generating, parse_generation
from fixtures.steps.optimizations import GENERATION as FAMILY
from fixtures.steps.optimizations import families


def test_points_are_a_phase_and_tokens_by_texts() -> None:
    assert GENERATION == parse_generation([])
    assert ((PREFILL, 128, 4), (DECODE, 0, 1)) == parse_generation(["prefill-128x4", "decode-0x1", "prefill-128x4"])
    assert (len(PROMPTS) + len(DEPTHS)) * len(TEXTS) == len(parse_generation(["whole"]))


@pytest.mark.parametrize("text", ["", "128x1", "decode", "decode-x1", "decode-5x0", "prefill-0x1", "train-5x1", "decode-1x1x1"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected prefill-TOKENSxBATCH or decode-DEPTHxBATCH, for example decode-512x1, or whole"):
        parse_generation([text])


def test_a_point_has_its_phase_in_its_id() -> None:
    [point] = generating(["transformers:llama-150m"], [(DECODE, 0, 1)])
    spec = ModelSpec(name=full_name(point.name), sequence_length=0, batch_size=1, phase=point.phase, new_tokens=16)

    assert "transformers.llama-150m-decode-0x1" == spec_id(spec)
    assert (1, 17, 1) == (spec.row_tokens, spec.longest, spec.tokens_per_iteration)


def test_a_prompt_counts_for_its_tokens() -> None:
    spec = ModelSpec(name="transformers:llama-150m", sequence_length=128, batch_size=4, phase="prefill", new_tokens=16)

    assert (128, 144, 128) == (spec.row_tokens, spec.longest, spec.tokens_per_iteration)


def test_texts_that_are_generated_at_once_are_the_batch() -> None:
    from fixtures.steps.optimizations import catalogue

    assert {4} == {catalogue(4)[step].batch_size for step in families(4)[FAMILY] if catalogue(4)[step].builds_on is None}
