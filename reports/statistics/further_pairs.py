"""Which step of a run gets the next pair, where a time is given for all of them (`--budget`). Pure; docs/measuring.md states the rule.

A step's turn must not depend on how far apart its pairs happened to be: intervals of steps that get no more pairs once theirs are narrow
hold the truth in 91 of 100 cases in place of 95. So steps are ordered by the width that the run's spread and their rounds let expect.
"""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

from reports.statistics.moderated import Effect, Spread, gain, rounds_variance, spread

Key = TypeVar("Key", bound=Hashable)

MOST_PAIRS = 5  # of a step
BEYOND_DOUBT = 0.999  # of the interval that ends a step's pairs early: at 95 % a step without effect would be looked at until it has one


def next_step(steps: Mapping[Key, Sequence[Effect]], among: Collection[Key], earlier: Sequence[Sequence[Effect]] = ()) -> Key | None:
    """Return the step of `among` that gets the next pair, None where no further one is needed.

    `steps` has the effects of each step's pairs, `earlier` those of earlier runs of the machine, which tell how far pairs spread, too.
    """
    run = spread([*(pairs for pairs in steps.values() if pairs), *earlier])
    wanted = [key for key in among if is_open(steps[key], run)]
    return max(wanted, key=lambda key: expected_width(steps[key], run), default=None)


def is_open(pairs: Sequence[Effect], run: Spread) -> bool:
    """Whether further pairs are wanted: there are few yet, and which way the step goes is in doubt."""
    if not 0 < len(pairs) < MOST_PAIRS:
        return False
    found = gain(pairs, run, confidence=BEYOND_DOUBT)
    return found.low is None or found.high is None or found.low <= 1 <= found.high


def expected_width(pairs: Sequence[Effect], run: Spread) -> float:
    """Return the standard error of a gain's logarithm that its rounds and the run's spread let expect, however its pairs agree."""
    return math.sqrt((run.between + max(rounds_variance(pairs), run.within)) / len(pairs))
