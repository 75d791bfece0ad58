"""Which builds serve a pair: the sides' one artifact, or several builds of each in turns."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fixtures.artifacts.cache import MANIFEST
from fixtures.protocol.side_protocol import Built
from reports.gate import pairs
from reports.gate.benchmarks import GateError
from reports.gate.decision import Rules
from reports.gate.failures import SideError
from reports.gate.pair import Pair, Phase
from reports.gate.pairs import Pairs
from reports.gate.sides import BUILDS
from tests.gate.pairs import SOME, pair


@dataclass
class StandIn:
    """Stands for a side: `content` is what it builds, None where it does not tell, "" where the step has no artifact."""

    name: str
    content: str | None
    folder: Path
    builds: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)  # shared: of what all sides begin and end

    def begin_survey(self) -> None:
        """Tell nothing."""

    def end_survey(self) -> None:
        """Tell nothing."""

    def tell(self, _build: object) -> None:
        self.order.append(f"{self.name} begins")
        self.builds.append(self.name)

    def hear(self, *_: object) -> Built:
        self.order.append(f"{self.name} ends")
        if not self.content:
            return Built(artifact=self.content)
        made = self.folder / self.name
        made.mkdir(parents=True, exist_ok=True)
        (made / MANIFEST).write_text(json.dumps({"files": {"model.bin": self.content}}))
        return Built(artifact=str(made))

    def shut(self) -> None:
        """Have no worker to end."""


@dataclass
class Notes:
    told: list[str] = field(default_factory=list)

    def add(self, pair: Pair) -> None:
        """Keep nothing."""

    def note(self, text: str) -> None:
        self.told.append(text)


@dataclass
class Kept:
    pairs: list[Pair] = field(default_factory=list)

    def add(self, pair: Pair) -> None:
        self.pairs.append(pair)


@dataclass
class Bench:
    """Pairs of two stand-ins, and who served in each."""

    pairs: Any
    served: list[tuple[str, str]]
    seconds: list[StandIn]
    order: list[str]

    def measure(self, count: int, phase: Phase = "screen") -> list[Pair]:
        return [self.pairs.measure(SOME, phase) for _ in range(count)]


def bench(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    base: str | None,
    head: str | None,
    *,
    second: str = "another",
    taken: tuple[Pair, ...] = (),
    one_by_one: bool = False,
    check: Callable[[], None] = lambda: None,
    keeper: "Kept | None" = None,
) -> Bench:
    """Return pairs of sides that build `base` and `head`, and something else the second time: with `second` added."""
    served: list[tuple[str, str]] = []
    order: list[str] = []
    made: list[StandIn] = []

    def measure_pair(one: StandIn, other: StandIn, _benchmark: object, phase: Phase, _order: random.Random) -> tuple[Pair, tuple[()]]:
        served.append((one.name, other.name))
        return pair(0.0, phase), ()

    def again(side: StandIn, number: int) -> StandIn:
        made.append(StandIn(f"{side.name}-{number + 1}", side.content and side.content + number * second, folder, order=order))
        return made[-1]

    monkeypatch.setattr(pairs, "measure_pair", measure_pair)
    one: Any = StandIn("base", base, folder, order=order)
    other: Any = StandIn("head", head, folder, order=order)
    notes: Any = Notes()
    another: Any = again
    kept: Any = notes if keeper is None else keeper
    measured = Pairs(one, other, kept, notes, again=another, taken=taken, rules=Rules(), one_by_one=one_by_one, check=check)
    return Bench(measured, served, made, order)


def test_sides_that_share_an_artifact_have_one_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Equal to the byte, or none at all, as of a step that compiles in every process."""
    for content in ("same", ""):
        made = bench(monkeypatch, tmp_path, content, content)
        made.measure(3)
        assert [("base", "head")] * 3 == made.served
        assert [] == made.seconds


def test_pair_of_code_that_was_edited_meanwhile_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who starts the gate again with its --out after taking the edit back must not be judged by it."""
    kept, checks = Kept(), iter([None, GateError("head: edited")])

    def check() -> None:
        if (error := next(checks)) is not None:
            raise error

    made = bench(monkeypatch, tmp_path, "same", "same", check=check, keeper=kept)
    with pytest.raises(GateError, match="edited"):
        made.measure(2)
    assert 2 == len(made.served)
    assert 1 == len(kept.pairs)


def test_artifacts_of_their_own_are_built_twice_and_take_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = bench(monkeypatch, tmp_path, "old", "new")
    found = made.measure(8)

    assert {(base, head): 2 for base in ("base", "base-2") for head in ("head", "head-2")} == Counter(made.served)
    assert [(base == "base-2", head == "head-2") for base, head in made.served] == [(bool(p.base_build), bool(p.head_build)) for p in found]
    assert [["base-2"], ["head-2"]] == [each.builds for each in made.seconds]


def test_sides_build_at_the_same_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = bench(monkeypatch, tmp_path, "old", "new", second="")
    made.measure(1)
    first = ["base begins", "head begins", "base ends", "head ends"]
    assert [*first, "base-2 begins", "head-2 begins", "base-2 ends", "head-2 ends"] == made.order


def test_builds_whose_time_is_judged_have_none_beside_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = bench(monkeypatch, tmp_path, "old", "new", second="", one_by_one=True)
    made.measure(1)
    assert ["base begins", "base ends", "head begins", "head ends"] == made.order[:4]


def test_equal_builds_serve_both_where_their_time_is_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One build took as long as it took: without a second one nobody knows how far they differ."""
    made = bench(monkeypatch, tmp_path, "old", "new", second="", one_by_one=True)
    made.measure(4)
    assert {(base, head): 1 for base in ("base", "base-2") for head in ("head", "head-2")} == Counter(made.served)


def test_control_is_base_against_its_second_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = bench(monkeypatch, tmp_path, "old", "new")
    [found] = made.measure(1, "control")

    assert [("base", "base-2")] == made.served
    assert ("control", 0, 1) == (found.phase, found.base_build, found.head_build)


def test_suspect_is_confirmed_by_four_builds_of_each_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each serves about as often, and no two meet twice while others have not met."""
    made = bench(monkeypatch, tmp_path, "old", "new")
    made.measure(6)
    made.measure(6, "control")
    assert 2 == len(made.seconds)
    found = made.measure(11, "confirm")

    assert [["base-2"], ["head-2"], ["base-3"], ["head-3"], ["base-4"], ["head-4"]] == [each.builds for each in made.seconds]
    assert 11 == len({(each.base_build, each.head_build) for each in found})
    for served in (Counter(each.base_build for each in found), Counter(each.head_build for each in found)):
        assert {0, 1, 2, 3} == set(served)
        assert set(served.values()) <= {2, 3, 4}


def test_gate_that_looks_again_brings_further_builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two more of each side for the eleven pairs of the second look, which serve most of them."""
    screen = tuple(pair(base_build=place % 2, head_build=place // 2 % 2) for place in range(6))
    looked = tuple(pair(0.0, "confirm", base_build=place % 4, head_build=(place + place // 4) % 4) for place in range(11))
    made = bench(monkeypatch, tmp_path, "old", "new", taken=screen + looked)
    found = made.measure(11, "confirm")

    assert [f"base-{number}" for number in range(2, 7)] == [name for each in made.seconds for name in each.builds if "base" in name]
    for served in (Counter(each.base_build for each in found), Counter(each.head_build for each in found)):
        assert {4, 5} <= set(served)
        assert served[4] + served[5] >= 6


def test_every_build_has_a_folder_of_its_own() -> None:
    rules = Rules()
    assert rules.screen_builds <= rules.confirm_builds == rules.builds_of(1)
    assert rules.builds_of(len(rules.looks)) == len(set(BUILDS))


def test_builds_that_come_out_equal_are_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An exporter that writes the same bytes again: no build differs from another, so there is nothing to sample."""
    made = bench(monkeypatch, tmp_path, "old", "new", second="")
    found = [*made.measure(2), *made.measure(2, "confirm")]

    assert [("base", "head")] * 4 == made.served
    assert {(0, 0)} == {(each.base_build, each.head_build) for each in found}


def test_gate_that_goes_on_pairs_the_builds_that_it_had_least(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken = tuple(pair(base_build=base, head_build=head) for base, head in ((0, 0), (1, 1), (0, 1)))
    made = bench(monkeypatch, tmp_path, "old", "new", taken=taken)
    made.measure(1)

    assert [("base-2", "head")] == made.served


def test_side_of_an_older_suite_has_one_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It does not tell where its artifact is."""
    made = bench(monkeypatch, tmp_path, None, "new")
    made.measure(2)
    assert [] == made.seconds


def test_side_that_cannot_build_fails_the_benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = bench(monkeypatch, tmp_path, "old", "new")

    def hear(_self: StandIn, *_: object) -> Built:
        raise SideError("base", "WorkerError", "no space left")

    monkeypatch.setattr(StandIn, "hear", hear)
    with pytest.raises(SideError, match="no space left"):
        made.measure(1)


def test_a_build_that_the_cache_has_lost_counts_as_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pairs of the old one stay pairs of the old one, and the control of a new one is no control of it."""
    first = bench(monkeypatch, tmp_path / "first", "old", "new")
    taken = (*first.measure(6), *first.measure(6, "control"))
    kept = bench(monkeypatch, tmp_path / "kept", "old", "new", taken=taken)
    lost = bench(monkeypatch, tmp_path / "lost", "old again", "new", taken=taken, second="another again")
    twice = bench(monkeypatch, tmp_path / "twice", "old again", "new", taken=(*taken, *lost.measure(4)), second="another again")

    assert {0, 1} == {each.base_build for each in kept.measure(4)}
    found = [*lost.measure(4), *twice.measure(4)]
    assert {8, 9} == {each.base_build for each in found}, "neither the first nor the second build of base is there any more"
    assert {0, 8} == {each.head_build for each in found}, "head's first one was kept"
    assert [(8, 9)] == [(each.base_build, each.head_build) for each in lost.measure(1, "control")]


def test_one_build_of_each_side_stays_the_first_when_it_is_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both sides are served by it, or its builds do not differ, so no build counts for or against head."""
    taken = tuple(bench(monkeypatch, tmp_path, "same", "same").measure(2))
    found = bench(monkeypatch, tmp_path, "same again", "same again", taken=taken).measure(2)

    assert {(0, 0)} == {(each.base_build, each.head_build) for each in found}
    assert {each.base_artifact for each in taken}.isdisjoint(each.base_artifact for each in found)
