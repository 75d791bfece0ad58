"""Wiring: which fixtures and hooks the suite brings. What they do is in fixtures/."""

# In this order: pytest rewrites the assertions of a plugin only if no earlier one has imported it.
pytest_plugins = [
    "fixtures.input",
    "fixtures.model",
    "fixtures.measure",
    "fixtures.measure_hosts",
    "fixtures.environment",
    "fixtures.plugin",
]
