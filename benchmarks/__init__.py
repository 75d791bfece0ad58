"""The ladder: one file for each family of steps, each a parametrized pytest-benchmark test."""
