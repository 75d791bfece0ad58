"""Reasons that steps end with: whole sentences, never empty, never cut in the middle."""

import re

import pytest

from fixtures.protocol.reasons import first_line, full_text, reason_of, whole_sentences
from fixtures.steps.accuracy import DriftError

ADVICE = "operator torchvision::nms does not exist. Uninstall torchvision 0.28.0. Then install the build that fits this torch: see README."


def test_short_text_stays_as_it_is() -> None:
    """On one line."""
    assert whole_sentences("no operator\n  aten::foo") == "no operator aten::foo"


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (len(ADVICE), ADVICE),
        (len(ADVICE) - 1, "operator torchvision::nms does not exist. Uninstall torchvision 0.28.0."),
        (50, "operator torchvision::nms does not exist."),
        (30, "operator torchvision::nms does not exist."),
    ],
)
def test_long_text_ends_with_a_sentence(longest: int, expected: str) -> None:
    """A dot within a version ends none, and of a sentence that is a little too long all is kept."""
    assert whole_sentences(ADVICE, longest) == expected


def test_abbreviation_ends_no_sentence() -> None:
    """Nor does a single capital."""
    assert whole_sentences("See e.g. the manual of W. Kahan for it. And more.", 41) == "See e.g. the manual of W. Kahan for it."


def test_endless_sentence_is_cut_at_a_clause() -> None:
    """A dump of a graph has no sentence; it is cut where a clause ends, without a trace of dots."""
    assert whole_sentences("the graph has nodes, " + "x" * 15 + ", " + "y" * 200, 40) == "the graph has nodes, " + "x" * 15
    assert whole_sentences("z" * 200, 40) == "z" * 40


def test_exception_without_a_message_is_named_with_its_place() -> None:
    """`StopIteration` says nothing by itself."""
    with pytest.raises(StopIteration) as raised:
        next(iter(()))

    place = r"in test_exception_without_a_message_is_named_with_its_place \(test_reasons.py, line \d+\)"
    for told in (reason_of(raised.value), full_text(raised.value, StopIteration)):
        assert re.fullmatch(f"StopIteration was raised {place} without a message", told)


def test_full_text_names_the_class_of_what_it_does_not_know() -> None:
    """Sentences of the suite's own need no class before them."""
    assert full_text(DriftError("outputs drifted"), DriftError) == "outputs drifted"
    assert full_text(OSError("no space"), DriftError) == "OSError: no space"


def test_first_line_leaves_tracebacks_out() -> None:
    """An empty line is none."""
    assert first_line("\n \nbaseline: ValueError while building: no\nTraceback:\n  line 7") == "baseline: ValueError while building: no"
    assert first_line("") == ""


def test_first_error_of_a_compiler_is_told() -> None:
    text = """building: C++ compile error

Command:
g++ /tmp/x/main.cpp -o main

Output:
/tmp/x/main.cpp:163:10: fatal error: Python.h: No such file or directory
  163 | #include <Python.h>
/tmp/x/main.cpp:170:1: error: another
"""
    assert "building: C++ compile error: main.cpp:163:10: fatal error: Python.h: No such file or directory" == first_line(text)
    assert first_line(text) == reason_of(RuntimeError(text))
    assert "no compiler: error: 3" == first_line("no compiler: error: 3\nTraceback")
