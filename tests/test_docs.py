"""The documentation says what the code does."""

from pathlib import Path

import pytest

from fixtures.optimizations import Optimization, catalogue

DOCS = Path(__file__).parent.parent / "docs"


def row(step: Optimization) -> str:
    """The row of `step` in docs/steps.md."""
    on = f"`{step.builds_on}`" if step.builds_on else "-"
    claims = "; ".join(claim.text for claim in step.claims)
    tolerance = "as below it" if step.least_sqnr_db is None else f"{step.least_sqnr_db:g} dB"
    return f"| `{step.name}` | {on} | {step.changes} ([source]({step.source})) | {claims} | {tolerance} |"


@pytest.mark.parametrize("step", catalogue().values(), ids=lambda step: step.name)
def test_every_step_is_documented_as_it_is(step: Optimization) -> None:
    assert row(step) in (DOCS / "steps.md").read_text().splitlines()
