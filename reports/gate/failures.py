"""A benchmark that a side could not serve: which side, and why."""

import re
from typing import Literal

PROOFS = {"ProofError", "DriftError"}


class SideError(Exception):
    """A side could not serve a benchmark. `kind` is the class of the exception there; a proof that fails is no crash.

    `is_alike` is True where the same claims failed on both sides: neither has the effect.
    """

    def __init__(
        self, side: Literal["base", "head", "both"], kind: str, reason: str, *, is_unsupported: bool = False, is_alike: bool = False
    ) -> None:
        super().__init__(f"{side}: {reason}" if side != "both" else reason)
        self.side = side
        self.kind = kind
        self.reason = reason
        self.is_unsupported = is_unsupported
        self.is_alike = is_alike


def both_failed(base: SideError, head: SideError) -> SideError:
    """Return the failure of both sides as one."""
    if base.reason == head.reason:
        reason = f"both sides: {head.reason}"
    else:
        reason = f"head: {head.reason}; base too: {base.reason}"
    alike = base.kind == head.kind == "ProofError" and _without_figures(base.reason) == _without_figures(head.reason)
    return SideError("both", head.kind, reason, is_unsupported=base.is_unsupported and head.is_unsupported, is_alike=alike)


def _without_figures(reason: str) -> str:
    """What was seen may differ in its figures from side to side; which claims failed may not."""
    return re.sub(r"\d[\d.,]*", "#", reason)
