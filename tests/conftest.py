"""What tests of several files need."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import models
from fixtures.bench.assembly import assemble
from fixtures.bench.launch import ROOT
from fixtures.bench.rig import Rig
from fixtures.machine import this_machine
from fixtures.protocol import BuiltModel, ModelSpec
from fixtures.steps.optimizations import DEFAULT_BATCH_SIZE, catalogue
from fixtures.steps.recipe import unmet
from tests.processes import ended, with_variable

MARK = "LADDER_TEST"
# What a pytest that a test starts need not load: plugins that are here for this repository's own tests take two seconds.
LEAN = ("-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:cacheprovider")
# Hundreds of processes are started: each module is compiled once, not in each of them, whatever this environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every nightly test is a slow one, too, so that `-m "not slow"` leaves both out."""
    for item in items:
        if item.get_closest_marker("nightly") is not None:
            item.add_marker("slow")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    with mounted(tmp_path / "disk", "64k") as folder:
        yield folder


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """An empty file system of `size`, mounted on `folder`."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root -> run the tests as root")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {result.stderr.strip()} -> run in a container with CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def artifact_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One artifact cache for all tests, that of LADDER_TEST_ARTIFACTS where it is set: each small model is exported and compiled once."""
    named = os.environ.get("LADDER_TEST_ARTIFACTS")
    if not named:
        return tmp_path_factory.mktemp("artifacts")
    folder = Path(named).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@pytest.fixture
def mark() -> Iterator[str]:
    """A value for the variable `LADDER_TEST` of workers; afterwards no process that has it may be left."""
    value = uuid.uuid4().hex
    yield value
    left = {pid for pid in with_variable(MARK, value) if not ended(pid, limit_s=5.0)}
    assert left == set()


MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(artifact_folder: Path, mark: str) -> Iterator[MakeRig]:
    """A function that returns a rig as the suite makes it, for this machine."""
    usual: list[Rig] = []

    def make(
        *, environment: Mapping[str, str] | None = None, root: Path = ROOT, cache: Path | None = None, timeout_s: float = 300.0
    ) -> Rig:
        rig = suite_rig(cache or artifact_folder, environment={MARK: mark} | dict(environment or {}), root=root, timeout_s=timeout_s)
        if root != ROOT or environment:
            return replace(rig, built={})
        usual.append(rig)
        return rig

    yield make
    for rig in usual:
        remember(rig)


# What workers found the models of libraries to be, once for all tests; not those of factories, whose files tests change.
BUILT: dict[ModelSpec, BuiltModel] = {}


def remember(rig: Rig) -> None:
    """Let rigs that are made from now on know what libraries' models are, as this one's workers built them."""
    BUILT.update({spec: built for spec, built in rig.built.items() if models.source_of(spec.name) in models.SOURCES and not spec.weights})


def suite_rig(cache: Path, *, environment: Mapping[str, str] | None = None, root: Path = ROOT, timeout_s: float = 300.0) -> Rig:
    """Return a rig as the suite makes it, for this machine; its workers have the variables of `environment`, too."""
    rig = assemble(
        batch_size=DEFAULT_BATCH_SIZE,
        artifact_cache=cache,
        worker_timeout_s=timeout_s,
        memory_limit_bytes=this_machine().workers_memory_bytes,
        inherited=os.environ | dict(environment or {}),
        root=root,
        threads=this_machine().cpus.default_threads,
        warmup_limit_s=0.0,
    )
    rig.built.update(BUILT)
    return rig


def skip_unless_met(*steps: str) -> None:
    """Skip the test where one of `steps` does not apply on this machine."""
    for name in steps:
        skip = unmet(catalogue()[name], this_machine())
        if skip is not None:
            pytest.skip(f"{name}: {skip.reason} -> {skip.remedy}")
