"""Everything done with saved runs: read, compare, track, gate, tune, deploy and show them."""
