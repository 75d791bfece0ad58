"""Kill the suite, its workers, a gate's sides or the disk at random moments, and look at what is left: `tox -e soak`.

    python -m tests.soak --moments 200 --seed 1 --out docs/reliability.md

Each moment is a whole session of its own (two steps of a small model, or a gate of a commit against itself) with storage of its own. All
share one artifact cache, which is emptied now and then so that builds are hit, too. No moment may leave a process, lose a record that was
reported as finished, leave a partial file, save a step whose worker was killed, or end in a traceback.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fixtures.bench.launch import ROOT
from fixtures.machine import this_machine
from reports.saved.files import write_atomically
from reports.saved.load import read_run
from tests.conftest import MARK, mounted
from tests.processes import ended, with_variable
from tests.session.test_suite import Suite, answer_interrupts, fill

STEPS = ("baseline", "onnxruntime")
GATE = (
    "--base",
    "HEAD",
    "--head",
    "HEAD",
    "-k",
    "resnet18 and onnxruntime and not int8",
    "--model",
    "torchvision:resnet18",
    "--image-size",
    "64",
)
FINISHED = re.compile(r"^\[\d+/\d+\] torchvision\.resnet18-(\w+): .* samples per second", re.MULTILINE)
END_LIMIT_S = 240.0  # a session that was harmed and is still there after it hangs
ORPHAN_LIMIT_S = 10.0
EMPTIED_EVERY = 8  # moments
DISK = "80m"
LONGEST_MESSAGE = 300

HEAD = """\
# Killed at random moments

Written by `tox -e soak`; do not edit. Each moment is a whole session (two steps of ResNet-18 at 64 px, or a gate of a commit against
itself) that is harmed at a random time of its course. Then it has to end, none of its processes may be left, every saved file has to be
whole, what was reported as finished has to be saved or taken up by `--resume`, and a step whose worker was killed must not be saved.
"""


class Session:
    """One command of the product, its output in a file, and the processes that carry its mark."""

    def __init__(self, folder: Path, storage: Path, artifacts: Path, *, gates: bool) -> None:
        self.storage = storage
        self.mark = uuid.uuid4().hex
        self.suite = Suite(storage, artifacts, self.mark)
        self.output = folder / "output.txt"
        gate = [sys.executable, "-m", "reports", "gate", *GATE, "--budget", "60s", "--out", str(folder / "gate")]
        command = [*gate, f"--artifact-cache={artifacts}"] if gates else self.suite.command("--benchmark-autosave", steps=STEPS)
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.suite.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=answer_interrupts,  # noqa: PLW1509 - no other thread starts processes here
            )

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def finished(self) -> set[str]:
        """The steps that it has reported as finished."""
        return set(FINISHED.findall(self.said()))

    def others(self) -> list[int]:
        """Workers, builders and sides: all but the process that was started."""
        return sorted(with_variable(MARK, self.mark) - {self.process.pid})


@dataclass
class Kind:
    """What is done to a session at a random moment, and what came of it."""

    name: str
    harm: Callable[[Session, random.Random], None]
    saves: bool = False  # finished steps are in a saved run when the session has ended; else `--resume` has them
    goes_on: bool = False  # the session ends by itself
    small_disk: bool = False
    gates: bool = False
    moments: int = 0
    too_late: int = 0
    ends_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def _signals(*numbers: signal.Signals) -> Callable[[Session, random.Random], None]:
    def harm(session: Session, chance: random.Random) -> None:
        for count, number in enumerate(numbers):
            time.sleep(chance.uniform(0.0, 0.5) if count else 0.0)
            session.process.send_signal(number)

    return harm


def _kill_another(session: Session, chance: random.Random) -> None:
    """SIGKILL for one of its workers, builders or sides."""
    if others := session.others():
        try:
            os.kill(chance.choice(others), signal.SIGKILL)
        except ProcessLookupError:  # it ended by itself meanwhile
            return


def _fill_disk(session: Session, _chance: random.Random) -> None:
    fill(session.storage / "filler")


def kinds() -> list[Kind]:
    return [
        Kind("Ctrl-C", _signals(signal.SIGINT), saves=True),
        Kind("Ctrl-C twice", _signals(signal.SIGINT, signal.SIGINT), saves=True),
        Kind("SIGTERM", _signals(signal.SIGTERM), saves=True),
        Kind("SIGHUP", _signals(signal.SIGHUP), saves=True),
        Kind("SIGKILL of the suite", _signals(signal.SIGKILL)),
        Kind("SIGKILL of a worker or builder", _kill_another, saves=True, goes_on=True),
        Kind("full disk", _fill_disk, goes_on=True, small_disk=True),
        Kind("gate: SIGKILL of a side or worker", _kill_another, goes_on=True, gates=True),
        Kind("gate: Ctrl-C", _signals(signal.SIGINT), gates=True),
    ]


def moment(kind: Kind, artifacts: Path, whole_s: float, chance: random.Random) -> None:
    """Start a session, harm it, and look at what is left; what breaks a promise is kept in `kind.wrong`."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        disk = mounted(folder / "disk", DISK) if kind.small_disk else nullcontext(folder / "storage")
        with disk as storage, _worktrees_unchanged(kind):
            session = Session(folder, storage, artifacts, gates=kind.gates)
            try:
                session.process.wait(timeout=chance.uniform(0.0, whole_s))
                kind.too_late += 1
            except subprocess.TimeoutExpired:
                kind.harm(session, chance)
            kind.moments += 1
            began_s = time.monotonic()
            kind.wrong += _ending(session)
            if not kind.goes_on:
                kind.ends_s.append(time.monotonic() - began_s)
            if not kind.gates:
                kind.wrong += _left(kind, session)


@contextmanager
def _worktrees_unchanged(kind: Kind) -> Iterator[None]:
    before = _worktrees()
    yield
    if kind.gates and (more := _worktrees() - before):
        kind.wrong.append(f"worktrees are left: {sorted(more)}")


def _worktrees() -> set[str]:
    command = ["git", "worktree", "list", "--porcelain"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^worktree (.+)$", listed, re.MULTILINE))


def _ending(session: Session) -> Iterator[str]:
    """It ends, without a traceback, and no process of it is left."""
    try:
        session.process.wait(timeout=END_LIMIT_S)
    except subprocess.TimeoutExpired:
        yield f"still running after {END_LIMIT_S:.0f} s: {session.said()[-LONGEST_MESSAGE:]!r}"
        session.process.kill()
        session.process.wait()
    for pid in [pid for pid in session.others() if not ended(pid, limit_s=ORPHAN_LIMIT_S)]:
        yield f"an orphan: {Path(f'/proc/{pid}/cmdline').read_bytes()[:LONGEST_MESSAGE]!r}"
        os.kill(pid, signal.SIGKILL)
    if "Traceback (most recent call last)" in session.said():
        yield f"a traceback: {session.said()[-2 * LONGEST_MESSAGE :]!r}"


def _left(kind: Kind, session: Session) -> Iterator[str]:
    """Files are whole, what was finished is saved or resumed, and nothing else is."""
    killed = session.process.returncode == -signal.SIGKILL
    (session.storage / "filler").unlink(missing_ok=True)
    finished, said = session.finished(), session.said()
    yield from _partial(session, temporary=killed)
    saved = _saved(session)
    if finished - saved and kind.saves:
        yield f"finished and not saved: {sorted(finished - saved)}: {said[-LONGEST_MESSAGE:]!r}"
    if saved - finished:
        yield f"saved and never finished: {sorted(saved - finished)}: {said[-LONGEST_MESSAGE:]!r}"
    if kind.goes_on and finished != set(STEPS) and not re.search(r"FAILED|ERROR|error:|journal", said):
        yield f"steps are missing without a word: {said[-LONGEST_MESSAGE:]!r}"
    if finished and not saved and not kind.saves:
        status, output = session.suite.run("--benchmark-autosave", "--resume", steps=STEPS)
        runs = session.suite.runs()
        resumed = {each["extra_info"]["step"] for run in runs for each in run["benchmarks"] if "resumed" in each["extra_info"]}
        if status or resumed != finished or _saved(session) != set(STEPS):
            yield f"--resume (exit {status}) took {sorted(resumed)} of {sorted(finished)}: {output[-LONGEST_MESSAGE:]!r}"


def _partial(session: Session, *, temporary: bool) -> Iterator[str]:
    for file in session.storage.rglob("*"):
        if file.is_dir() or file.suffix in {".jsonl", ".lock"} or (temporary and file.name.startswith(".")):
            continue
        try:
            run = read_run(file)
        except Exception as error:  # noqa: BLE001 - whatever it is, the file is not whole
            yield f"a file that cannot be read: {file.name}: {error!s:.200}"
            continue
        for each in run.measurements:
            if not (0 < each.samples_per_second < float("inf") and all(item.holds for item in each.evidence)):
                yield f"a wrong record: {each.step}"


def _saved(session: Session) -> set[str]:
    return {each["extra_info"]["step"] for run in session.suite.runs() for each in run["benchmarks"]}


def page(done: Sequence[Kind], seed: int, emptied: int) -> str:
    """Return docs/reliability.md's table of what was done and what came of it."""
    machine, moments = this_machine(), sum(kind.moments for kind in done)
    wrong = [f"- **{kind.name}**: {text}" for kind in done for text in kind.wrong]
    return "\n".join(
        [
            HEAD,
            f"{datetime.now(UTC):%d %B %Y}, {machine.cpu_model}, {len(machine.allowed_cpus)} CPUs, beside other work; "
            f"seed {seed}. {moments} moments; the artifact cache was emptied {emptied} times.",
            "",
            "| what was done | moments | after the end | ended within, median (longest) | promises broken |",
            "|---|---:|---:|---:|---:|",
            *(f"| {kind.name} | {kind.moments} | {kind.too_late} | {_ends(kind)} | {len(kind.wrong)} |" for kind in done),
            "",
            '"After the end": the session was over before its moment came. Times are of a busy machine, and hold no promise.',
            *(["", "## Broken", "", *wrong] if wrong else []),
            "",
        ]
    )


def _ends(kind: Kind) -> str:
    if not kind.ends_s:
        return "goes on"
    ordered = sorted(kind.ends_s)
    return f"{ordered[len(ordered) // 2]:.1f} s ({ordered[-1]:.1f})"


def main() -> int:
    """Return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page, written anew after each moment")
    options = parser.parse_args()
    chance, done, emptied = random.Random(options.seed), kinds(), 0
    with tempfile.TemporaryDirectory(prefix="soak-artifacts-") as name:
        artifacts = Path(name) / "artifacts"
        whole_s = {gates: _whole_s(artifacts, gates=gates) for gates in (False, True)}
        for number in range(options.moments):
            if number % EMPTIED_EVERY == EMPTIED_EVERY - 1:
                shutil.rmtree(artifacts, ignore_errors=True)
                emptied += 1
            kind = done[number % len(done)]
            before = len(kind.wrong)
            moment(kind, artifacts, whole_s[kind.gates], chance)
            print(f"[{number + 1}/{options.moments}] {kind.name}", *kind.wrong[before:], sep="\n    ", flush=True)
            write_atomically(options.out, page(done, options.seed, emptied).encode())
    return int(any(kind.wrong for kind in done))


def _whole_s(artifacts: Path, *, gates: bool) -> float:
    """Return how long a session takes that nobody harms, its artifacts built before. Raises RuntimeError where it does not pass."""
    for _ in range(2):
        with tempfile.TemporaryDirectory(prefix="soak-") as name:
            began_s = time.monotonic()
            session = Session(Path(name), Path(name) / "storage", artifacts, gates=gates)
            status = session.process.wait(timeout=10 * END_LIMIT_S)
            if status not in ({0, 3} if gates else {0}):
                raise RuntimeError(f"a session that nobody harmed ended with status {status}: {session.said()[-3000:]}")
    return time.monotonic() - began_s


if __name__ == "__main__":
    sys.exit(main())
