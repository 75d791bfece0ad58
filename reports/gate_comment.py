"""The gate's one comment on a pull request: `python3 -m reports.gate_comment`, in a workflow that a finished gate starts.

The gate's artifacts come from a job that ran the pull request's code, so they are data of unknown origin: they are read in memory and in
part, and their Markdown is taken apart and escaped anew. Which pull request it is, GitHub says. Needs `gh` and the standard library only.
"""

import json
import lzma
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from reports.text.markdown import escape, escape_cell, unescape

MARKER = "<!-- gate of cpu-inference-ladder -->"
AUTHOR = "github-actions[bot]"
MOST_MACHINES = 8
LARGEST_ARTIFACT = 20 * 2**20
LONGEST_COMMENT = 60_000  # GitHub takes 65,536 characters
LONGEST_LINE = 4000
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, KeyError, NotImplementedError, RuntimeError, EOFError, OSError, ValueError
)  # fmt: skip
_RULE = re.compile(r"\|(:?-+:?\|)+")


def main() -> int:
    """Write or renew the comment; return 0, also where there is nothing to comment on."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text())
    repository, run = str(event["repository"]["full_name"]), event["workflow_run"]
    numbers = _pull_requests(repository, run)
    if not numbers:
        print(f"no open pull request has {run['head_sha']} as its head: it was closed, or has moved on")
        return 0
    body = comment(dict(_results(repository, run["id"])), run["html_url"], run["head_sha"])
    for number in numbers:
        _write(repository, number, body)
    return 0


def comment(results: Mapping[str, str], url: str, commit: str) -> str:
    """Return the comment for the Markdown of each machine, all of it untrusted; `url` and `commit` are GitHub's own words."""
    lines = [MARKER]
    for name, markdown in results.items():
        lines += [f"**{escape(name, 100)}**\n", trusted(markdown, LONGEST_COMMENT // len(results)), ""]
    if not results:
        lines.append("### 💥 Performance gate: no result\n\nThe job ended before the gate could say anything.\n")
    lines.append(f"[Run and files]({url}), gate of {commit}")
    return "\n".join(lines) + "\n"


def trusted(markdown: str, longest: int = LONGEST_COMMENT) -> str:
    """Return the gate's Markdown with only its headings, lists and tables as structure, and everything in them escaped.

    What the gate wrote comes back unchanged; anything else becomes text.
    """
    lines: list[str] = []
    left = longest
    for line in markdown.splitlines():
        lines.append(_trusted_line(line))
        left -= len(lines[-1]) + 1
        if left < 0:
            lines[-1] = "\nThe rest is cut off here; the run has it whole."
            break
    return "\n".join(lines)


def _trusted_line(line: str) -> str:
    if _RULE.fullmatch(line) or not line:
        return line
    if line.startswith("| ") and line.endswith(" |"):
        return f"| {' | '.join(escape_cell(unescape(cell), LONGEST_LINE) for cell in line[2:-2].split(' | '))} |"
    prefix = next((start for start in ("### ", "- ") if line.startswith(start)), "")
    return prefix + escape(unescape(line[len(prefix) :]), LONGEST_LINE)


def _pull_requests(repository: str, run: Mapping[str, Any]) -> list[int]:
    """Return the open pull requests whose head is the run's commit, in the run's own head repository.

    The event's list of pull requests is empty for forks, and so is the commit's: https://github.com/github/docs/issues/22501
    """
    source = run["head_repository"]
    query = {"state": "open", "per_page": "100", "head": f"{source['owner']['login']}:{run['head_branch']}"}
    found = json.loads(_gh(f"repos/{repository}/pulls", "--method", "GET", *(f"--raw-field={key}={value}" for key, value in query.items())))
    return [
        pull["number"]
        for pull in found
        if pull["head"]["sha"] == run["head_sha"] and pull["head"]["repo"] and pull["head"]["repo"]["id"] == source["id"]
    ]


def _results(repository: str, run: int) -> Iterator[tuple[str, str]]:
    """Yield machine and Markdown of the run's artifacts."""
    listed = json.loads(_gh(f"repos/{repository}/actions/runs/{run}/artifacts?per_page=100"))["artifacts"]
    gates = sorted((artifact for artifact in listed if artifact["name"].startswith("gate-")), key=lambda artifact: str(artifact["name"]))
    for artifact in gates[:MOST_MACHINES]:
        name = str(artifact["name"]).removeprefix("gate-")
        if artifact["size_in_bytes"] > LARGEST_ARTIFACT:
            yield name, f"The artifact has {artifact['size_in_bytes']} bytes, more than a gate leaves behind: not read."
            continue
        yield name, markdown_of(_gh(f"repos/{repository}/actions/artifacts/{int(artifact['id'])}/zip"))


def markdown_of(packed: bytes) -> str:
    """Return the gate's Markdown out of an artifact, which may hold anything."""
    try:
        with zipfile.ZipFile(BytesIO(packed)) as archive, archive.open("gate.md") as opened:
            return opened.read(4 * LONGEST_COMMENT).decode(errors="replace")
    except UNREADABLE:
        return "The artifact holds no readable gate.md."


def _write(repository: str, number: int, body: str) -> None:
    """Renew the comment that carries the marker and is the workflow's own, or write the first one."""
    pages = json.loads(_gh(f"repos/{repository}/issues/{number}/comments?per_page=100", "--paginate", "--slurp"))
    own = [each["id"] for page in pages for each in page if each["user"]["login"] == AUTHOR and each["body"].startswith(MARKER)]
    path, method = (f"comments/{own[0]}", "PATCH") if own else (f"{number}/comments", "POST")
    _gh(f"repos/{repository}/issues/{path}", "--method", method, "--input", "-", given=json.dumps({"body": body}))
    print(f"{'renewed' if own else 'wrote'} the comment on #{number}")


def _gh(path: str, *arguments: str, given: str | None = None) -> bytes:
    """Ask GitHub's API; a failure ends the job with what `gh` says on stderr."""
    data = None if given is None else given.encode()
    return subprocess.run(["gh", "api", path, *arguments], input=data, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603, S607 - the gh on PATH


if __name__ == "__main__":
    sys.exit(main())
