"""Workers that misbehave in every way we know of: each gives one clear error, and no process stays behind.

The processes are real. Most run a `fixtures/worker.py` of the test's own, in a checkout that holds nothing but the protocol.
"""

import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import protocol
from fixtures.bench import launch
from fixtures.bench.launch import ROOT, Launcher, UnsupportedError, WorkerError, Workers, merged
from fixtures.bench.rig import Rig
from fixtures.protocol import FOLDER_VARIABLE, Describe, Described, Job, ModelSpec, Prepare, Prepared, Timed, Turn
from fixtures.protocol.lifetime import folder_of_this_worker
from reports.gate.sides import SIDE
from tests import checkouts
from tests.processes import ended

WORKER = """
import ctypes, os, signal, socket, sys, time
from fixtures import protocol
from fixtures.protocol import Channel, Described, Failure, Hello, Timed, ToWorker

with open("pids", "a") as pids:
    pids.write(f"{os.getpid()}\\n")
connection = socket.socket(socket.AF_UNIX)

def connect():
    connection.connect(os.environ[protocol.SOCKET_VARIABLE])
    return Channel(connection, ToWorker)

def hello(version=protocol.PROTOCOL_VERSION, rank=0):
    channel = connect()
    channel.send(Hello(version=version, pid=os.getpid(), rank=rank))
    return channel

def hang():
    signal.pause()

def complain(text):
    print(text, file=sys.stderr, flush=True)
"""


class Checkout:
    """A folder that workers are started in; `worker` gives it the worker whose script is the preamble and `script`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("machine", "protocol"):
            shutil.copytree(ROOT / "fixtures" / name, root / "fixtures" / name)
        shutil.copy(ROOT / "fixtures" / "__init__.py", root / "fixtures")
        shutil.copytree(ROOT / "reports" / "saved", root / "reports" / "saved")
        shutil.copytree(ROOT / "reports" / "text", root / "reports" / "text")

    def worker(self, script: str) -> Launcher:
        (self.root / "fixtures" / "worker.py").write_text(WORKER + script)
        return Launcher(environment=dict(os.environ), root=self.root, timeout_s=60.0)

    def pids(self) -> list[int]:
        file = self.root / "pids"
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout of the test's own; afterwards no process that was started in it may be left."""
    made = Checkout(tmp_path)
    yield made
    assert [pid for pid in made.pids() if not ended(pid, limit_s=5.0)] == []


def ask(launcher: Launcher, timeout_s: float | None = None) -> str:
    """Start a worker, ask it something, and return the message of the error that this must raise."""
    with pytest.raises(WorkerError) as raised, launcher.launch("step 'compile'") as workers:
        workers.ask([Describe()], Described, "being checked", timeout_s)
    return str(raised.value)


@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("os._exit(3)", "exited with status 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL (often the kernel, out of memory: see dmesg)"),
        ("os.abort()", "was killed by SIGABRT"),
        ("sys.exit(0)", "exited with status 0"),
    ],
)
def test_worker_that_dies_is_reported_with_its_last_words(checkout: Checkout, fault: str, how: str) -> None:
    """The message says whose worker, how it died, what it was doing, and what it printed last."""
    launcher = checkout.worker(f"hello().receive()\ncomplain('libfoo: cannot go on')\n{fault}\n")

    assert ask(launcher) == (f"step 'compile': the worker {how} while being checked. Its last output:\n  libfoo: cannot go on")


def test_exception_outside_of_the_protocol_shows_its_traceback(checkout: Checkout) -> None:
    """A worker that cannot even answer shows the end of its stderr, and no more than that."""
    message = ask(checkout.worker("hello().receive()\nfor n in range(100): complain(f'line {n}')\nraise RuntimeError('no memory')\n"))

    assert "exited with status 1" in message
    assert message.endswith("  RuntimeError: no memory")
    assert "line 99" in message
    assert "line 50" not in message


RECEIVED = "channel = hello()\nchannel.receive()\n"
TIMED = "Timed(latencies_s=[], begin_s=0, end_s=0, iterations=0, peak_rss_bytes=0)"
VERSION = protocol.PROTOCOL_VERSION
OTHER_VERSION = f"the worker speaks protocol 99, this suite {VERSION}; use checkouts whose fixtures/protocol/__init__.py agree"
NO_MESSAGE = "the worker sent no message while being checked: "


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("import no_such_package\n", "exited with status 1 while starting"),
        (f"{RECEIVED}connection.sendall(b'Illegal instruction\\n')\nhang()\n", f"{NO_MESSAGE}not a message of protocol {VERSION}: b'Ill"),
        (f'{RECEIVED}connection.sendall(b\'{{"message":"described"\')\nos._exit(1)\n', "exited with status 1 while being checked"),
        ("hello(version=99).receive()\n", f"step 'compile': {OTHER_VERSION}"),
        ("hello(rank=5).receive()\n", "ranks [5] said hello where 0 to 0 are expected"),
        (f"{RECEIVED}channel.send({TIMED})\nhang()\n", "the worker answered Timed while being checked, expected Described"),
    ],
    ids=["broken installation, its reason", "broken installation", "rubbish", "half a message", "version", "rank", "another answer"],
)
def test_what_is_no_answer_is_refused(checkout: Checkout, script: str, told: str) -> None:
    """At once; a message that was not asked for is none, and ranks that do not add up are not guessed."""
    assert told in ask(checkout.worker(script))


def test_worker_that_never_says_hello_is_killed(checkout: Checkout) -> None:
    """Starting has a time limit as well."""
    message = ask(replace(checkout.worker("hang()\n"), timeout_s=1.0))

    assert "no answer for 1 s while starting; the worker was killed" in message


@pytest.mark.parametrize("answer", ["", "connection.sendall(b'wait for it')\n"], ids=["no answer", "rubbish without an end of line"])
def test_worker_that_hangs_is_killed(checkout: Checkout, answer: str) -> None:
    """The message names the option that gives it more time."""
    message = ask(checkout.worker(f"complain('hanging')\nhello().receive()\n{answer}hang()\n"), timeout_s=0.1)

    assert "no answer for 0 s while being checked; the worker was killed. Raise --worker-timeout" in message
    assert message.endswith("Its last output:\n  hanging")


def test_time_in_which_everything_was_frozen_is_no_waiting(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused container or a stopped suite stops its workers too: what is waited for is time in which they could have answered."""
    launcher = checkout.worker(f"{RECEIVED}time.sleep(0.6)\nchannel.send(Described(versions={{}}))\nhang()\n")
    with launcher.launch("worker") as workers:
        clock, gaps = time.perf_counter, chain([0.0] * 3, repeat(1000.0))
        monkeypatch.setattr(time, "perf_counter", lambda: clock() + next(gaps))

        assert [Described(versions={})] == workers.ask([Describe()], Described, "being checked")


def test_worker_that_ignores_the_request_to_end_is_killed(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time of grace there is no more asking."""
    monkeypatch.setattr(launch, "GRACE_S", 0.1)
    launcher = checkout.worker("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nhello().receive()\nwhile True: hang()\n")

    assert "the worker was killed" in ask(launcher, timeout_s=0.1)


def test_children_of_a_worker_are_killed_with_it(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers and pools that a worker started do not outlive it."""
    monkeypatch.setattr(launch, "GRACE_S", 0.1)
    script = """
channel = hello()
if os.fork() == 0:
    connection.close()
    with open("pids", "a") as pids:
        pids.write(f"{os.getpid()}\\n")
    open("child", "w").close()
    hang()
while not os.path.exists("child"): pass
channel.receive()
os._exit(3)
"""
    assert "exited with status 3" in ask(checkout.worker(script))
    assert len(checkout.pids()) == 2


def test_endless_rubbish_is_cut_short(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without end does not fill the suite's memory."""
    monkeypatch.setattr(protocol, "LONGEST_LINE_BYTES", 2**20)
    message = ask(checkout.worker("hello().receive()\nwhile True: connection.sendall(b'x' * 65536)\n"))

    assert f"{NO_MESSAGE}a line longer than 1048576 bytes" in message


def test_worker_that_exceeds_its_memory_is_stopped(checkout: Checkout) -> None:
    """Before the kernel chooses whom to kill."""
    launcher = checkout.worker("hello().receive()\nmemory = b'x' * 2**29\nhang()\n")
    message = ask(replace(launcher, memory_limit_bytes=2**28))

    assert "GiB resident in all workers together exceed the limit of 0.2 GiB; use a smaller batch or image, or fewer workers" in message


# Holds memory, and answers once the process is gone whose number it is given.
HOLDING = f"""
channel, memory = hello(), b""
while turn := channel.receive():
    memory = memory or b"x" * 2**28
    while os.path.exists(f"/proc/{{turn.iterations}}"):
        time.sleep(0.01)
    channel.send({TIMED})
"""
LIMIT_BYTES = 2**28 + 2**27


def hold(workers: Workers, until_gone: int = 0) -> None:
    workers.ask([Turn(iterations=until_gone, untimed=0)], Timed, "working")


def test_both_sides_of_a_pair_count(checkout: Checkout) -> None:
    """Each may be within the limit, and the kernel would end one of them all the same."""
    launcher = replace(checkout.worker(HOLDING), memory_limit_bytes=LIMIT_BYTES)
    with launcher.launch("one") as one:
        hold(one)
        with launcher.launch("the other") as other, pytest.raises(WorkerError, match=r"^the other: stopped .* in all workers together"):
            hold(other, until_gone=os.getpid())
        hold(one)
    assert set() == launcher.living


def test_workers_that_only_wait_make_room(checkout: Checkout) -> None:
    launcher = checkout.worker(HOLDING)
    idle = launcher.launch("idle")
    hold(idle)

    def make_room() -> bool:
        idle.close()
        return True

    with replace(launcher, memory_limit_bytes=LIMIT_BYTES, make_room=make_room).launch("one") as one:
        hold(one, until_gone=idle._pids[0])
    assert set() == launcher.living


def test_failure_that_a_worker_reports_is_passed_on(checkout: Checkout) -> None:
    """Its one-line reason is kept apart from the traceback."""
    script = f"{RECEIVED}channel.send(Failure(kind='ValueError', reason='bad layer', traceback='in line 7'))\n"
    with pytest.raises(WorkerError) as raised, checkout.worker(script).launch("step 'compile'") as workers:
        workers.ask([Describe()], Described, "being checked")

    assert str(raised.value) == "step 'compile': ValueError while being checked: bad layer\nin line 7"
    assert raised.value.reason == "bad layer"


def test_model_that_a_runtime_does_not_support_is_told_apart(checkout: Checkout) -> None:
    """Such a step is skipped, not failed."""
    script = f"{RECEIVED}channel.send(Failure(kind='E', reason='no operator aten::foo', traceback='', category='unsupported'))\n"
    with pytest.raises(UnsupportedError, match="no operator aten::foo"), checkout.worker(script).launch("x") as workers:
        workers.ask([Describe()], Described, "being checked")


def test_recipe_adds_its_variables_to_what_is_inherited(checkout: Checkout) -> None:
    """A worker sees the launcher's environment and the recipe's on top, and nothing of the suite's own besides."""
    answer = "Described(versions={name: os.environ.get(name, 'unset') for name in ('LIKE', 'PATH', 'HOME')})"
    script = f"{RECEIVED}channel.send({answer})\nchannel.receive()\n"
    bare = replace(checkout.worker(script), environment={"PATH": "/inherited", "LIKE": "inherited"})
    with bare.launch("x", environment={"LIKE": "recipe"}) as workers:
        [described] = workers.ask([Describe()], Described, "being checked")

    assert described.versions == {"LIKE": "recipe", "PATH": "/inherited", "HOME": "unset"}


def test_what_the_user_preloads_is_kept_behind_what_the_recipe_preloads() -> None:
    """An allocator replaces glibc's only in front; a profiler or a fix of the user's stays in the process."""
    inherited = {"LD_PRELOAD": "/opt/libfix.so /opt/libtrace.so", "PATH": "/bin"}

    assert {"LD_PRELOAD": "/a.so:/opt/libfix.so /opt/libtrace.so", "PATH": "/bin"} == merged(inherited, {"LD_PRELOAD": "/a.so"})
    assert inherited == merged(inherited, {})
    assert {"LD_PRELOAD": "/a.so"} == merged({}, {"LD_PRELOAD": "/a.so"})


def test_folder_of_a_worker_goes_with_it(checkout: Checkout) -> None:
    """Sockets and outputs are not left in the temporary folder."""
    with checkout.worker("hello().receive()\n").launch("x") as workers:
        folder = workers.folder
        assert folder.is_dir()

    assert not folder.exists()


def test_partner_that_waits_is_still(checkout: Checkout) -> None:
    """A worker that waits for its turn uses no CPU time."""
    with checkout.worker("hello().receive()\n").launch("x") as workers:
        workers.wait_until_still()

        assert workers.never_still == 0
        assert workers.cpu_time_s() > 0


SPINS = """
import threading

def spin(seconds):
    with open("spun", "wb", buffering=0) as spun:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        spun.write(b"x")

channel = hello()
threading.Thread(target=spin, args=({seconds},)).start()
channel.receive()
"""


def test_partner_that_spins_is_waited_for(checkout: Checkout) -> None:
    """Its turn is over, and a thread of it still has a CPU: to look at its CPU time for a moment, between two ticks, would not tell."""
    with checkout.worker(SPINS.format(seconds=0.3)).launch("x") as workers:
        workers.wait_until_still(limit_s=30)

        assert (checkout.root / "spun").read_bytes() == b"x"
        assert workers.never_still == 0


FORKS = """
child = os.fork()
if child == 0:
    while time.process_time() < 0.3:
        pass
    open("spun", "w").close()
    {then}
{meanwhile}
hello().receive()
"""


def test_a_process_below_a_partner_is_waited_for(checkout: Checkout) -> None:
    """A loader of data works ahead when the turn is over, and would do so in the next one's."""
    with checkout.worker(FORKS.format(then="hang()", meanwhile="")).launch("x") as workers:
        workers.wait_until_still(limit_s=30)

        assert (checkout.root / "spun").exists()
        assert workers.never_still == 0


@pytest.mark.parametrize(
    ("then", "meanwhile"), [("hang()", ""), ("os._exit(0)", "os.waitpid(child, 0)")], ids=["that lives", "that has ended"]
)
def test_a_process_below_a_worker_is_none_of_others(checkout: Checkout, then: str, meanwhile: str) -> None:
    """What it used counts as the worker's, also once it has ended, where the kernel counts it in ticks."""
    with checkout.worker(FORKS.format(then=then, meanwhile=meanwhile)).launch("x") as workers:
        workers.wait_until_still(limit_s=30)
        [own] = pids(workers)

        assert workers.cpu_time_s() - time.clock_gettime((~own << 3) | 2) > 0.25


def test_partner_that_never_stands_still_is_counted(checkout: Checkout) -> None:
    """It is waited for within a limit; the turn starts all the same, and the record says so."""
    with checkout.worker(SPINS.format(seconds=60)).launch("x") as workers:
        workers.wait_until_still(limit_s=0.02)

        assert workers.never_still == 1


def real_launcher(root: Path = ROOT) -> Launcher:
    return Launcher(environment=dict(os.environ), root=root, timeout_s=120.0)


def pids(workers: Workers) -> list[int]:
    return workers._pids


def test_real_worker_reports_what_goes_wrong_inside() -> None:
    """An exception in a runtime is a reported failure, with its traceback, and ends the worker."""
    with real_launcher().launch("x") as workers:
        worker = pids(workers)
        with pytest.raises(WorkerError, match="ProtocolError while being timed: the first message must be a Start") as raised:
            workers.ask([Turn(iterations=1, untimed=0)], Timed, "being timed")

    assert "Traceback (most recent call last)" in str(raised.value)
    assert [ended(pid) for pid in worker] == [True]


SUITE = """
import os, sys
from pathlib import Path
from fixtures.bench.launch import Launcher
from fixtures.protocol import Job, ModelSpec, Prepare
root, ranks = Path(sys.argv[1]), int(sys.argv[2])
workers = Launcher(environment=dict(os.environ), root=root, ranks_by=sys.argv[3]).launch("x", ranks=ranks)
job = Job(model=ModelSpec(name="torchvision:resnet18"), runtime="eager", precision="fp32", batch_size=1, threads=1)
workers.tell([Prepare(job=job, folder="/tmp")] * ranks)
print(*workers._pids, *(process.pid for process in workers._processes), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("ranks", "ranks_by", "processes"),
    [(1, "direct", 1), (2, "direct", 2), pytest.param(2, "torchrun", 3, marks=pytest.mark.slow)],
    ids=["one worker", "ranks", "torchrun"],
)
def test_workers_exit_when_the_suite_is_killed(tmp_path: Path, ranks: int, ranks_by: str, processes: int) -> None:
    """In the middle of a build that never ends; the ranks of torchrun, and torchrun itself, as well."""
    checkouts.copied(tmp_path)
    (tmp_path / "fixtures" / "runtimes" / "eager.py").write_text("def prepare(job, folder):\n    while True: pass\n")
    command = [sys.executable, "-c", SUITE, str(tmp_path), str(ranks), ranks_by]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as suite:
        assert suite.stdout is not None
        started = [int(pid) for pid in suite.stdout.readline().split()]
        suite.kill()

    assert len(set(started)) == processes
    assert [pid for pid in started if not ended(pid)] == []


@pytest.mark.parametrize("ranks_by", ["direct", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_rank_that_dies_takes_the_others_with_it(ranks_by: str) -> None:
    """One dead rank fails the step; all other ranks, and torchrun, are gone afterwards."""
    with replace(real_launcher(), ranks_by=ranks_by).launch("x", ranks=2) as workers:
        ranks = pids(workers)
        os.kill(ranks[1], signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"worker [01] of 2 .*while being timed"):
            workers.hear(Timed, "being timed")

    assert [ended(pid) for pid in ranks] == [True, True]


def test_rank_that_dies_is_reported_with_its_own_output(checkout: Checkout) -> None:
    """The other rank's words are not its own."""
    script = (
        "rank = int(os.environ['RANK'])\ncomplain(f'I am rank {rank}')\nhello(rank=rank).receive()\nos._exit(3) if rank == 1 else hang()\n"
    )
    with pytest.raises(WorkerError) as raised, checkout.worker(script).launch("step 'x'", ranks=2) as workers:
        workers.ask([Describe()] * 2, Described, "being checked")

    assert str(raised.value) == ("step 'x': worker 1 of 2 exited with status 3 while being checked. Its last output:\n  I am rank 1")


def listening() -> set[str]:
    """The TCP sockets of this machine that listen, as links in /proc name them."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {f"socket:[{words[9]}]" for words in lines if words[3] == "0A"}


@pytest.mark.parametrize(("ranks_by", "listens"), [("direct", False), pytest.param("torchrun", True, marks=pytest.mark.slow)])
def test_ranks_on_one_host_open_no_port(ranks_by: str, listens: bool) -> None:
    """Torchrun's store takes pickles from whoever reaches its port; ranks that are started directly have none."""
    with replace(real_launcher(), ranks_by=ranks_by).launch("x", ranks=2) as workers:
        processes = {*pids(workers), *(process.pid for process in workers._processes)}
        held = {os.readlink(file) for pid in processes for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
        found = held & listening()

    assert bool(found) == listens


def test_second_interruption_leaves_no_worker_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped worker neither closes nor answers SIGTERM: a Ctrl-C while it is waited for kills it, and its folder is gone."""
    workers = real_launcher().launch("x")
    [pid], folder = pids(workers), workers.folder
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)  # until all its threads are: one watches the socket that is closed below

    sleep = time.sleep

    def interrupted(_seconds: float) -> None:
        monkeypatch.setattr(time, "sleep", sleep)
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workers.close()

    assert (ended(pid), folder.exists()) == (True, False)


def test_ctrl_c_while_two_build_is_answered(checkout: Checkout) -> None:
    """A run that builds first does not wait for the end of builds that never end; their workers are ended, and no more are started."""
    launcher = checkout.worker("hello().receive()\nhang()\n")

    def prepare(_recipe: object, _model: object) -> None:
        with launcher.launch("building") as workers:
            workers.ask([Describe()], Described, "building")

    cache = SimpleNamespace(builds_alone=True, stop=threading.Event())
    rig: Any = SimpleNamespace(unmet=lambda *_: None, recipe=lambda *_: None, prepare=prepare, launcher=launcher, cache=cache)

    def interrupt_once_both_build() -> None:
        while len(checkout.pids()) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt_once_both_build).start()
        with pytest.raises(KeyboardInterrupt):
            Rig.prepare_together(rig, [("one", None), ("two", None), ("three", None)])  # type: ignore[list-item]
    finally:
        signal.signal(signal.SIGINT, before)

    assert (cache.builds_alone, cache.stop.is_set(), len(checkout.pids())) == (True, True, 2)


def test_closing_again_signals_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of an ended worker may be another process's by then."""
    with real_launcher().launch("x") as workers:
        pass
    monkeypatch.setattr(os, "killpg", lambda *_arguments: pytest.fail("a signal was sent"))
    monkeypatch.setattr(os, "kill", lambda *_arguments: pytest.fail("a signal was sent"))

    workers.close()


def made_anywhere(file: Path) -> list[int]:
    """The lines that make a folder in the temporary folder, which nobody deletes where the process is killed."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    names = [(getattr(call.func, "attr", getattr(call.func, "id", "")), call) for call in calls]
    makes = [call for name, call in names if name in {"TemporaryDirectory", "mkdtemp"}]
    return [call.lineno for call in makes if "dir" not in {each.arg for each in call.keywords}]


def test_what_a_worker_keeps_for_a_while_goes_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that was being written when the worker was killed, for example."""
    folders = [ROOT / "fixtures" / name for name in ("generation", "inputs", "lengths", "models", "runtimes", "tasks", "training")]

    assert [] == [(file.name, lines) for folder in folders for file in folder.rglob("*.py") if (lines := made_anywhere(file))]
    monkeypatch.delenv(protocol.SOCKET_VARIABLE, raising=False)
    assert folder_of_this_worker() is None
    monkeypatch.setenv(protocol.SOCKET_VARIABLE, str(tmp_path / "socket"))
    assert str(tmp_path) == folder_of_this_worker()


def test_side_that_is_killed_leaves_no_folder_of_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie in the folder that it was started with; all else has the usual temporary folder."""
    side = real_launcher().launch("side", program=SIDE)
    try:
        [pid], folder = pids(side), side.folder
        monkeypatch.setenv(FOLDER_VARIABLE, variable_of(pid, FOLDER_VARIABLE))
        with real_launcher().launch("x") as workers:
            assert folder == workers.folder.parent
        made = Path(tempfile.mkdtemp(prefix="worker-", dir=folder))
        os.kill(pid, signal.SIGKILL)
        assert ended(pid)
    finally:
        side.close()
    assert [False, False] == [folder.exists(), made.exists()]


def variable_of(pid: int, name: str) -> str:
    """Return a variable that a process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return next(entry.partition("=")[2] for entry in entries if entry.startswith(f"{name}="))


def test_folder_of_a_killed_suite_is_removed_by_the_next_run(tmp_path: Path) -> None:
    """Not that of a living one, not one that is made at the moment, and nothing that merely has such a name."""
    made = {name: tmp_path / f"worker-{name}" for name in ("killed", "living", "new", "other", "link")}
    for name in ("killed", "living", "new", "other"):
        made[name].mkdir()
        (made[name] / "outputs-0.npz").touch()
    made["link"].symlink_to(made["other"])
    held = [launch._owned(made[name]) for name in ("killed", "living", "new")]
    for name in ("killed", "living"):
        os.utime(made[name] / launch.OWNER, (0, 0))
    for descriptor in (held[0], held[2]):
        os.close(descriptor)
    launch.remove_abandoned(tmp_path)
    os.close(held[1])

    assert ["link", "living", "new", "other"] == sorted(name for name, folder in made.items() if folder.exists())


def test_folder_in_use_is_locked(checkout: Checkout) -> None:
    launcher = checkout.worker("hello(); hang()")
    with launcher.launch("step") as workers:
        os.utime(workers.folder / launch.OWNER, (0, 0))
        launch.remove_abandoned(workers.folder.parent)
        assert workers.folder.is_dir()


def test_a_name_that_is_not_utf_8_is_refused(checkout: Checkout) -> None:
    """Messages are JSON; a path may be any bytes."""
    model = ModelSpec(name=f"{os.fsdecode(b'/models/caf' + bytes([233]))}.py:create")
    with (
        checkout.worker("hello(); hang()").launch("describing") as workers,
        pytest.raises(WorkerError, match=r"describing: the name '/models/caf.udce9.py:create' is not UTF-8.* rename the folder or file"),
    ):
        workers.tell([Describe(model=model)])


def test_output_without_end_fills_no_disk(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is shown all the same."""
    monkeypatch.setattr(launch, "MOST_OUTPUT_BYTES", 100_000)
    launcher = checkout.worker(
        'channel = hello()\nfor _ in range(40):\n    complain("x" * 10_000)\n    time.sleep(0.03)\ncomplain("the end"); hang()'
    )
    with launcher.launch("step") as workers:
        with pytest.raises(WorkerError, match="the end"):
            workers.ask([Describe()], Described, "being checked", 2.5)
        assert workers.folder.joinpath("output-0").stat().st_size < 200_000


def test_the_kernel_takes_a_worker_before_its_suite() -> None:
    with Launcher(environment=dict(os.environ)).launch("step") as workers:
        assert "500\n" == Path(f"/proc/{workers._pids[0]}/oom_score_adj").read_text()


def test_stopped_worker_ends_with_its_suite(tmp_path: Path) -> None:
    """Its own watch cannot run then, as in a hang that holds the interpreter's lock: the kernel ends it."""
    checkouts.copied(tmp_path)
    command = [sys.executable, "-c", SUITE, str(tmp_path), "1", "direct"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as suite:
        assert suite.stdout is not None
        pid = int(suite.stdout.readline().split()[0])
        os.kill(pid, signal.SIGSTOP)
        suite.kill()

    assert ended(pid)


def test_temporary_folder_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's address has 108 bytes; the folder's path, with a space and a letter beyond ASCII, may have more."""
    folder = tmp_path / ("long " * 20) / "größer"
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with real_launcher().launch("x") as workers:
        assert len(str(workers.folder)) > 110
        assert workers.ask([Describe()], Described, "being checked")


def test_prepare_on_a_runtime_without_artifacts() -> None:
    """A real worker answers, and exits by itself when it is closed."""
    job = Job(model=ModelSpec(name="torchvision:resnet18"), runtime="eager", precision="fp32", batch_size=1, threads=1)
    with real_launcher().launch("x") as workers:
        [prepared] = workers.ask([Prepare(job=job, folder="/tmp")], Prepared, "building")
        worker = pids(workers)

    assert prepared.build_s >= 0
    assert [ended(pid) for pid in worker] == [True]
