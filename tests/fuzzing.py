"""Inputs that nobody wrote: how many of them, and how a JSON document or a file is damaged."""

import copy
import json
import os
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MANY = int(os.environ.get("LADDER_FUZZ", "10000"))  # in the slow tests
# Letters of its own: Hypothesis would first make a table of all of Unicode, for seconds.
ALPHABET = string.printable + "\x00\x07\x1b\x7f\x85\xad\u200b\u2028\u202e\u2066\ufeff\ue000\ud800Äß中\uff1d\uff20😀"
ALL = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
EXTREME: list[Any] = [
    0,
    -1,
    1e-300,
    1e18,
    1e19,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    2**31,
    2**63,
    10**40,
    -(10**40),
    True,
    None,
    "",
    [],
    {},
]


def texts(longest: int) -> st.SearchStrategy[str]:
    """Text with control, format and surrogate characters."""
    return st.text(ALPHABET, max_size=longest)


def few_or_many(few: int, many: int = MANY) -> pytest.MarkDecorator:
    """Give a test the `number` of its inputs: few, and many at night."""
    return pytest.mark.parametrize("number", [few, pytest.param(many, marks=pytest.mark.nightly)], ids=["few", "many"])


def inputs(number: int) -> settings:
    """The same inputs every time, where they are few; others each time where they are many."""
    return settings(max_examples=number, derandomize=number < MANY, **ALL)  # type: ignore[arg-type]


def check(test: Callable[[Any], None], strategy: st.SearchStrategy[Any], number: int) -> None:
    """Let `test` take a number of inputs."""
    inputs(number)(given(strategy)(test))()


def values(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Any JSON value, and what Python's own writer makes of numbers that JSON has not."""
    leaves = st.sampled_from(EXTREME) | st.integers() | st.floats() | st.booleans() | texts
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5)


@st.composite
def damaged(draw: st.DrawFn, whole: dict[str, Any], texts: st.SearchStrategy[str]) -> dict[str, Any]:
    """`whole` with up to four of its values at any depth replaced, deleted or repeated."""
    document = copy.deepcopy(whole)
    for _ in range(draw(st.integers(0, 4))):
        node: Any = document
        while True:
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            inner = node[key]
            if not (isinstance(inner, dict | list) and inner and draw(st.integers(0, 5))):
                break
            node = inner
        action = draw(st.sampled_from(["replace", "replace", "delete", "repeat"]))
        if action == "replace":
            node[key] = draw(values(texts))
        elif action == "delete":
            del node[key]
        elif isinstance(node, list):
            node.append(inner)
        else:
            node[draw(texts)] = inner
        if not document:
            break
    return document


@st.composite
def torn(draw: st.DrawFn, contents: st.SearchStrategy[bytes]) -> bytes:
    """A file's bytes, cut off, overwritten or lengthened somewhere, or as they are."""
    content = draw(contents)
    place = draw(st.integers(0, len(content)))
    other = draw(st.binary(max_size=8))
    action = draw(st.sampled_from(["leave", "leave", "cut", "overwrite", "insert"]))
    if action == "cut":
        return content[:place]
    if action == "overwrite":
        return content[:place] + other + content[place + len(other) :]
    return content[:place] + other + content[place:] if action == "insert" else content


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()
