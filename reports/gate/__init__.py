"""The gate: is head slower than base? Two sides take turns in fresh pairs; a verdict with a known false alarm rate."""
