"""A pytest plugin for runs of the suite inside tests: nothing counts as disturbed, whatever else this machine does meanwhile."""

import math


def pytest_configure() -> None:
    from fixtures.bench import turns

    turns.DISTURBED_ABOVE = math.inf
