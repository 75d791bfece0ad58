"""What changed in one step between two runs besides its speed: recipe, environment, evidence, precisions, kernels. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from reports.saved.machines import Difference
from reports.saved.record import KernelTime, Measurement, SavedClaim
from reports.text.figures import share_short

ABSENT = "-"
# Shares come from one profiled inference, so they wander: a kernel is told when it comes or goes, or most of the time moves.
TELLING_SHARE = 0.05
MOVED_KERNEL_SHARE = 0.3
MOVED_PRECISION_SHARE = 0.1
MOVED_NUMBER = 0.25
HEAVY_SHARE = 0.1

_RECIPE = (
    "runtime",
    "precision",
    "batch_size",
    "input_shape",
    "threads",
    "workers",
    "samples_per_round",
    "weights",
    "weights_state",
    "weights_found",
    "left_out",
    "findings",
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def changes(base: Measurement, head: Measurement) -> tuple[Difference, ...]:
    """Return what changed, the likeliest causes of another speed first."""
    return (
        *_kernel_changes(base.kernels, head.kernels),
        *_precision_changes(base.precision_share, head.precision_share),
        *_recipe_changes(base, head),
        *_setting_changes(base, head),
        *_mapping_changes("environment", base.environment, head.environment),
        *_mapping_changes("setting", base.settings, head.settings),
        *_mapping_changes("inherited variable", base.inherited_environment, head.inherited_environment),
        *_evidence_changes(base.evidence, head.evidence),
    )


def _kernel_changes(base: Sequence[KernelTime], head: Sequence[KernelTime]) -> Iterator[Difference]:
    for operation in dict.fromkeys(kernel.operation for kernel in (*base, *head)):
        if max(_share_of(operation, base), _share_of(operation, head)) < HEAVY_SHARE:
            continue
        before, after = _implementations(operation, base), _implementations(operation, head)
        if _came_or_went(before, after) or _moved(before, after, MOVED_KERNEL_SHARE):
            yield Difference(f"{operation} kernels", _main_implementations(before), _main_implementations(after))


def _share_of(operation: str, kernels: Sequence[KernelTime]) -> float:
    total_s = sum(kernel.time_s for kernel in kernels)
    return sum(kernel.time_s for kernel in kernels if kernel.operation == operation) / total_s if total_s > 0 else 0.0


def _implementations(operation: str, kernels: Sequence[KernelTime]) -> dict[str, float]:
    """Return the share of an operation's time by implementation and precision."""
    mine = [kernel for kernel in kernels if kernel.operation == operation]
    total_s = sum(kernel.time_s for kernel in mine)
    shares: dict[str, float] = {}
    for kernel in mine:
        name = f"{kernel.implementation} {kernel.precision}"
        shares[name] = shares.get(name, 0.0) + (kernel.time_s / total_s if total_s > 0 else 0.0)
    return shares


def _main_implementations(shares: Mapping[str, float]) -> str:
    """Name the implementations that take most of the time, with their shares unless one takes nearly all."""
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    if not ranked:
        return "none"
    if ranked[0][1] >= 1 - TELLING_SHARE:
        return ranked[0][0]
    return ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in ranked[:3] if share >= TELLING_SHARE)


def _came_or_went(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    shares = {**before, **after}
    return any((name in before) != (name in after) and share >= TELLING_SHARE for name, share in shares.items())


def _moved(before: Mapping[str, float], after: Mapping[str, float], most: float) -> bool:
    return any(abs(before.get(name, 0.0) - after.get(name, 0.0)) > most for name in {**before, **after})


def _precision_changes(base: Mapping[str, float], head: Mapping[str, float]) -> Iterator[Difference]:
    if _moved(base, head, MOVED_PRECISION_SHARE):
        yield Difference("of reported kernel time", share_short(base), share_short(head))


def recipes_differ(base: Measurement, head: Measurement) -> bool:
    """Whether the steps in force differ, so that their speeds are those of two recipes; False where a record does not tell them."""
    return bool(base.recipe and head.recipe) and set(base.recipe) != set(head.recipe)


def _recipe_changes(base: Measurement, head: Measurement) -> Iterator[Difference]:
    if recipes_differ(base, head):
        yield Difference("recipe", _beside(base, head), _beside(head, base))


def _beside(own: Measurement, other: Measurement) -> str:
    """Say what of two recipes one has and one leaves out: `with tcmalloc, without bf16_autocast (44 % slower than channels_last)`."""
    ours = [f"with {step}" for step in own.recipe if step not in other.recipe]
    theirs = [f"without {step}{_why(own, step)}" for step in other.recipe if step not in own.recipe]
    return ", ".join((*ours, *theirs))


def _why(own: Measurement, step: str) -> str:
    return f" ({why})" if (why := own.left_out_reasons.get(step)) else ""


def _setting_changes(base: Measurement, head: Measurement) -> Iterator[Difference]:
    differ = recipes_differ(base, head)
    for name in _RECIPE:
        before, after = getattr(base, name), getattr(head, name)
        told = name != "weights_state" or None not in (before, after)  # older records do not have it
        told &= name != "left_out" or not differ  # the recipes tell it
        if before != after and told:
            yield Difference(name, _text(before), _text(after))
    before_over, after_over = (m.gain.over if m.gain else ABSENT for m in (base, head))
    if before_over != after_over:
        yield Difference("predecessor", before_over, after_over)


def _mapping_changes(prefix: str, base: Mapping[str, object], head: Mapping[str, object]) -> Iterator[Difference]:
    for name in {**base, **head}:
        before, after = base.get(name), head.get(name)
        if before != after:
            yield Difference(f"{prefix} {name}", _text(before), _text(after))


def _evidence_changes(base: Iterable[SavedClaim], head: Iterable[SavedClaim]) -> Iterator[Difference]:
    before, after = ({claim.claim: claim for claim in claims} for claims in (base, head))
    for text in {**before, **after}:
        old, new = before.get(text), after.get(text)
        if old is None or new is None or old.holds != new.holds or differs(str(old.observed), str(new.observed)):
            yield Difference(f"evidence ({text})", _observed(old), _observed(new))


def differs(old: str, new: str) -> bool:
    """Whether two observations tell something different: other words, or a number that moved by more than a quarter."""
    if _NUMBER.sub("#", old) != _NUMBER.sub("#", new):
        return True
    numbers = zip(map(float, _NUMBER.findall(old)), map(float, _NUMBER.findall(new)), strict=True)
    return any(abs(a - b) > MOVED_NUMBER * max(abs(a), abs(b)) for a, b in numbers)


def _observed(claim: SavedClaim | None) -> str:
    if claim is None:
        return "not claimed"
    return f"{claim.observed}" if claim.holds else f"does not hold: {claim.observed}"


def _text(value: object) -> str:
    if value is None:
        return "unset"
    return (", ".join(map(str, value)) or ABSENT) if isinstance(value, tuple) else str(value)
