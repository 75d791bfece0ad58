"""How the turns of a pair are taken, by sides that stand in for processes and say how long an iteration took them."""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from fixtures.protocol.side_protocol import Opened, Taken
from reports.gate import turns
from reports.gate.turns import FEWEST_ROUNDS, LEAST_ROUNDS, LONG_S, LONGEST_S, MOST_ROUNDS, SETTLING_ROUNDS, TURNS_S

OPENED = Opened(iterations=2, untimed=1, samples_per_iteration=8, evidence={}, findings=[], cpu_s=0.0)


@dataclass
class StandIn:
    iteration_s: float
    untimed: list[int] = field(default_factory=list)
    restless: bool = False

    def stands_still(self) -> bool:
        return not self.restless

    def turn(self, iterations: int, untimed: int) -> Taken:
        self.untimed.append(untimed)
        return Taken(duration_s=iterations * self.iteration_s, still=True, cpu_s=0.0)


def taken(base_s: float, head_s: float) -> tuple[StandIn, StandIn, int]:
    """Take the turns of a pair; return both sides and how many rounds count."""
    sides: Any = StandIn(base_s), StandIn(head_s)
    found = turns._take_turns(sides, (OPENED, OPENED), 2, 1, random.Random(1))
    return *sides, len(found.base_s)


def test_every_turn_of_short_iterations_is_warmed_up_for() -> None:
    base, head, rounds = taken(0.01, 0.01)
    assert rounds >= LEAST_ROUNDS
    assert [1] * (SETTLING_ROUNDS + rounds) == base.untimed == head.untimed


def test_iterations_that_are_long_on_either_side_are_not_warmed_up_for() -> None:
    """Both sides do alike, from the first round on that settled."""
    base, head, rounds = taken(0.9 * LONG_S, 1.1 * LONG_S)
    assert [1] + [0] * rounds == base.untimed == head.untimed


def test_the_gate_sees_for_itself_whether_a_side_stands_still() -> None:
    """A side of an older checkout answered that it did while its threads still spun, which made the other side 10 % slower.

    Each turn counts once.
    """
    sides: Any = StandIn(0.1, restless=True), StandIn(0.1)
    found = turns._take_turns(sides, (OPENED, OPENED), 2, 1, random.Random(1))
    assert len(sides[0].untimed) == found.restless


@pytest.mark.parametrize(
    ("round_s", "rounds"),
    [(0.001, MOST_ROUNDS), (TURNS_S / 20, 21), (1.0, LEAST_ROUNDS), (LONGEST_S / 6, 7), (10.0, FEWEST_ROUNDS)],
)
def test_long_rounds_are_fewer(round_s: float, rounds: int) -> None:
    assert next(number for number in range(100) if not turns._goes_on(number, number * round_s)) == rounds
