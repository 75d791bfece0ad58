"""Whether torch multiplies by a library that reports none of its calls."""

import pytest
import torch

from fixtures.runtimes.torch_session import has_silent_products


@pytest.mark.parametrize(
    ("machine", "has_mkl", "silent"),
    [("aarch64", False, True), ("x86_64", True, False), ("x86_64", False, False), ("aarch64", True, False)],
)
def test_it_does_on_arm_alone(monkeypatch: pytest.MonkeyPatch, machine: str, has_mkl: bool, silent: bool) -> None:
    """There OpenBLAS has what oneDNN has not; on x86 oneMKL has it, which reports its calls."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: has_mkl)

    assert has_silent_products() is silent
