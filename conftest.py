"""Wiring: which fixtures and hooks the suite brings. What they do is in fixtures/."""

pytest_plugins = ["fixtures.suite"]
