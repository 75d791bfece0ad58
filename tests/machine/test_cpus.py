"""Which CPUs may be used: affinity, cores, nodes and the quotas of control groups, read from machines laid out in a folder."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from fixtures.bench.launch import ROOT as CHECKOUT
from fixtures.machine import boost, cpus, governor, host, this_machine, thread_work
from fixtures.machine.cpus import Cpus, cpu_quota, memory_limit_bytes, numbers, times_throttled
from fixtures.machine.host import HostSample, busy_s, is_told, since
from fixtures.machine.threads import ThreadsError, threads_to_use
from tests.machines import X86

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


def lay_out(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def machine(root: Path, *, nodes: Sequence[str], siblings: Mapping[int, str], sockets: Mapping[int, int] | None = None) -> Path:
    files = {f"sys/devices/system/node/node{number}/cpulist": f"{cpulist}\n" for number, cpulist in enumerate(nodes)}
    files |= {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{text}\n" for cpu, text in siblings.items()}
    files |= {f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id": f"{n}\n" for cpu, n in (sockets or {}).items()}
    return lay_out(root, files)


def two_nodes(root: Path) -> Path:
    """Two sockets, four cores each, two hyper-threads a core: CPU n and n + 8 are siblings."""
    return machine(
        root,
        nodes=["0-3,8-11", "4-7,12-15"],
        siblings={cpu: f"{cpu % 8},{cpu % 8 + 8}" for cpu in range(16)},
        sockets={cpu: cpu % 8 // 4 for cpu in range(16)},
    )


@pytest.mark.parametrize(("text", "expected"), [("0-2,8\n", (0, 1, 2, 8)), ("5", (5,)), ("", ()), ("0-0", (0,))])
def test_a_list_of_the_kernel(text: str, expected: tuple[int, ...]) -> None:
    assert expected == numbers(text)


def test_siblings_are_one_core_and_nodes_are_told_apart(tmp_path: Path) -> None:
    """Threads default to physical cores, as PyTorch's do."""
    here = Cpus.read(two_nodes(tmp_path), range(16))

    assert ((0, 8), (1, 9), (2, 10), (3, 11), (4, 12), (5, 13), (6, 14), (7, 15)) == here.cores
    assert ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)) == here.nodes
    assert (2, 2, 8) == (here.sockets, here.threads_per_core, here.default_threads)


def test_only_allowed_cpus_count(tmp_path: Path) -> None:
    """A container's CPU set may hold one hyper-thread of a core, or two of one core and nothing else."""
    root = two_nodes(tmp_path)

    assert ((0, 8), (5,)) == Cpus.read(root, (0, 5, 8)).cores
    assert 1 == Cpus.read(root, (3, 11)).default_threads


def test_a_system_that_tells_nothing_of_its_cores(tmp_path: Path) -> None:
    """Every CPU is a core then, and all lie on one node."""
    here = Cpus.read(tmp_path, (0, 1, 2))

    assert (((0,), (1,), (2,)), ((0, 1, 2),), 1, None) == (here.cores, here.nodes, here.sockets, here.quota)


@pytest.mark.parametrize(
    ("workers", "threads", "expected"),
    [
        (8, 1, [[0], [1], [2], [3], [4], [5], [6], [7]]),
        (2, 4, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (4, 2, [[0, 1], [2, 3], [4, 5], [6, 7]]),
        (2, 3, [[0, 1, 2], [4, 5, 6]]),
        (1, 6, [[0, 1, 2, 3, 4, 5]]),
        (4, 4, [[0, 8, 1, 9], [2, 10, 3, 11], [4, 12, 5, 13], [6, 14, 7, 15]]),
    ],
)
def test_workers_get_cores_of_their_own_within_a_node(tmp_path: Path, workers: int, threads: int, expected: list[list[int]]) -> None:
    """A worker crosses nodes only where its threads fit in none; siblings serve only once every core has a thread."""
    assert expected == Cpus.read(two_nodes(tmp_path), range(16)).share(workers, threads)


def test_more_threads_than_cpus_cannot_be_shared_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 workers of 1 threads need 3 CPUs, and 2 may be used"):
        Cpus.read(tmp_path, (0, 1)).share(3, 1)


V2_GROUP = {"proc/self/cgroup": "0::/a.slice/b.scope\n", "proc/self/mountinfo": V2_MOUNT, "sys/fs/cgroup/a.slice/b.scope/cpu.stat": ""}
V1_GROUP = {
    "proc/self/cgroup": "5:memory:/pods/one\n4:cpu,cpuacct:/pods/one\n0::/\n",
    "proc/self/mountinfo": V1_MOUNTS,
    "sys/fs/cgroup/cpu,cpuacct/pods/one/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/pods/one/memory.limit_in_bytes": "9223372036854771712\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (V2_GROUP, None),
        (V2_GROUP | {"sys/fs/cgroup/a.slice/b.scope/cpu.max": "150000 100000\n"}, 1.5),
        (V2_GROUP | {"sys/fs/cgroup/a.slice/cpu.max": "200000 100000\n", "sys/fs/cgroup/a.slice/b.scope/cpu.max": "max 100000\n"}, 2.0),
        (V2_GROUP | {"sys/fs/cgroup/a.slice/cpu.max": "50000 100000\n", "sys/fs/cgroup/a.slice/b.scope/cpu.max": "800000 100000\n"}, 0.5),
        ({"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2_MOUNT, "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3.0),
        ({"proc/self/cgroup": "0::/../x\n", "proc/self/mountinfo": V2_MOUNT, "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3.0),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n",
                "proc/self/mountinfo": V1_MOUNTS.replace("0:27 /", "0:27 /docker/abc"),
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        (V1_GROUP | {"sys/fs/cgroup/cpu,cpuacct/pods/one/cpu.cfs_quota_us": "-1\n"}, None),
        (V1_GROUP | {"sys/fs/cgroup/cpu,cpuacct/pods/one/cpu.cfs_quota_us": "250000\n"}, 2.5),
        (
            V1_GROUP
            | {
                "sys/fs/cgroup/cpu,cpuacct/pods/one/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/pods/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/pods/cpu.cfs_period_us": "50000\n",
            },
            2.0,
        ),
        ({}, None),
    ],
    ids=[
        "v2, none",
        "v2, own",
        "v2, above",
        "v2, least",
        "v2, container",
        "v2, elsewhere",
        "docker v1",
        "v1, -1",
        "v1",
        "v1, above",
        "no /proc",
    ],
)
def test_the_least_quota_of_the_own_control_group_and_those_above(tmp_path: Path, files: Mapping[str, str], expected: float | None) -> None:
    """Both versions; a group's folder is found by the path that the kernel tells, within what is mounted."""
    assert expected == cpu_quota(lay_out(tmp_path, files))


def test_the_least_memory_limit_of_the_own_control_group_and_those_above(tmp_path: Path) -> None:
    """The largest number of pages, which v1 says where nothing limits, is no limit."""
    v1, v2 = lay_out(tmp_path / "v1", V1_GROUP), lay_out(tmp_path / "v2", V2_GROUP)

    assert (None, None) == (memory_limit_bytes(v1), memory_limit_bytes(v2))
    lay_out(v1, {"sys/fs/cgroup/memory/pods/memory.limit_in_bytes": "4096000\n"})
    lay_out(v2, {"sys/fs/cgroup/a.slice/memory.max": "8192000\n", "sys/fs/cgroup/a.slice/b.scope/memory.max": "max\n"})
    assert (4096000, 8192000) == (memory_limit_bytes(v1), memory_limit_bytes(v2))


def test_throttling_is_counted_over_all_groups(tmp_path: Path) -> None:
    """A group above may be the one whose quota is used up."""
    lay_out(tmp_path, V2_GROUP | {"sys/fs/cgroup/a.slice/cpu.stat": "nr_periods 90\nnr_throttled 7\nthrottled_usec 12\n"})
    lay_out(tmp_path, {"sys/fs/cgroup/a.slice/b.scope/cpu.stat": "nr_periods 90\nnr_throttled 2\nthrottled_usec 3\n"})

    assert 9 == times_throttled(tmp_path)


def test_governor_and_boost(tmp_path: Path) -> None:
    """What the kernel does not tell stays empty."""
    assert ("", "") == (governor((0, 1), tmp_path), boost(tmp_path))
    lay_out(tmp_path, {f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor": "schedutil\n" for cpu in (0, 1)})
    lay_out(tmp_path, {"sys/devices/system/cpu/intel_pstate/no_turbo": "1\n"})
    assert ("schedutil", "off") == (governor((0, 1), tmp_path), boost(tmp_path))


def allowed(count: int, quota: float | None = None) -> Cpus:
    return Cpus(allowed=tuple(range(count)), cores=tuple((n,) for n in range(count)), nodes=(tuple(range(count)),), quota=quota)


@pytest.mark.parametrize(
    ("asked", "quota", "expected"),
    [(None, None, 8), (None, 2.5, 2), (None, 1.0, 1), (None, 64.0, 8), (3, None, 3), (2, 2.0, 2), (1, 1.5, 1)],
)
def test_threads_are_those_asked_for_or_the_cores_within_the_quota(asked: int | None, quota: float | None, expected: int) -> None:
    assert expected == threads_to_use(asked, allowed(8, quota), {})


@pytest.mark.parametrize(
    ("asked", "quota", "environment", "reason"),
    [
        (9, None, {}, "--threads 9: this process may use 8 CPUs"),
        (4, 2.0, {}, "--threads 4: the control groups of this process grant 2 CPUs, .* ask for at most 2, or raise the quota"),
        (None, 0.5, {}, "grant 0.5 CPUs, so that even one thread would be stopped"),
        (4, None, {"OMP_THREAD_LIMIT": "2"}, "OMP_THREAD_LIMIT=2 is set, and 4 threads are to compute: unset it, or ask for --threads 2"),
        (4, None, {"OMP_DYNAMIC": "TRUE"}, "OMP_DYNAMIC is set"),
        (4, None, {"OMP_WAIT_POLICY": "ACTIVE"}, "OMP_WAIT_POLICY=ACTIVE lets idle threads keep their CPUs"),
        (4, None, {"KMP_BLOCKTIME": "infinite"}, "KMP_BLOCKTIME=infinite lets idle threads keep their CPUs"),
        (4, None, {"GOMP_SPINCOUNT": "infinity"}, "GOMP_SPINCOUNT=infinity lets"),
    ],
)
def test_what_rules_out_a_number_of_threads_is_said_in_a_sentence(
    asked: int | None, quota: float | None, environment: Mapping[str, str], reason: str
) -> None:
    with pytest.raises(ThreadsError, match=reason):
        threads_to_use(asked, allowed(8, quota), environment)


def test_variables_that_leave_the_threads_their_cpus_are_taken() -> None:
    """Where bound threads run shows in their work; a deployment that binds them can be measured."""
    usable = {
        "OMP_PROC_BIND": "close",
        "OMP_PLACES": "cores",
        "OMP_THREAD_LIMIT": "4",
        "OMP_DYNAMIC": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
    }

    assert 4 == threads_to_use(4, allowed(8), usable | {"KMP_BLOCKTIME": "200"})


def test_a_system_without_affinity_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has neither affinity nor /proc."""
    monkeypatch.delattr("os.sched_getaffinity")

    with pytest.raises(cpus.UnsupportedSystemError, match="measure on Linux"):
        Cpus.read()


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A control group below this process's own that grants a twentieth of a CPU, in which no process is left."""
    own = next(iter(cpus._control_groups("cpu", cpus.ROOT)), None)
    if own is None:
        pytest.skip("there is no cpu controller here -> run where control groups are mounted")
    group = own / f"ladder-test-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error} -> run as root, or in a container with a writable cgroup file system")
    try:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text("5000 100000")
        else:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text("5000")
        yield group
    except OSError as error:
        pytest.skip(f"the cpu controller is not delegated here: {error} -> run where cgroup.subtree_control has cpu")
    finally:
        group.rmdir()


def test_a_real_quota_is_seen_and_counted(real_group: Path) -> None:
    """A process in the group reads its share, is stopped by the kernel, and counts how often."""
    program = """
import json, os, sys, time
from fixtures.machine.cpus import cpu_quota, times_throttled
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
before, begin_s = times_throttled(), time.process_time()
while time.process_time() < begin_s + 0.03:
    pass
print(json.dumps([cpu_quota(), times_throttled() - before]))
"""
    command = [sys.executable, "-c", program, str(real_group)]
    quota, throttled = json.loads(subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout)

    assert 0.05 == quota
    assert throttled >= 1


STAT = """\
cpu  900 0 900 900 900 0 0 90 0 0
cpu0 10 1 5 100 7 2 1 4 0 0
cpu1 20 2 6 200 8 3 2 5 0 0
cpu9 700 0 700 0 0 0 0 70 0 0
intr 1 2 3
"""


def test_only_the_allowed_cpus_count_as_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other containers of a large machine do on other CPUs disturbs nobody here."""
    monkeypatch.setattr(thread_work, "STAT", lay_out(tmp_path, {"stat": STAT}) / "stat")
    monkeypatch.setattr(host, "this_machine", lambda: X86)
    monkeypatch.setattr("os.sysconf", lambda _name: 100)

    assert 0.52 == pytest.approx(busy_s())
    assert (376, 9) == (HostSample.now().total_ticks, HostSample.now().steal_ticks)


@pytest.mark.parametrize("text", [None, "", "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n", "cpu0 what\n"])
def test_a_sandbox_that_hides_what_cpus_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """Nothing is told, and nothing breaks."""
    monkeypatch.setattr(thread_work, "STAT", tmp_path / "stat")
    if text is not None:
        lay_out(tmp_path, {"stat": text})

    assert (False, 0.0) == (is_told(), busy_s())
    assert 0.0 == since(HostSample.now())["steal_share"]


def test_this_machine_has_cores() -> None:
    here = this_machine()

    assert set(here.allowed_cpus) == {cpu for core in here.cpus.cores for cpu in core}
    assert 1 <= here.cpus.default_threads <= len(here.allowed_cpus)
    assert {"cores", "nodes", "sockets", "threads_per_core", "governor", "boost"} <= here.fingerprint().keys()
