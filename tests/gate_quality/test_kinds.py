"""Which gate comes next."""

from collections import Counter

import pytest

from benchmarks.gate_quality.kinds import KINDS, next_kind


def order(gates: int) -> list[str]:
    done: Counter[str] = Counter()
    names: list[str] = []
    while len(names) < gates and (kind := next_kind(done, KINDS)) is not None:
        done[kind.name] += 1
        names.append(kind.name)
    return names


def test_study_has_all_its_gates_and_ends() -> None:
    assert {"same": 100} | dict.fromkeys((kind.name for kind in KINDS[1:]), 30) == Counter(order(1000))


@pytest.mark.parametrize("gates", [34, 85, 170])
def test_any_part_has_some_of_each(gates: int) -> None:
    """Where time ends early, every kind has had its share of it."""
    done = Counter(order(gates))
    assert all(abs(done[kind.name] - gates * kind.gates / 340) <= 1.5 for kind in KINDS)


def test_heads_do_the_share_of_work_that_they_are_named_for() -> None:
    assert [0, 1 / 33, 0.05, 0.02, 0, 0.10, -0.05, 0, 0] == pytest.approx([kind.more_work for kind in KINDS])


def test_kinds_that_are_complete_are_left_out() -> None:
    kind = next_kind({kind.name: kind.gates for kind in KINDS} | {"slower_2": 29}, KINDS)
    assert kind is not None
    assert "slower_2" == kind.name
