"""What tests look at in a session that generates: claims that do not hold, observations, and logits."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fixtures.generation import greedy
from fixtures.generation.generation_session import ArrayGenerationSession, GenerationSession
from fixtures.inputs import samples
from fixtures.protocol import Job, ModelSpec, Observations
from fixtures.steps.accuracy import Agreement, compare
from fixtures.steps.evidence import Claim, Proof
from tests.generation.conftest import job_of

AGREES = Agreement(sqnr_db=200.0, centred_cosine=1.0, cosine=1.0, max_abs_error=0.0, relative_error=0.0, samples=2)


class TakesAnew(ArrayGenerationSession):
    """Goes back to nothing for each token, and takes the whole text anew; stands before a runtime's own session."""

    def restore(self, placed: Any) -> None:
        super().restore(placed)
        self._text = placed[0][:, :-1]

    def step(self, tokens: np.ndarray) -> Any:
        self._text = np.concatenate([self._text, tokens], axis=1)
        self.empty_cache()
        return self.take(self._text)


def refused(claims: tuple[Claim, ...], job: Job, seen: Observations) -> list[str]:
    """What is observed of each claim that does not hold."""
    found = [claim.check(Proof(job=job, ranks=[seen], agreement=AGREES)) for claim in claims]
    return [observed for holds, observed in found if holds is not True]


def observed(session: GenerationSession) -> Observations:
    return session.observe(session.place(samples.batch(session._job)))


def scores_of(session: GenerationSession, job: Job) -> np.ndarray:
    """The logits after both of the drawn prompts."""
    firsts = range(0, 2, job.batch_size)
    return np.concatenate([session.scores(session.place(samples.batch(job, first))) for first in firsts])


def proved(runtime: ModuleType, model: ModelSpec, built: Path, drawn: Path, claims: tuple[Claim, ...], least_db: float) -> Observations:
    """What is observed of `built`, of which the claims hold; its logits are near fp32's.

    Each turn decodes the same tokens, also after another prompt was placed.
    """
    greedy.write(job_of(model), 2, drawn)
    job = job_of(model, inputs=drawn)
    session = runtime.load(job, built)
    placed = session.place(samples.batch(job))
    seen: Observations = session.observe(placed)
    found = compare(scores_of(session, job), samples.load_named(drawn / "outputs.npz")["logits"])
    turns = []
    for _ in range(2):
        session.restore(placed)
        turns.append([session.infer(placed).tolist() for _ in range(model.new_tokens)])

    assert found.keeps(least_db), found
    assert [] == refused(claims, job, seen)
    assert turns[0] == turns[1]
    assert seen.generation is not None
    if model.phase == "decode":
        assert seen.generation.greedy == np.concatenate(turns[0], axis=1).tolist()
    return seen
