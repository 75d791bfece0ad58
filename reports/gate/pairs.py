"""Measures the pairs of two sides, artifacts built before, and writes them down.

Where the sides have artifacts of their own, what one build happened to become would count as head's in every pair. So each is built
several times, a suspect oftener, and the pairs take turns over the builds.
"""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fixtures.artifacts.cache import MANIFEST
from fixtures.protocol.side_protocol import Build, Built
from reports.gate.benchmarks import Benchmark
from reports.gate.decision import Rules
from reports.gate.journal import PairJournal
from reports.gate.pair import Pair, Phase
from reports.gate.progress import Progress
from reports.gate.sides import BUILDS, Side, ask_both
from reports.gate.turns import measure_pair
from reports.saved.machines import Difference

BASE, HEAD = 0, 1
DIGITS = 16  # of a digest


@dataclass(frozen=True, slots=True)
class _Build:
    """What a build is called in pairs, and the digest of its files, empty where there are none, or a side does not tell."""

    number: int = 0
    digest: str = ""


class Pairs:
    """Measures pairs of two sides. `again(side, number)` returns another process of a side, with a cache for its builds of that number.

    `taken` are the pairs of a gate that this one goes on with. Builds that the cache has lost since are made anew, and the new ones, other
    than the old to the byte, have numbers of their own. Both sides build at the same time, unless `one_by_one`: then build time is
    judged. `check` is called after each pair, before it is kept, and raises GateError where the sides are no more what they were. `named`
    says by the id of a model what pairs of it are `named`.
    """

    def __init__(
        self,
        base: Side,
        head: Side,
        journal: PairJournal,
        progress: Progress,
        *,
        again: Callable[[Side, int], Side],
        taken: Sequence[Pair] = (),
        rules: Rules,
        one_by_one: bool = False,
        check: Callable[[], object] = lambda: None,
        named: Mapping[str, str] | None = None,
    ) -> None:
        self._sides = {0: (base, head)}  # by the number of the build
        self._journal = journal
        self._progress = progress
        self._again = again
        self._rules = rules
        self._one_by_one = one_by_one
        self._check = check
        self._named = named or {}
        self._builds: dict[Benchmark, int] = {}
        self._taken = Counter((pair.benchmark, pair.phase, pair.base_build, pair.head_build) for pair in taken)
        self._made: dict[tuple[Benchmark, int, int], _Build] = {}  # by benchmark, side and the number of the cache that it lies in
        self._known: defaultdict[tuple[Benchmark, int], dict[int, str]] = defaultdict(dict)  # digests of builds by what they are called
        for pair in taken:
            self._known[pair.benchmark, BASE][pair.base_build] = pair.base_artifact
            self._known[pair.benchmark, BASE if pair.phase == "control" else HEAD][pair.head_build] = pair.head_artifact
        self.changes: dict[Benchmark, tuple[Difference, ...]] = {}
        self._order = random.Random()  # noqa: S311 - an order, not a secret

    def measure(self, benchmark: Benchmark, phase: Phase) -> Pair:
        """Measure one pair, artifacts built before. Raises SideError, and what `check` raises."""
        if benchmark not in self._builds:
            self._builds[benchmark] = self._build(benchmark)
        if phase == "confirm" and self._builds[benchmark] > 1:
            self._build_further(benchmark)
        numbers, of_head = self._next_builds(benchmark, phase), BASE if phase == "control" else HEAD
        base, head = self._sides_of(numbers[0])[BASE], self._sides_of(numbers[1])[of_head]
        pair, changes = measure_pair(base, head, benchmark, phase, self._order)
        self._check()
        builds = self._build_of(benchmark, BASE, numbers[0]), self._build_of(benchmark, of_head, numbers[1])
        pair = replace(
            pair,
            base_build=builds[0].number,
            head_build=builds[1].number,
            base_artifact=builds[0].digest,
            head_artifact=builds[1].digest,
            named=self._named.get(benchmark.model, ""),
        )
        if phase != "control":
            self.changes[benchmark] = changes
        self._taken[benchmark, phase, pair.base_build, pair.head_build] += 1
        try:
            self._journal.add(pair)
        except OSError as error:
            self._progress.note(f"warning: the journal cannot be written ({error.strerror or error}): a killed gate would lose this pair")
        return pair

    def _next_builds(self, benchmark: Benchmark, phase: Phase) -> tuple[int, int]:
        """Return the caches of the builds of base and head that were paired least often, drawn among several.

        A control is base's first and second.

        Among equally rare pairs the one whose builds served least is taken, so that each serves about as often.
        """
        if phase == "control":
            return 0, 1
        numbers = range(self._builds[benchmark])
        taken = {
            (one, other): self._taken[
                benchmark, phase, self._build_of(benchmark, BASE, one).number, self._build_of(benchmark, HEAD, other).number
            ]
            for one in numbers
            for other in numbers
        }

        def so_far(pair: tuple[int, int]) -> tuple[int, int]:
            return taken[pair], sum(count for other, count in taken.items() for side in (0, 1) if other[side] == pair[side])

        least = min(map(so_far, taken))
        return self._order.choice([pair for pair in taken if so_far(pair) == least])

    def _build_of(self, benchmark: Benchmark, side: int, number: int) -> _Build:
        """Return the build of a side in the cache of that number; where one is all that there is, it is called the first."""
        made = self._made.get((benchmark, side, number), _Build(number))
        return made if self._builds[benchmark] > 1 else replace(made, number=0)

    def _build(self, benchmark: Benchmark) -> int:
        """Build both sides' artifacts, and return how many of each are to be paired.

        Sides whose artifact is equal have one. Others are built twice; where each side's builds are equal to the byte, one stands for both,
        but for the time that they took. Raises SideError.
        """
        base, head = self._built(0, benchmark)
        if base is None or head is None or base == head:
            return 1
        self._progress.note(f"{benchmark.id}: the sides have artifacts of their own, so each is built twice")
        are_equal = [base, head] == self._built(1, benchmark)
        return 1 if are_equal and not self._one_by_one else self._rules.screen_builds

    def _build_further(self, benchmark: Benchmark) -> None:
        """Build what a suspect needs beside the builds that it is one for, or that could not tell. Raises SideError."""
        taken = sum(count for (other, phase, *_), count in self._taken.items() if (other, phase) == (benchmark, "confirm"))
        wanted = self._rules.builds_of(1 + taken // self._rules.confirm_pairs)
        numbers = range(self._builds[benchmark], wanted)
        if numbers:
            self._progress.note(f"{benchmark.id}: a suspect, and builds differ, so each side is built {len(numbers)} times more")
        for number in numbers:
            self._built(number, benchmark)
        self._builds[benchmark] = max(wanted, self._builds[benchmark])

    def _sides_of(self, number: int) -> tuple[Side, Side]:
        if number not in self._sides:
            base, head = self._sides[0]
            sides = self._again(base, number), self._again(head, number)
            for side in sides:
                side.begin_survey()
            for side in sides:
                side.end_survey()
            self._sides[number] = sides
        return self._sides[number]

    def _built(self, number: int, benchmark: Benchmark) -> list[str | None]:
        """Let each side fill its cache; return the digest of each side's artifact, None where a side does not tell. Raises SideError."""
        asked = Build(model=benchmark.model, step=benchmark.step)
        built = ask_both(self._sides_of(number), asked, Built, "building", one_by_one=self._one_by_one)
        digests = [each.artifact and _digest(each.artifact) for each in built]
        for side, digest in enumerate(digests):
            self._made[benchmark, side, number] = _Build(self._called(benchmark, side, number, digest or ""), digest or "")
        return digests

    def _called(self, benchmark: Benchmark, side: int, number: int, digest: str) -> int:
        """Return what a build is called in pairs: its number, unless pairs that were taken before had another build of that number."""
        known = self._known[benchmark, side]
        called = number
        if digest and known.get(number, "") not in {"", digest}:
            called = next((other for other, of in known.items() if of == digest), max(len(BUILDS) - 1, *known) + 1)
            self._progress.note(
                f"{benchmark.id}: the artifact cache has lost build {number + 1} of {('base', 'head')[side]} that earlier pairs are of, "
                "so the new one counts as another build"
            )
        known[called] = digest
        return called


def _digest(folder: str) -> str:
    """Return one digest of all of an artifact's files, whose own its manifest has by name."""
    files = json.loads((Path(folder) / MANIFEST).read_text())["files"]
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:DIGITS]
