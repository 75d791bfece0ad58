"""The limit of a metric: one form, whose sign says what is worse, in the metric's own unit or in per cent."""

import pytest

from reports.text.metric_limit import MetricLimit, metric_limit_of


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("f1=-0.01", MetricLimit(name="f1", amount=0.01, rises=False), "f1 -0.01"),
        ("perplexity=+1%", MetricLimit(name="perplexity", amount=1.0, rises=True, is_percent=True), "perplexity +1 %"),
        ("error=+0", MetricLimit(name="error", amount=0.0, rises=True), "error +0"),
    ],
)
def test_sign_says_which_way_is_worse(text: str, limit: MetricLimit, shown: str) -> None:
    assert (limit, shown) == (metric_limit_of(text), str(metric_limit_of(text)))


@pytest.mark.parametrize("text", ["f1", "f1=0.01", "=-1", "f1=-", "f1=-nan", "f1=-1e9", "f 1=-1", "f1=--1", "f1=-0.01\n", "f1=-٣"])
def test_what_is_no_limit_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected NAME=-CHANGE where less is worse, .* found "):
        metric_limit_of(text)


def test_limit_is_kept_by_what_lies_on_it() -> None:
    """Binary fractions are no reason to break it: 0.89 - 0.9 is less than -0.01. A gate calls what lies on it too much."""
    fall = metric_limit_of("f1=-0.01")

    assert [False, True, False] == [fall.breaks(value - 0.9, 0.9) for value in (0.89, 0.8899, 0.95)]
    assert [True, True, False, False] == [fall.reaches(value - 0.9, 0.9) for value in (0.89, 0.8, 0.8901, 0.95)]


def test_share_is_of_what_the_metric_is_held_against() -> None:
    """A log likelihood of -20 may fall by 0.2."""
    rise, fall = metric_limit_of("perplexity=+1%"), metric_limit_of("likelihood=-1%")

    assert [False, True] == [rise.breaks(change, 20.0) for change in (0.2, 0.21)]
    assert [False, True] == [fall.breaks(change, -20.0) for change in (-0.2, -0.21)]


def test_none_may_be_lost_and_gains_are_none() -> None:
    limit = metric_limit_of("error=+0")

    assert [False, False, True] == [limit.breaks(change, 1.0) for change in (0.0, -1.0, 1e-6)]
    assert [False, False, True] == [limit.reaches(change, 1.0) for change in (0.0, -1.0, 1e-6)]
