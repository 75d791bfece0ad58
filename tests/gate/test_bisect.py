"""Which commit is found: real repositories and git's own search; each gate is made up, as its commit says."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.__main__ import main
from reports.gate import bisect as module
from reports.gate.benchmarks import Benchmark, GateError
from reports.gate.bisect import Found, bisect
from reports.gate.decision import Judged, Rules, Verdict
from reports.gate.result import Result, Row
from reports.gate.run import Request
from reports.gate.sides import Settings
from reports.text.image_shape import square
from tests.gate.conftest import Repository, committed
from tests.gate.pairs import result

SLOW, CALM = Benchmark("m", "slow"), Benchmark("m", "calm")
SETTINGS = Settings(
    models=("m",), image=square(64), sequence_length=8, batch_size=1, threads=1, weights=None, artifact_cache=Path("x"),
    worker_timeout_s=9.0, memory_limit_bytes=1,
)  # fmt: skip


@pytest.fixture
def history(tmp_path: Path) -> Repository:
    """Eight commits, tagged by their number."""
    made = committed(tmp_path / "history")
    for number in range(8):
        made.commit(f"Number {number}", {"number.txt": str(number)})
        made.git("tag", f"n{number}")
    return made


def search(history: Repository, verdict_of: Callable[[int], Verdict], good: str = "n0", bad: str = "n7") -> tuple[Found, list[Request]]:
    """Bisect with gates that say of a commit's number as told; a second benchmark always passes."""
    asked: list[Request] = []

    def judge(request: Request) -> Result:
        asked.append(request)
        number = int(history.git("show", f"{request.head}:number.txt"))
        if verdict_of(number) is Verdict.ERROR:
            raise GateError("the side does not start")
        verdicts = {SLOW: verdict_of(number), CALM: Verdict.PASS}
        rows = [
            Row(model=each.model, step=each.step, judged=Judged(verdict=verdict, why=f"number {number}"))
            for each, verdict in verdicts.items()
            if request.only is None or each in request.only
        ]
        return result(*rows, verdict=verdict_of(number))

    request = Request(
        base=good, head=bad, base_python=None, head_python=None, expression=None, settings=SETTINGS, rules=Rules(), budget_s=1.0, out=None
    )
    return bisect(request, history.folder, lambda _judgement: None, judge), asked


@pytest.mark.parametrize("first", [1, 2, 5, 7])
def test_first_bad_commit_is_found(history: Repository, first: int) -> None:
    """Each commit is judged against the good one, by what regressed on the bad one only; no worktree is left."""
    found, asked = search(history, lambda number: Verdict.REGRESSION if number >= first else Verdict.PASS)

    assert (history.git("rev-parse", f"n{first}").strip(),) == found.first_bad
    assert len(found.judged) <= 4
    assert {history.git("rev-parse", "n0").strip()} == {request.base for request in asked}
    assert [None, frozenset({SLOW})] == [asked[0].only, *{request.only for request in asked[1:]}]
    assert 1 == len(history.worktrees)


@pytest.fixture
def git_that_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that puts a git on the path whose first bad commit is named in other words."""
    real = shutil.which("git")

    def put(words: str) -> None:
        script = tmp_path / "bin" / "git"
        script.parent.mkdir()
        script.write_text(f'#!/bin/bash\nset -o pipefail\n{real} "$@" | sed "s/is the first bad commit/{words}/"\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)

    return put


def test_git_2_55_quotes_the_word_and_is_understood(history: Repository, git_that_says: Callable[[str], None]) -> None:
    """Its bisect.c prints `%s is the first '%s' commit`; what is not understood would be judged until the most steps are reached."""
    git_that_says("is the first 'bad' commit")
    found, asked = search(history, lambda number: Verdict.REGRESSION if number >= 5 else Verdict.PASS)

    assert (history.git("rev-parse", "n5").strip(),) == found.first_bad
    assert len(asked) <= 4


def test_git_whose_end_is_not_understood_ends_the_search(history: Repository, git_that_says: Callable[[str], None]) -> None:
    git_that_says("started it")
    with pytest.raises(GateError, match=r"git bisect \w+ names no other commit, and no first bad one: [0-9a-f]{40} started it"):
        search(history, lambda number: Verdict.REGRESSION if number >= 5 else Verdict.PASS)
    assert 1 == len(history.worktrees)


@pytest.mark.parametrize("unclear", [Verdict.INCONCLUSIVE, Verdict.ERROR])
def test_commit_that_cannot_be_told_is_skipped(history: Repository, unclear: Verdict) -> None:
    """The search goes around it; where it lies at the border, both are named."""
    around, _ = search(history, lambda number: unclear if number == 3 else Verdict.REGRESSION if number >= 6 else Verdict.PASS)
    assert (history.git("rev-parse", "n6").strip(),) == around.first_bad

    border, _ = search(history, lambda number: unclear if number == 3 else Verdict.REGRESSION if number >= 4 else Verdict.PASS)
    assert {history.git("rev-parse", name).strip() for name in ("n3", "n4")} == set(border.first_bad)


def test_bad_that_is_no_regression_ends_the_search(history: Repository) -> None:
    found, asked = search(history, lambda _number: Verdict.INCONCLUSIVE)

    assert () == found.first_bad
    assert "n7 against n0 is INCONCLUSIVE, no REGRESSION: nothing to find" == found.reason
    assert 1 == len(asked)


def test_search_of_the_users_own_goes_on(history: Repository) -> None:
    """Its state, and what is checked out, are as before."""
    history.git("bisect", "start", "n6", "n1")
    before = (history.git("bisect", "log"), history.git("rev-parse", "HEAD"))
    search(history, lambda number: Verdict.REGRESSION if number >= 2 else Verdict.PASS)

    assert before == (history.git("bisect", "log"), history.git("rev-parse", "HEAD"))


def test_bad_that_cannot_be_judged_is_an_error(history: Repository) -> None:
    """One between the two is skipped; without the bad one there is no question."""
    with pytest.raises(GateError, match="does not start"):
        search(history, lambda _number: Verdict.ERROR)
    assert 1 == len(history.worktrees)


@pytest.mark.parametrize("bad", ["n1", "n3"])
def test_bad_that_is_not_after_good_is_refused_before_a_gate(history: Repository, bad: str) -> None:
    """The two may be mistaken for each other; git says so with a status, after the first gate."""
    with pytest.raises(GateError, match=f"nothing lies between: the bad commit {bad} is the good one, n3, or came before it"):
        search(history, lambda _number: pytest.fail("a gate was held"), good="n3", bad=bad)


def test_revision_that_is_none_is_an_error(history: Repository) -> None:
    with pytest.raises(GateError, match="'nowhere' names no commit"):
        search(history, lambda _number: Verdict.PASS, good="nowhere")


def test_command_tells_the_commit_and_exits_as_documented(
    history: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(history.folder)
    commits = tuple(history.git("rev-parse", name).strip() for name in ("n3", "n4"))

    def found(**fields: Any) -> None:
        monkeypatch.setattr(module, "bisect", lambda *_: replace(Found(), **fields))

    arguments = ["bisect", "--good", "n0", "--bad", "n7", "-k", "baseline"]
    found(first_bad=commits[:1])
    assert 0 == main(arguments)
    assert f"the first bad commit is {commits[0]}" in " ".join(capsys.readouterr().out.split())
    found(first_bad=commits)
    assert 3 == main(arguments)
    assert "could not be told" in " ".join(capsys.readouterr().out.split())
    found(reason="no REGRESSION: nothing to find")
    assert 3 == main(arguments)
