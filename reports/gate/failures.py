"""A benchmark that a side could not serve: which side, and why."""

from typing import Literal

PROOFS = {"ProofError", "DriftError"}


class SideError(Exception):
    """A side could not serve a benchmark. `kind` is the class of the exception there; a proof that fails is no crash."""

    def __init__(self, side: Literal["base", "head", "both"], kind: str, reason: str, *, is_unsupported: bool = False) -> None:
        super().__init__(f"{side}: {reason}" if side != "both" else reason)
        self.side = side
        self.kind = kind
        self.reason = reason
        self.is_unsupported = is_unsupported

    @property
    def is_proof(self) -> bool:
        return self.kind in PROOFS


def both_failed(base: SideError, head: SideError) -> SideError:
    """Return the failure of both sides as one."""
    if base.reason == head.reason:
        reason = f"both sides: {head.reason}"
    else:
        reason = f"head: {head.reason}; base too: {base.reason}"
    return SideError("both", head.kind, reason, is_unsupported=base.is_unsupported and head.is_unsupported)
