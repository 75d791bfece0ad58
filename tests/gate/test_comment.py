"""The comment on a pull request: written once and renewed, on the right pull request, whatever the artifact holds."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from reports.gate.decision import Judged, Verdict
from reports.gate.result import Row
from reports.gate.show.gate_tables import gate_markdown
from reports.gate_comment import AUTHOR, LARGEST_ARTIFACT, LONGEST_COMMENT, MARKER, MOST_MACHINES, comment, trusted
from tests.gate.pairs import percent, result, row
from tests.gate.test_render import HOSTILE, SLOWER, A, B
from tests.processes import program

ROOT = Path(__file__).parents[2]
SHA = "c0ffee" * 6 + "c0ff"
FORK = {"id": 7, "owner": {"login": "someone"}}
RUN = {"id": 42, "head_sha": SHA, "head_branch": "patch-1", "head_repository": FORK, "html_url": "https://github.com/o/r/actions/runs/42"}
GH = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
path = sys.argv[2].split("?")[0]
given = sys.stdin.read() if "--input" in sys.argv else ""
with (folder / "calls").open("a") as calls:
    print(json.dumps([path, *sys.argv[3:], given]), file=calls)
answer = folder / path.replace("/", "+")
if not answer.exists():
    sys.exit(f"gh: Not Found (HTTP 404): {{path}}")
sys.stdout.buffer.write(answer.read_bytes())
"""


class GitHub:
    """A `gh` that answers from files, and the comment program run against it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program(folder / "gh", GH.format(python=sys.executable, folder=str(folder)))
        self.pulls(pull(3))
        self.comments()

    def answer(self, path: str, content: object) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (self._folder / f"repos/o/r/{path}".replace("/", "+")).write_bytes(data)

    def pulls(self, *pulls: dict[str, Any]) -> None:
        self.answer("pulls", pulls)

    def comments(self, *comments: tuple[int, str, str]) -> None:
        self.answer("issues/3/comments", [[{"id": number, "user": {"login": login}, "body": body} for number, login, body in comments]])
        for number, _, _ in comments:
            self.answer(f"issues/comments/{number}", {})

    def artifacts(self, **contents: bytes) -> None:
        listed = [{"id": i, "name": name, "size_in_bytes": len(data)} for i, (name, data) in enumerate(contents.items())]
        self.answer("actions/runs/42/artifacts", {"artifacts": listed})
        for i, data in enumerate(contents.values()):
            self.answer(f"actions/artifacts/{i}/zip", data)

    def run(self) -> str:
        event = self._folder / "event.json"
        event.write_text(json.dumps({"repository": {"full_name": "o/r"}, "workflow_run": RUN}))
        environment = os.environ | {"PATH": f"{self._folder}:{os.environ['PATH']}", "GITHUB_EVENT_PATH": str(event)}
        # -S: the workflow's job has the standard library only
        command = [sys.executable, "-S", "-m", "reports.gate_comment"]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    @property
    def written(self) -> list[tuple[str, str, str]]:
        """Method, path and body of every comment."""
        calls = [json.loads(line) for line in (self._folder / "calls").read_text().splitlines()]
        return [(call[call.index("--method") + 1], call[0], json.loads(call[-1])["body"]) for call in calls if "--input" in call]


def pull(number: int, *, sha: str = SHA, repository: int | None = 7) -> dict[str, Any]:
    return {"number": number, "head": {"sha": sha, "repo": None if repository is None else {"id": repository}}}


def packed(text: str, name: str = "gate.md") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return data.getvalue()


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    return GitHub(tmp_path)


@pytest.mark.parametrize("error", [None, HOSTILE, "a \\ b \\| c &lt; &amp;amp; <!-- --> x"])
def test_what_the_gate_wrote_comes_back_unchanged(error: str | None) -> None:
    """Taking the Markdown apart and escaping it anew loses nothing of it."""
    evil = Row(model=HOSTILE, step="a | b", judged=Judged(verdict=Verdict.ERROR, why=HOSTILE))
    markdown = gate_markdown(result(row(A, SLOWER[:6], SLOWER), row(B, percent(0, 0.1, -0.1, 0, 0.1, 0)), evil, error=error))

    assert markdown.rstrip() == trusted(markdown).rstrip()


@pytest.mark.parametrize(
    "text",
    [
        "@team look",
        "&#64;team look",
        "[click](https://evil.example)",
        "![x](https://evil.example/x.png)",
        "<img src=x onerror=alert(1)>",
        "https://evil.example",
        "<!-- gate of cpu-inference-ladder -->",
        "### @team",
        "- [x](javascript:alert)",
        "| a | @team |",
        "|-|@team|-|",
        "`` `@team` ``",
        "\x1b[31m\u202eevil",
    ],
)
def test_whatever_the_gate_did_not_write_becomes_text(text: str) -> None:
    """No mention, link, picture, HTML or second marker survives."""
    shown = trusted(text)

    for mark in ("@t", "](", "<i", "://e", "&#", "\x1b", "\u202e", "<!-- g"):
        assert mark not in shown


def test_a_gate_that_was_stopped_is_told_as_well() -> None:
    """Or the verdict on the commit before would stand as the newest."""
    condition = (ROOT / ".github/workflows/comment.yml").read_text().partition("contains(fromJSON('")[2].partition("')")[0]

    assert {"success", "failure", "timed_out", "cancelled"} == set(json.loads(condition))


def test_comment_fits_whatever_was_measured() -> None:
    """GitHub takes 65,536 characters; escaping makes a text longer."""
    body = comment({f"machine{i}": "*" * 1000 + "\n" + "@*" * 10**5 for i in range(MOST_MACHINES)}, RUN["html_url"], SHA)  # type: ignore[arg-type]

    assert len(body) < 65_536
    assert MOST_MACHINES == body.count("cut off here")


def test_first_comment_is_written_and_names_every_machine(github: GitHub) -> None:
    """One comment, whichever number of machines held the gate; other artifacts of the run do not matter."""
    github.artifacts(
        **{"gate-c8g": packed("### ✅ Performance gate: PASS\n"), "gate-c7g": packed("### ❌ slower\n"), "logs": packed("secret")}
    )
    assert "wrote the comment on #3\n" == github.run()

    [(method, path, body)] = github.written
    assert ("POST", "repos/o/r/issues/3/comments") == (method, path)
    assert body.startswith(MARKER)
    assert body.index("**c7g**\n\n### ❌ slower") < body.index("**c8g**\n\n### ✅ Performance gate: PASS")
    assert f"[Run and files]({RUN['html_url']}), gate of {SHA}" in body
    assert 2 == body.count("###")


def test_later_gates_renew_the_own_comment_only(github: GitHub) -> None:
    """A person who quotes the marker keeps their comment."""
    github.comments((10, "someone", MARKER), (11, AUTHOR, "another workflow's"), (12, AUTHOR, f"{MARKER}\nold"))
    github.artifacts(**{"gate-c8g": packed("### ✅ PASS\n")})
    assert "renewed the comment on #3\n" == github.run()

    [(method, path, body)] = github.written
    assert ("PATCH", "repos/o/r/issues/comments/12") == (method, path)
    assert "old" not in body


@pytest.mark.parametrize("other", [pull(4, sha="0" * 40), pull(5, repository=8), pull(6, repository=None)])
def test_only_the_pull_request_of_this_very_commit_is_commented_on(github: GitHub, other: dict[str, Any]) -> None:
    """Neither a newer head, nor a branch of the same name elsewhere, nor a deleted fork."""
    github.pulls(other)
    github.artifacts(**{"gate-c8g": packed("### ✅ PASS\n")})

    assert "no open pull request has" in github.run()
    assert [] == github.written


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no zip", "holds no readable gate\\.md"),
        (packed("x", name="../../gate.md"), "holds no readable gate\\.md"),
        (packed("x")[:40], "holds no readable gate\\.md"),
        (packed("0\n" * 10**7), "cut off here"),
        (bytes(LARGEST_ARTIFACT + 1), "more than a gate leaves behind"),
    ],
    ids=["no zip", "another name", "cut off", "bomb", "too large"],
)
def test_damaged_or_hostile_artifact_is_told(github: GitHub, data: bytes, said: str) -> None:
    """Nothing is unpacked to disk, and no more is read than is shown."""
    github.artifacts(**{"gate-c8g": data})
    github.run()

    [(_, _, body)] = github.written
    assert said in body
    assert len(body) < LONGEST_COMMENT + 1000


def test_job_that_ended_early_is_told(github: GitHub) -> None:
    """For instance on another CPU than expected."""
    github.artifacts()
    github.run()

    [(_, _, body)] = github.written
    assert "no result" in body
