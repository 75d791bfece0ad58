"""The kinds of gates in the study, and which comes next. Data, and one pure function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BLOCKS = 20  # of base's model, where no other number is named
STEP = "openvino_fp32"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Gates of one kind: how many blocks base and head compute, by which step, whether a neighbour disturbs, and how many are wanted.

    Where head has other weights, which cost no time, both sides have builds of their own in every gate, made anew for it.
    """

    name: str
    gates: int
    base_blocks: int = BLOCKS
    head_blocks: int = BLOCKS
    step: str = STEP
    has_other_weights: bool = False
    is_noisy: bool = False
    budget: str = "20m"

    @property
    def more_work(self) -> float:
        """Head's arithmetic against base's, as a ratio minus 1."""
        return self.head_blocks / self.base_blocks - 1


# As few blocks as make the share of work: each has to be compiled, twice for each side of a pair.
# In order of value: where time ends early, the first of equals has one gate more.
KINDS = (
    Kind(name="same", gates=100),
    Kind(name="slower_3", gates=30, base_blocks=33, head_blocks=34),
    Kind(name="slower_5", gates=30, head_blocks=21),
    Kind(name="slower_2", gates=30, base_blocks=50, head_blocks=51),
    Kind(name="same_noisy", gates=30, is_noisy=True, budget="3m"),
    Kind(name="slower_10", gates=30, head_blocks=22),
    Kind(name="faster_5", gates=30, head_blocks=19),
    Kind(name="same_inductor", gates=30, base_blocks=4, head_blocks=4, step="aot_inductor", has_other_weights=True),
    Kind(name="same_pt2e", gates=30, base_blocks=4, head_blocks=4, step="pt2e_int8", has_other_weights=True),
)


def branch(blocks: int, *, other_weights: bool = False) -> str:
    """Return the branch whose model has this many blocks, and weights of its own where asked."""
    return f"blocks-{blocks}{'-other-weights' if other_weights else ''}"


def next_kind(done: Mapping[str, int], kinds: Sequence[Kind]) -> Kind | None:
    """Return the kind that is furthest behind, so that any part of the study has some of each; None where all are done."""
    left = [kind for kind in kinds if done.get(kind.name, 0) < kind.gates]
    return min(left, key=lambda kind: done.get(kind.name, 0) / kind.gates, default=None)
