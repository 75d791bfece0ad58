"""Several hosts, made of network namespaces: what they measure together, and what is said when one of them fails."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.bench.launch import ROOT
from fixtures.bench.turns import Plan, TimedSide
from fixtures.bench.variables import clean_environment
from fixtures.hosts.hosts_turns import HostsMeasurement, Part
from fixtures.machine import this_machine
from fixtures.machine.host import HostSample
from fixtures.steps.optimizations import catalogue
from fixtures.steps.recipe import unmet
from reports.saved.load import read_run
from tests.conftest import MARK, skip_unless_met
from tests.network import FIRST, NetworkHost, two_hosts
from tests.processes import with_variable
from tests.session.test_suite import read_until

LIMIT_S = 600.0


class Together:
    """`torchrun … -m benchmarks.hosts` on two hosts; each has storage of its own."""

    def __init__(self, hosts: Sequence[NetworkHost], folder: Path, artifacts: Path, mark: str) -> None:
        self.hosts = hosts
        self.folder = folder
        self._artifacts = artifacts
        self._environment = clean_environment(os.environ, frozenset({"PYTEST_ADDOPTS"})) | {MARK: mark, "PYTHONUNBUFFERED": "1"}

    def storage(self, host: NetworkHost) -> Path:
        return self.folder / host.name

    def start(self, *options: str, without: Sequence[str] = ()) -> list["subprocess.Popen[str]"]:
        """Start both hosts; `without` are variables to set on the second one only, as NAME=VALUE."""
        torchrun = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nnodes=2",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={FIRST}:29477",
        ]
        small = ["--model=torchvision:resnet18", "--image-size=64", "--pairs=1", *options]
        processes = []
        for place, host in enumerate(self.hosts):
            command = [*torchrun, "-m", "benchmarks.hosts", *small]
            other = dict(each.split("=", 1) for each in without) if place else {}
            places = [f"--benchmark-storage=file://{self.storage(host)}", f"--artifact-cache={self._artifacts / host.name}"]
            processes.append(host.start([*command, *places], folder=ROOT, environment=self._environment | other))
        return processes

    def saved(self, host: NetworkHost) -> list[Path]:
        return list(self.storage(host).glob("*/*.json"))


@pytest.fixture
def together(tmp_path: Path, artifact_folder: Path, mark: str) -> Iterator[Together]:
    skip_unless_met("workers_pinned")
    with two_hosts(tmp_path) as hosts:
        yield Together(hosts, tmp_path, artifact_folder, mark)


def finish(processes: Sequence["subprocess.Popen[str]"]) -> list[tuple[int, str]]:
    """Wait for both hosts; return the status and the output of each."""
    outputs = [process.communicate(timeout=LIMIT_S)[0] for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


def workers_of(host: NetworkHost, mark: str) -> list[int]:
    """The pinned workers of one host, told apart by its network namespace."""
    namespace = os.stat(f"/run/netns/{host.namespace}").st_ino
    found = []
    for pid in sorted(with_variable(MARK, mark)):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"fixtures.worker" in command and b"torch.distributed.run" not in command and os.stat(f"/proc/{pid}/ns/net").st_ino == namespace:
            found.append(pid)
    return found


@pytest.mark.nightly
def test_two_hosts_add_up(together: Together) -> None:
    """The first rank alone saves a record, of the workers of both, with each host's part and the barrier's cost."""
    first, second = together.hosts
    [(status, output), (other_status, other_output)] = finish(together.start("--step", "hosts_pinned"))
    assert (0, 0) == (status, other_status), output + other_output
    assert [] == together.saved(second)
    [file] = together.saved(first)
    [measured] = read_run(file).measurements

    assert measured.hosts is not None
    assert ["host-a", "host-b"] == [host.name for host in measured.hosts.each]
    assert measured.workers == sum(host.workers for host in measured.hosts.each) == 2 * len(this_machine().allowed_cpus)
    assert measured.hosts.sum_samples_per_second == pytest.approx(sum(host.samples_per_second for host in measured.hosts.each))
    assert measured.samples_per_second == pytest.approx(measured.hosts.sum_samples_per_second, rel=0.1)  # waiting is in neither
    assert measured.samples_per_round == measured.batch_size
    assert measured.gain is not None
    assert "workers_pinned" == measured.gain.over
    assert any("every host proved the same recipe" in claim.claim for claim in measured.evidence)
    assert "2 hosts" in output
    assert "the barrier costs" in output
    assert "the records of what was measured are with rank 0 on host-a" in other_output
    assert "failed" not in other_output


@pytest.mark.nightly
def test_worker_killed_in_the_middle_ends_the_step_on_both_hosts(together: Together, mark: str) -> None:
    """Rank 0 says which host and which of its workers it was, although it was elsewhere."""
    _, second = together.hosts
    processes = together.start("--step", "hosts_pinned", "--pairs", "50")
    before = read_until(processes[1], "2 hosts with")
    os.kill(workers_of(second, mark)[0], signal.SIGKILL)
    [(status, output), (other_status, other_output)] = finish(processes)

    for code, said in ((status, output), (other_status, before + other_output)):
        assert 0 != code
        assert re.search(r"rank 1 on host-b: hosts_pinned: worker \d of \d was killed by SIGKILL", said), said
    assert [] == together.saved(together.hosts[0])


@pytest.mark.nightly
def test_host_killed_in_the_middle_is_named(together: Together, mark: str) -> None:
    """A host that is gone altogether cannot say anything: the others name it, end at once, and leave no process behind."""
    processes = together.start("--step", "hosts_pinned", "--step", "compile_hosts_pinned", "--pairs", "50")
    read_until(processes[0], "2 hosts with")
    for pid in with_variable(MARK, mark):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"benchmarks.hosts" in command and b"torch.distributed.run" not in command and _host_name(pid) == "host-b":
            os.kill(pid, signal.SIGKILL)
    [(status, output), (other_status, _)] = finish(processes)

    assert 0 != status
    assert 0 != other_status
    assert "rank 1 on host-b stopped answering, while" in output
    assert "Interrupted: a host was lost" in output


@pytest.mark.nightly
def test_hosts_that_do_not_do_the_same_are_refused(together: Together) -> None:
    """A recipe that leaves something out on one host only is no one measurement."""
    skip_unless_met("compile")
    [(status, output), _] = finish(together.start("--step", "compile_hosts_pinned", without=["CXX=no-such-compiler"]))

    assert 0 == status  # skipped, not failed: the step does not apply on that host
    assert "rank 1 on host-b: the C++ compiler no-such-compiler is not installed" in output
    assert [] == [measured.step for file in together.saved(together.hosts[0]) for measured in read_run(file).measurements]


def _host_name(pid: int) -> str:
    """The host name in the namespace of process `pid`."""
    command = ["nsenter", "--target", str(pid), "--uts", "hostname"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


RANK = """
import os, signal, sys
from fixtures.hosts import HostError, HostLost, Hosts

hosts = Hosts.join(timeout_s=60.0)
rank = hosts.rank
print("ranks", hosts.together("counting", lambda: rank * 10))
def work():
    if rank == 1:
        raise ValueError("the disk is full")
try:
    hosts.together("working", work)
except HostError as error:
    print("failed", error)
print("still", hosts.together("going on", lambda: rank))
if rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    hosts.barrier("waiting for the dead")
except HostLost as error:
    print("lost", error)
"""


@pytest.mark.slow
def test_failure_of_one_host_is_told_on_all_and_a_lost_host_is_named() -> None:
    """Two ranks of one machine: work that fails on one is over for both, which go on; one that dies is missed at the next barrier."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "GLOO_SOCKET_IFNAME": "lo"}
    environment = clean_environment(os.environ, frozenset()) | meeting | {"WORLD_SIZE": "2", "PYTHONUNBUFFERED": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK],
            cwd=ROOT,
            env=environment | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    [(status, first), (killed, second)] = finish(ranks)

    assert (0, -signal.SIGKILL) == (status, killed), first + second
    for said in (first, second):
        assert "ranks [0, 10]" in said
        assert re.search(r"failed rank 1 on \S+: the disk is full", said), said
        assert "still [0, 1]" in said
    assert re.search(r"lost rank 1 on \S+ stopped answering, while waiting for the dead", first), first


PART = Part(worked_s=1.0, total_s=1.0, iteration_s=0.1, latencies_s=(0.1,))


def of_two_hosts(there: float = 0.0) -> HostsMeasurement:
    """A measurement after a round on two CPUs of this host, whose other host tells the share `there` at its end."""

    def together(doing: str, work: Callable[[], Any]) -> list[Any]:
        return [work(), (there, []) if doing == "ending" else PART]

    hosts: Any = SimpleNamespace(names=("a", "b"), is_first=True, label=str, together=together)
    rig: Any = SimpleNamespace(machine=SimpleNamespace(allowed_cpus=(0, 1)))
    anything: Any = None
    measured = HostsMeasurement(hosts, rig, recipe=anything, model=anything, plan=Plan(), versions={})
    side: Any = SimpleNamespace(cpu_model="x", versions={}, workers=2)
    measured._told, measured._parts, measured._host_before = [side, side], [[PART, PART]], HostSample.now()
    measured.own, measured.over = (TimedSide(iterations=1, samples_per_round=1, by_pair=[[]]) for _ in range(2))
    return measured


@pytest.mark.parametrize(
    ("here", "there", "alone", "disturbed"),
    [
        ((0.01, 0.02), 0.02, (0.01, 0.02), False),
        ((0.3, 0.0), 0.0, (0.0, 0.0), True),
        ((0.0, 0.3), 0.0, (0.0, 0.0), True),
        ((0.0, 0.0), 0.3, (0.0, 0.0), True),
        ((0.0, 0.0), 0.0, (0.3, 0.0), True),
        ((0.0, 0.0), 0.0, (0.0, 0.3), True),
    ],
    ids=["nobody", "this host", "this host's hypervisor", "the other host", "this host alone", "this host's hypervisor, alone"],
)
def test_what_disturbs_any_host_disturbs_the_step(
    here: tuple[float, float], there: float, alone: tuple[float, float], disturbed: bool
) -> None:
    """All hosts add up to the figure, and the gain is over the first one alone: a neighbour on any of them leaves no verdict.

    Others and the hypervisor take a share each, of which the larger one counts.
    """
    measured = of_two_hosts(there)
    measured._taken = [(2 * here[0], 2 * here[1], 1.0)]  # of two CPUs
    measured._taken_alone = [(2 * alone[0], 2 * alone[1], 1.0)]

    measured.finish()

    assert disturbed == measured.disturbed
    assert disturbed == any("disturbed: others took 30% of a host's CPUs' time" in finding for finding in measured.findings)


def test_both_shares_are_added_up_in_both_kinds_of_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds each, in which others used one of CPU time and the hypervisor took two; and no more of what they did between turns."""
    measured = of_two_hosts()
    spent = [0.0, 0.0, 0.0]

    def spend(*seconds: float) -> None:
        spent[:] = [sum(both) for both in zip(spent, seconds, strict=True)]

    def turn() -> Part:
        spend(1.0, 2.0, 10.0)
        return PART

    monkeypatch.setattr(measured, "_others_until_now", lambda: tuple(spent))
    monkeypatch.setattr(measured, "_settle", lambda: spend(3.0, 3.0, 5.0))
    monkeypatch.setattr(measured._hosts, "barrier", lambda _: spend(4.0, 4.0, 20.0), raising=False)
    monkeypatch.setattr(measured, "_turn", turn)

    measured.run()
    measured.after()

    assert [(1.0, 2.0, 10.0)] == measured._taken == measured._taken_alone


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "torchrun did not start this on several hosts"),
        ({"GROUP_WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}, "torchrun did not start this on several hosts"),
        ({"GROUP_WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "4"}, "torchrun started 4 ranks here"),
        ({"GROUP_WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}, None),
    ],
)
def test_step_needs_one_rank_on_each_of_several_hosts(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], reason: str | None
) -> None:
    """Otherwise it is skipped, with the command that starts it."""
    for name in ("GROUP_WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    skip = unmet(catalogue()["hosts_pinned"], this_machine())

    assert (skip is None) == (reason is None)
    assert skip is None or (reason or "") in skip.reason


def test_torchruns_variables_do_not_reach_the_workers() -> None:
    """A worker of the second host is rank 0 of its own group, whatever its host's rank is."""
    inherited = {
        "RANK": "1",
        "LOCAL_RANK": "0",
        "GROUP_WORLD_SIZE": "2",
        "MASTER_ADDR": "10.0.0.1",
        "TORCHELASTIC_RUN_ID": "x",
        "RANKING": "kept",
    }

    assert {"RANKING": "kept"} == clean_environment(inherited, frozenset())


def test_saved_hosts_are_shown(tmp_path: Path) -> None:
    """`reports show` has a line for all hosts and one for each."""
    from rich.console import Console

    from reports.show.tables import print_tables
    from reports.views.tables.runs import run_tables
    from tests.reports.saved_runs import benchmark, save, saved_run

    each: list[dict[str, Any]] = [
        {"name": name, "cpu_model": "Neoverse V1", "workers": 4, "samples_per_second": 50.0, "waited_share": 0.02}
        for name in ("one", "two")
    ]
    hosts = {"each": each, "sum_samples_per_second": 100.0, "barrier_s": 0.0004}
    file = save(tmp_path, 1, saved_run([benchmark("hosts_pinned", samples_per_second=98.0, hosts=hosts)]))
    console = Console(width=200, record=True)
    print_tables(console, run_tables(read_run(file)))
    shown = console.export_text()

    assert "2 add up to 100 SPS; together they reach 98.0% of it; the barrier costs 0.40 ms a round" in shown
    assert "two (Neoverse V1): 50.0 SPS, 4 workers, waited 2.0% of the time" in shown
