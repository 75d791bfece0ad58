"""Everything done with saved runs: read, compare, track, gate and show them. Needs neither torch nor the fixtures."""
