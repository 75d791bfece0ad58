"""Which commit made it slower: git's bisect, each commit judged by a gate of its own against the good one."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from reports.gate.benchmarks import Benchmark, GateError
from reports.gate.decision import Verdict
from reports.gate.git import git, top_of
from reports.gate.journal import only_gate_in
from reports.gate.result import Result, Row
from reports.gate.run import Request, hold
from reports.gate.worktrees import worktree
from reports.text.plain_text import plain

MOST_STEPS = 60
_FIRST_BAD = re.compile(r"^([0-9a-f]{40,64}) is the first '?bad'? commit", re.MULTILINE)  # git quotes the word from 2.55 on
_CANDIDATE = re.compile(r"^([0-9a-f]{40,64})$", re.MULTILINE)
_ONLY_SKIPPED = "only 'skip'ped commits left"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """One commit that was judged: its verdict against the good one, and why."""

    commit: str
    subject: str
    verdict: Verdict
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """How a search ended: the first bad commits (several where commits between could not be told), and all that were judged.

    `reason` says why there is none.
    """

    first_bad: tuple[str, ...] = ()
    judged: tuple[Judgement, ...] = ()
    reason: str = ""


class GitBisect:
    """A search of git's own, in a worktree of its own: one that the user is in the middle of is another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.first_bad: tuple[str, ...] = ()

    def start(self, good: str, bad: str) -> None:
        """Begin. Raises GitError."""
        self._take(git(self._folder, "bisect", "start", "--no-checkout", bad, good))

    @property
    def commit(self) -> str:
        """The commit to be judged next."""
        return git(self._folder, "rev-parse", "--verify", "BISECT_HEAD")

    def tell(self, verdict: Verdict) -> None:
        """Say how `commit` was judged: what neither passed nor is a regression is skipped.

        Raises GateError where git has then neither another commit nor an end that is known: the same gate would be held for ever.
        """
        word, judged = {Verdict.PASS: "good", Verdict.REGRESSION: "bad"}.get(verdict, "skip"), self.commit
        said = git(self._folder, "bisect", word, judged, fine=(0, 2))
        self._take(said)
        if not self.first_bad and self.commit == judged:
            raise GateError(f"git bisect {word} names no other commit, and no first bad one: {plain(said, 300)}")

    def _take(self, said: str) -> None:
        if found := _FIRST_BAD.search(said):
            self.first_bad = (found[1],)
        elif _ONLY_SKIPPED in said:
            self.first_bad = tuple(_CANDIDATE.findall(said))


@contextmanager
def searching(here: Path, good: str, bad: str) -> Iterator[GitBisect]:
    """Begin git's search from a worktree that goes at the end. Raises GateError."""
    top = top_of(here)
    if top is None:
        raise GateError(f"{here} is in no working folder of git; start the search in a checkout of the judged repository")
    with TemporaryDirectory(prefix="bisect-") as temporary, only_gate_in(Path(temporary)), worktree(top, Path(temporary) / "state", good):
        search = GitBisect(Path(temporary) / "state")
        search.start(good, bad)
        yield search


def bisect(request: Request, here: Path, tell: Callable[[Judgement], None], judge: Callable[[Request], Result] = hold) -> Found:
    """Search between the request's base, which is good, and its head, which is bad. Raises GateError.

    Head is judged first: where it is no regression there is nothing to be found. Then only what regressed there is measured.
    """
    good, bad = (_commit(here, revision) for revision in (request.base, request.head))
    if git(here, "merge-base", good, bad, fine=(0, 1)) == bad:
        raise GateError(
            f"nothing lies between: the bad commit {request.head} is the good one, {request.base}, or came before it; name the later one "
            "by --bad"
        )
    judged: list[Judgement] = []

    def judge_one(commit: str, only: frozenset[Benchmark] | None) -> Result | None:
        """Judge a commit, and tell it; one between the two may be beyond judging, which returns None."""
        result = None
        try:
            result = judge(replace(request, base=good, head=commit, only=only, notes=()))
            verdict, why = _verdict(result, only), _why(result)
        except GateError as error:
            if commit == bad:
                raise
            verdict, why = Verdict.ERROR, str(error)
        subject = git(here, "show", "--no-patch", "--format=%s", commit)
        judged.append(Judgement(commit=commit, subject=subject, verdict=verdict, why=why))
        tell(judged[-1])
        return result

    result = judge_one(bad, request.only)
    assert result is not None
    worse = frozenset(Benchmark(row.model, row.step) for row in result.of(Verdict.REGRESSION))
    if not worse:
        return Found(
            judged=tuple(judged), reason=f"{request.head} against {request.base} is {result.verdict}, no REGRESSION: nothing to find"
        )
    with searching(here, good, bad) as search:
        for _ in range(MOST_STEPS):
            if search.first_bad:
                return Found(first_bad=search.first_bad, judged=tuple(judged))
            judge_one(search.commit, worse)
            search.tell(judged[-1].verdict)
    return Found(judged=tuple(judged), reason=f"not found within {MOST_STEPS} commits")


def _verdict(result: Result, only: frozenset[Benchmark] | None) -> Verdict:
    """Return REGRESSION where any of the benchmarks regressed, PASS where all of them passed."""
    verdicts = {row.judged.verdict for row in result.rows if only is None or Benchmark(row.model, row.step) in only}
    if Verdict.REGRESSION in verdicts:
        return Verdict.REGRESSION
    return Verdict.PASS if verdicts == {Verdict.PASS} else Verdict.INCONCLUSIVE


def _why(result: Result) -> str:
    worst: Sequence[Row] = [row for row in result.rows if row.judged.verdict is result.verdict]
    return f"{worst[0].id}: {worst[0].judged.why}" if worst else result.error or ""


def _commit(here: Path, revision: str | None) -> str:
    if revision is None:
        raise GateError("a search needs two revisions: name them by --good and --bad")
    try:
        return git(here, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except GateError as error:
        raise GateError(f"{revision!r} names no commit in {here}; fetch it first") from error
