"""What is true on Arm only. `python -m emulation graviton3` runs these on an emulated CPU, after it has proved the steps."""

import platform
from pathlib import Path

import pytest

from fixtures.bench.proofs import Proofs, StepProof

ARM = platform.machine() == "aarch64"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the file that the steps' proofs are in."""
    parser.addoption("--arm-proofs", metavar="FILE", help="what `pytest benchmarks/ --proofs FILE` wrote on this CPU")


@pytest.fixture(autouse=True)
def _on_arm_only() -> None:
    if not ARM:
        pytest.skip(f"this is {platform.machine()} -> python -m emulation graviton3")


@pytest.fixture(scope="session")
def proofs(pytestconfig: pytest.Config) -> Proofs:
    """All that was proved on this CPU."""
    file = pytestconfig.getoption("--arm-proofs", default=None)
    if file is None:
        pytest.skip("no proofs to look at -> --arm-proofs FILE")
    return Proofs.read(Path(file))


class Seen:
    """The proofs of one model."""

    def __init__(self, proofs: Proofs, kind: str) -> None:
        self._proofs = proofs
        self._model = next((step.model for step in proofs.steps if kind in step.model), None)

    def step(self, name: str) -> StepProof:
        """How the step ended, whatever it was; skips the test where it was not run."""
        if self._model is None or all((each.model, each.step) != (self._model, name) for each in self._proofs.steps):
            pytest.skip(f"step {name} was not run -> leave out --step and --model")
        return self._proofs.of(self._model, name)

    def proved(self, name: str) -> StepProof:
        """The step's proof; skips the test where this CPU has not what the step needs, and fails it where the step failed."""
        found = self.step(name)
        if found.outcome == "skipped":
            pytest.skip(f"{found.reason} -> {found.remedy}")
        assert found.outcome == "proved", found.reason
        return found


@pytest.fixture
def resnet(proofs: Proofs) -> Seen:
    """The proofs of the ResNet."""
    return Seen(proofs, "resnet")


@pytest.fixture
def vit(proofs: Proofs) -> Seen:
    """The proofs of the ViT."""
    return Seen(proofs, "vit")


@pytest.fixture
def llama(proofs: Proofs) -> Seen:
    """The proofs of text generation."""
    return Seen(proofs, "llama")


@pytest.fixture(params=["resnet", "vit"])
def either(request: pytest.FixtureRequest, proofs: Proofs) -> Seen:
    """The proofs of each model in turn."""
    return Seen(proofs, request.param)
