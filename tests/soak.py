"""Kill the suite, its workers, a gate's sides or the disk at random moments, and look at what is left: `tox -e soak`.

    python -m tests.soak --moments 200 --minutes 60

A session is three steps of a small model, or a gate of a commit against itself, with storage, temporary folder and clone of its own. Up to
two of its processes are killed, then comes what ends it, or a full disk. All share one artifact cache, which is emptied now and then so
that builds are hit, too. No session may leave a process, lose a record that was reported as finished, leave a partial file, save a step
whose worker was killed, or end in a traceback.

What was done is kept line by line in `--folder`, so that it goes on where it was stopped; the table in
docs/results/reliability.md is written anew after each session.
"""

import argparse
import json
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
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from fixtures.bench.launch import ROOT
from fixtures.machine import this_machine
from fixtures.session.journal import append_line, read_lines
from reports.saved.files import write_atomically
from reports.saved.load import read_run
from tests.conftest import MARK, mounted
from tests.processes import ended, with_variable
from tests.session.test_suite import Suite, answer_interrupts, fill

STEPS = ("baseline", "batch_2", "onnxruntime")
MODEL = "emulation.models:tiny_vit"
SMALL = ("--model", MODEL, "--image-size", "64", "--threads", "1")
GATE = ("--base", "HEAD", "--head", "HEAD", "-k", "onnxruntime and not onnxruntime_", *SMALL, "--budget", "20s")
FINISHED = re.compile(rf"^\[\d+/\d+\] {re.escape(MODEL.replace(':', '.'))}-(\w+): .* samples per second", re.MULTILINE)
READY = {False: "test session starts", True: "pair"}  # before it a signal meets Python's own imports
TOLD = re.compile("FAILED|ERROR|error:|journal|nothing was measured|runs cannot be saved")  # why a step is missing
KEPT = re.compile(r"could not be saved in (\S+\.json): .*\. It is kept in (\S+\.json): make room and move it there\.")
GATE_ENDS = {0, 2, 3}  # a commit is no regression against itself
END_LIMIT_S = 240.0  # a session that was harmed and is still there after it hangs
ORPHAN_LIMIT_S = 10.0
GAP_S = 20.0  # at most, before each moment, once the steps are finished that it waits for
WAITS_FOR = (0, 1, 1, 2)  # finished steps
EMPTIED_EVERY = 8  # sessions
DISK = "80m"
LONGEST_MESSAGE = 600
PAGE = ROOT / "docs" / "results" / "reliability.md"
MARKS = ("<!-- written by tox -e soak: begin -->\n", "<!-- written by tox -e soak: end -->\n")


class Session:
    """One command of the product, its output in a file, and the processes that carry its mark."""

    def __init__(self, folder: Path, storage: Path, artifacts: Path, *, gates: bool) -> None:
        self.storage = storage
        self.gates = gates
        self.mark = uuid.uuid4().hex
        self.suite = Suite(storage, artifacts, self.mark)
        self.temporary, self.clone = folder / "temporary", folder / "clone"
        self.temporary.mkdir()
        self.suite.environment["TMPDIR"] = str(self.temporary)
        self.output = folder / "output.txt"
        command = self.suite.command("--benchmark-autosave", *SMALL, steps=STEPS)
        if gates:
            subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(self.clone)], check=True)
            command = [sys.executable, "-m", "reports", "gate", *GATE, f"--artifact-cache={artifacts}", "--out", str(folder / "gate")]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.clone if gates else ROOT,
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

    def saved(self) -> set[str]:
        return {each["extra_info"]["step"] for run in self.suite.runs() for each in run["benchmarks"]}

    def others(self) -> list[int]:
        """Workers, builders and sides: all but the process that was started."""
        return sorted(with_variable(MARK, self.mark) - {self.process.pid})

    def ends_within(self, limit_s: float) -> bool:
        try:
            self.process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End whatever is left of it."""
        for pid in with_variable(MARK, self.mark):
            kill(pid)
        self.process.wait()


def kill(pid: int) -> None:
    """SIGKILL for a process that may have ended by itself meanwhile."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@dataclass(frozen=True)
class Kind:
    """What is done to a session at a random moment."""

    name: str
    harm: Callable[[Session, random.Random], None]
    saves: bool = False  # finished steps are in a saved run when the session has ended; else `--resume` has them
    ends: bool = True  # else the session goes on, and ends by itself
    small_disk: bool = False
    gates: bool = False


@dataclass(frozen=True)
class Moment:
    """What was done once, and the last line that the session had said before."""

    kind: str
    before: str


@dataclass(frozen=True)
class Course:
    """One session with all its moments, and what came of them."""

    number: int
    commit: str
    gates: bool
    emptied: bool
    moments: list[dict[str, str]]
    ended_by: str  # a kind's name; empty where it came to its own end
    ended_s: float | None  # from the signal to the end
    status: int  # its exit code, or a signal's number as a negative one
    finished: int  # steps that it had reported by its end
    said: str  # the end of its output
    wrong: list[str]


def _signals(*numbers: signal.Signals) -> Callable[[Session, random.Random], None]:
    def harm(session: Session, chance: random.Random) -> None:
        for count, number in enumerate(numbers):
            time.sleep(chance.uniform(0.0, 0.5) if count else 0.0)
            session.process.send_signal(number)

    return harm


def _kill_another(session: Session, chance: random.Random) -> None:
    """SIGKILL for one of its workers, builders or sides."""
    if others := session.others():
        kill(chance.choice(others))


def _fill_disk(session: Session, _chance: random.Random) -> None:
    fill(session.storage / "filler")


KILLED = Kind("SIGKILL of a worker or builder", _kill_another, saves=True, ends=False)
KILLED_IN_GATE = Kind("gate: SIGKILL of a side, worker or builder", _kill_another, ends=False, gates=True)


def _waited(session: Session, kind: Kind, chance: random.Random) -> bool:
    """Wait for finished steps and then for a random time; False where the session ends before."""
    steps, gap_s = 0 if kind.gates else chance.choice(WAITS_FOR), chance.uniform(0.0, GAP_S)
    while len(session.finished()) < steps:
        if session.ends_within(0.1):
            return False
    return not session.ends_within(gap_s)


def _has(session: Session, kind: Kind) -> bool:
    """Wait until there is what this kind harms; False where the session ends before."""
    while kind.harm is _kill_another and not session.others():
        if session.ends_within(0.1):
            return False
    return session.process.poll() is None


def lasts() -> list[Kind | None]:
    """What comes last in the sessions, in turn; None: nothing more. A file system of one's own needs root."""
    every = [
        Kind("Ctrl-C", _signals(signal.SIGINT), saves=True),
        Kind("SIGKILL of the suite", _signals(signal.SIGKILL)),
        Kind("gate: Ctrl-C", _signals(signal.SIGINT), gates=True),
        Kind("SIGTERM", _signals(signal.SIGTERM), saves=True),
        None,
        Kind("Ctrl-C twice", _signals(signal.SIGINT, signal.SIGINT), saves=True),
        KILLED_IN_GATE,
        Kind("full disk", _fill_disk, ends=False, small_disk=True),
        Kind("SIGHUP", _signals(signal.SIGHUP), saves=True),
    ]
    return [kind for kind in every if kind is None or os.geteuid() == 0 or not kind.small_disk]


def course(number: int, last: Kind | None, artifacts: Path, chance: random.Random) -> Course:
    """Start a session, kill up to two of its processes, do what comes last, and look at what is left."""
    emptied = number % EMPTIED_EVERY == EMPTIED_EVERY - 1
    if emptied:
        shutil.rmtree(artifacts, ignore_errors=True)
    gates, small_disk = last is not None and last.gates, last is not None and last.small_disk
    kills = [KILLED_IN_GATE if gates else KILLED] * chance.choice([1, 2] if last is None else [0, 0, 1])
    with tempfile.TemporaryDirectory(prefix="soak-") as name, _disk(small_disk, Path(name)) as storage:
        session, done, harmed_s = Session(Path(name), storage, artifacts, gates=gates), [], time.monotonic()
        try:
            for kind in [*kills, *([last] if last else [])]:
                if not _waited(session, kind, chance) or not _has(session, kind):
                    break
                lines = session.said().strip().splitlines()
                harmed_s = time.monotonic()
                kind.harm(session, chance)
                done.append(Moment(kind.name, lines[-1][:LONGEST_MESSAGE] if lines else ""))
            ended_by = last.name if last and last.ends and done and done[-1].kind == last.name else ""
            wrong = [*_ending(session)]
            ended_s = time.monotonic() - harmed_s
            names = {each.kind for each in done}
            wrong += [
                *(
                    _gate_left(session, killed=KILLED_IN_GATE.name in names)
                    if gates
                    else _left(session, ended_by, resumes=last is not None and last.name in names and not last.saves)
                )
            ]
        finally:
            session.kill()
        return Course(
            number=number,
            commit=_commit(),
            gates=gates,
            emptied=emptied,
            moments=[asdict(each) for each in done],
            ended_by=ended_by,
            ended_s=ended_s if ended_by else None,
            status=session.process.returncode,
            finished=len(session.finished()),
            said=session.said()[-LONGEST_MESSAGE:],
            wrong=wrong,
        )


@contextmanager
def _disk(small: bool, folder: Path) -> Iterator[Path]:
    with mounted(folder / "disk", DISK) if small else nullcontext(folder / "storage") as storage:
        yield storage


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _ending(session: Session) -> Iterator[str]:
    """It ends, without a traceback, and no process of it is left."""
    if not session.ends_within(END_LIMIT_S):
        yield f"still running after {END_LIMIT_S:.0f} s: {session.said()[-LONGEST_MESSAGE:]!r}"
        session.process.kill()
        session.process.wait()
    for pid in [pid for pid in session.others() if not ended(pid, limit_s=ORPHAN_LIMIT_S)]:
        yield f"an orphan: {Path(f'/proc/{pid}/cmdline').read_bytes()[:LONGEST_MESSAGE]!r}"
        kill(pid)
    if "Traceback (most recent call last)" in session.said() and READY[session.gates] in session.said():
        yield f"a traceback: {session.said()[-5 * LONGEST_MESSAGE :]!r}"


def _left(session: Session, ended_by: str, *, resumes: bool) -> Iterator[str]:
    """Files are whole, what was finished is saved or (`resumes`) resumed, and nothing else is."""
    killed = session.process.returncode == -signal.SIGKILL
    (session.storage / "filler").unlink(missing_ok=True)
    finished, said = session.finished(), session.said()
    if moved := KEPT.search(said):
        shutil.move(moved[2], moved[1])
    yield from _partial(session, temporary=killed)
    saved = session.saved()
    if saved - finished:
        yield f"saved and never finished: {sorted(saved - finished)}: {said[-LONGEST_MESSAGE:]!r}"
    if finished - saved and not resumes:
        yield f"finished and not saved: {sorted(finished - saved)}: {said[-LONGEST_MESSAGE:]!r}"
    if not ended_by and finished != set(STEPS) and not TOLD.search(said):
        yield f"steps are missing without a word: {said[-LONGEST_MESSAGE:]!r}"
    if not killed and (files := _files(session.temporary)):
        yield f"temporary files are left: {files}"
    if finished - saved and resumes:
        status, output = session.suite.run("--benchmark-autosave", "--resume", *SMALL, steps=STEPS)
        runs = session.suite.runs()
        resumed = {each["extra_info"]["step"] for run in runs for each in run["benchmarks"] if each["extra_info"]["resumed"]}
        if status or resumed != finished or session.saved() != set(STEPS):
            yield f"--resume (exit {status}) took {sorted(resumed)} of {sorted(finished)}: {output[-LONGEST_MESSAGE:]!r}"


def _gate_left(session: Session, *, killed: bool) -> Iterator[str]:
    """Its worktrees are gone, it ends with a verdict or says why there is none, and equal sides are no regression."""
    listed = subprocess.run(["git", "worktree", "list"], cwd=session.clone, capture_output=True, text=True, check=True).stdout
    if len(listed.splitlines()) > 1:
        yield f"worktrees are left: {listed}"
    said, code = session.said(), session.process.returncode
    if code not in GATE_ENDS and READY[True] in said:
        yield f"it ended with {code}: {said[-LONGEST_MESSAGE:]!r}"
    if code != -signal.SIGINT and not re.search(r"PASS|INCONCLUSIVE|ERROR|error|interrupted", said):
        yield f"no verdict: {said[-LONGEST_MESSAGE:]!r}"
    if not killed and (files := _files(session.temporary)):  # a killed side cannot remove its own
        yield f"temporary files are left: {files}"


def _files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir())[:5]


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


def table(done: Sequence[Course], seed: int) -> str:
    """Return docs/results/reliability.md's table of what was done and what came of it."""
    machine, moments = this_machine(), [each["kind"] for one in done for each in one.moments]
    names = [KILLED.name, *(kind.name for kind in lasts() if kind)]
    wrong = [(" then ".join(each["kind"] for each in one.moments), one.commit, text) for one in done for text in one.wrong]
    ends = {name: [one.ended_s for one in done if one.ended_s is not None and one.ended_by == name] for name in names}
    return "\n".join(
        [
            f"{datetime.now(UTC):%d %B %Y}, {machine.cpu_model}, {len(machine.allowed_cpus)} CPUs, beside other work; seed {seed}. "
            f"{len(moments)} moments in {len(done)} sessions. {sum(one.finished > 0 for one in done)} sessions had finished steps by their "
            f"end; the artifact cache was emptied {sum(one.emptied for one in done)} times. Promises broken: {len(wrong)}.",
            "",
            "| what was done | moments | ended within, median (longest) |",
            "|---|---:|---:|",
            *(f"| {name} | {moments.count(name)} | {_ends(ends[name])} |" for name in names),
            "",
            "Times are of a busy machine, and hold no promise.",
            *(
                [
                    "",
                    "Broken, each at the commit where it was seen:",
                    "",
                    *(f"- **{name}** ({commit}): {text.split(': ')[0]}" for name, commit, text in wrong),
                ]
                if wrong
                else []
            ),
            "",
        ]
    )


def _ends(took_s: Sequence[float]) -> str:
    return f"{median(took_s):.1f} s ({max(took_s):.1f})" if took_s else "-"


def with_table(page: str, written: str) -> str:
    """Return the page with what stands between its marks replaced. Raises ValueError where it has none."""
    begin, end = (page.index(mark) for mark in MARKS)
    return page[: begin + len(MARKS[0])] + written + page[end:]


def main() -> int:
    """Return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=200, metavar="N", help="in all, those of earlier calls included (default: 200)")
    parser.add_argument("--minutes", type=float, default=float("inf"), metavar="M", help="begin no session later than that")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "soak", metavar="DIR", help="what was done, and the artifacts")
    parser.add_argument(
        "--page", type=Path, default=PAGE, metavar="FILE", help="whose table is written anew (default: docs/results/reliability.md)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # its session ends with it
    options.folder.mkdir(parents=True, exist_ok=True)
    journal, began_s = options.folder / "sessions.jsonl", time.monotonic()
    done = [Course(**each) for each in read_lines(journal)[1]] if journal.exists() else []
    while sum(len(one.moments) for one in done) < options.moments and time.monotonic() - began_s < 60 * options.minutes:
        number, last = len(done), lasts()[len(done) % len(lasts())]
        done.append(course(number, last, options.folder / "artifacts", random.Random(f"{options.seed}-{number}")))
        append_line(journal, asdict(done[-1]), {"seed": options.seed})
        print(json.dumps(asdict(done[-1])), flush=True)
        write_atomically(options.page, with_table(options.page.read_text(), table(done, options.seed)).encode())
    return int(any(one.wrong for one in done))


if __name__ == "__main__":
    sys.exit(main())
