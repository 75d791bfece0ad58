"""Counting the work of a reference: a reason of the model's is kept with it, and whatever ends the counting is none."""

from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.bench.launch import WorkerError
from fixtures.bench.rig import _count
from fixtures.protocol import Counted


def failing(message: str, reason: str | None) -> Any:
    """Workers that fail to count."""

    def ask(*_: object) -> None:
        error = WorkerError(message)
        error.reason = reason
        raise error

    return SimpleNamespace(ask=ask)


def test_a_model_that_cannot_be_counted_says_why() -> None:
    """It is measured all the same."""
    assert Counted(reason="an operator of its own") == _count(failing("x: ValueError while counting", "an operator of its own"))


@pytest.mark.parametrize(
    "message", ["x: given up while counting: the run ends", "x: no answer for 900 s while counting", "x: the worker was killed by SIGKILL"]
)
def test_what_ends_the_counting_is_not_kept_as_a_reason(message: str) -> None:
    """A reference lives for weeks, and no claim or figure could rest on its count."""
    with pytest.raises(WorkerError, match=message):
        _count(failing(message, None))
