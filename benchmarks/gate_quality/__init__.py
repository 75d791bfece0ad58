"""How good the gate is: whole gates over heads that are known to be equal, slower or faster. `python -m benchmarks.gate_quality`."""
