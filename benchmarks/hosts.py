"""`torchrun --nnodes 2 … -m benchmarks.hosts`: what each host of a torchrun runs; options are those of `pytest benchmarks/`."""

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    tests = str(Path(__file__).with_name("test_hosts.py"))
    sys.exit(pytest.main([tests, "-m", "on_demand", "--benchmark-autosave", "-p", "no:cacheprovider", *sys.argv[1:]]))
