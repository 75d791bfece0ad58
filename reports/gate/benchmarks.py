"""Which benchmarks a gate is about: the named subset, `-k`, and what each side offers. Pure."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from reports.text.refusal import Refusal

if TYPE_CHECKING:
    from fixtures.protocol.side_protocol import Offer

MODELS = ("resnet50", "vit")
OTHER_MODELS = MODELS[0]  # whose steps any other model has


class GateError(Refusal):
    """The gate cannot be held; the message says why and what to do."""


class Benchmark(NamedTuple):
    """One step on one model."""

    model: str
    step: str

    @property
    def id(self) -> str:
        """The id in node ids, which `-k` is matched against."""
        return f"{self.model}-{self.step}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The benchmarks that are compared, in ladder order, and those that cannot be, each with the reason."""

    compared: tuple[Benchmark, ...]
    missing: Mapping[Benchmark, str]
    new: Mapping[Benchmark, str]
    skipped: Mapping[Benchmark, str]
    notes: tuple[str, ...]


Offers = Mapping[Benchmark, "Offer"]  # what one side says of each benchmark


def select(base: Offers, head: Offers, expression: str | None, steps: Sequence[str] = (), only: Set[Benchmark] | None = None) -> Selection:
    """Match what both sides offer. Without `expression` the subset is compared, or `steps`, and all else only checked to be there.

    With `only` nothing else is looked at. Raises GateError for an expression that pytest would refuse, for a step that neither side has,
    and where nothing matches.
    """
    matches = _matcher(expression)
    if unknown := [step for step in steps if step not in {benchmark.step for benchmark in (*base, *head)}]:
        raise GateError(f"steps: neither side has a step {unknown[0]!r}; name one that `pytest benchmarks/ --collect-only -q` lists")
    if matches is None and steps:
        named = frozenset(steps)
        base, head = ({each: offer for each, offer in offers.items() if each.step in named} for offers in (base, head))
    if only is not None:
        base, head = ({each: offer for each, offer in offers.items() if each in only} for offers in (base, head))
        matches = None
    is_named = expression is not None or bool(steps) or only is not None
    every = [benchmark for benchmark in dict.fromkeys([*head, *base]) if matches is None or matches(benchmark.id)]
    if not every:
        raise GateError(f"-k {expression!r} matches no benchmark of either side; nothing was measured" if expression else "no benchmarks")
    wanted = {benchmark for benchmark in every if is_named or benchmark.step in subset(benchmark.model)}
    reasons = {benchmark: (_reason(base, benchmark), _reason(head, benchmark)) for benchmark in every}
    compared = tuple(b for b, (of_base, of_head) in reasons.items() if of_base is None and of_head is None and b in wanted)
    return Selection(
        compared=compared,
        missing={b: of_head for b, (of_base, of_head) in reasons.items() if of_base is None and of_head is not None},
        new={b: of_base for b, (of_base, of_head) in reasons.items() if of_base is not None and of_head is None},
        skipped={b: of_head for b, (of_base, of_head) in reasons.items() if of_base is not None and of_head is not None and b in wanted},
        notes=tuple(_recipe_changes(base, head, compared)),
    )


def _reason(offers: Offers, benchmark: Benchmark) -> str | None:
    """Return why a side cannot measure a benchmark, or None where it can."""
    offered = offers.get(benchmark)
    if offered is None:
        return "not in its catalogue"
    return f"skipped there: {offered.skipped}" if offered.skipped else None


def subset(model: str) -> tuple[str, ...]:
    """Return the steps that a gate without expression measures of a model."""
    from fixtures.steps.optimizations import catalogue

    return tuple(name for name, step in catalogue().items() if (model if model in MODELS else OTHER_MODELS) in step.in_gate)


def _recipe_changes(base: Offers, head: Offers, compared: Sequence[Benchmark]) -> list[str]:
    return [
        f"{b.id}: the recipe changed from {' + '.join(base[b].recipe)} to {' + '.join(head[b].recipe)}"
        for b in compared
        if base[b].recipe != head[b].recipe
    ]


def _matcher(expression: str | None) -> Callable[[str], bool] | None:
    if expression is None:
        return None
    # pytest's own parser, so that an expression means here what it means there; it has no public name.
    from _pytest.mark.expression import Expression

    try:
        compiled = Expression.compile(expression)
    except SyntaxError as error:
        raise GateError(f"-k {expression!r}: {error.msg}; expected what pytest takes, such as 'resnet50 and not int8'") from error
    return lambda identity: compiled.evaluate(lambda name, /, **_: name.lower() in identity.lower())
