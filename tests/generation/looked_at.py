"""What tests look at in a session that generates: claims that do not hold, observations, and logits."""

import numpy as np

from fixtures.generation.generation_session import GenerationSession
from fixtures.inputs import samples
from fixtures.protocol import Job, Observations
from fixtures.steps.evidence import Claim, Proof
from tests.generation.test_generation import AGREES


def refused(claims: tuple[Claim, ...], job: Job, seen: Observations) -> list[str]:
    """What is observed of each claim that does not hold."""
    found = [claim.check(Proof(job=job, ranks=[seen], agreement=AGREES, allowed_cpus=(0,))) for claim in claims]
    return [observed for holds, observed in found if holds is not True]


def observed(session: GenerationSession, job: Job) -> Observations:
    return session.observe(session.place(samples.batch(job)))


def scores_of(session: GenerationSession, job: Job) -> np.ndarray:
    """The logits after both of the drawn prompts."""
    firsts = range(0, 2, job.batch_size)
    return np.concatenate([session.scores(session.place(samples.batch(job, first))) for first in firsts])
