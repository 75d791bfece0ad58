"""Saved runs: where they lie, the one reader of them, and what they hold. Needs neither torch nor the fixtures."""
