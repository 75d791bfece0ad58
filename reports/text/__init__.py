"""Numbers, durations and names of unknown origin as text, the same in every output."""
