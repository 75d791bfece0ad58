"""Runs git for the gate: it asks nobody, waits for no network for ever, and runs none of the repository's hooks."""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path

from reports.gate.benchmarks import GateError

LONGEST_S = 600.0
SILENT = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
# LFS files come from the clone's own store (local_objects.py): the filter would ask a server.
SETTINGS = ("core.hooksPath=/dev/null", "filter.lfs.smudge=", "filter.lfs.process=", "filter.lfs.required=false")
# What a hook around this gate would point git at, as `git rev-parse --local-env-vars` names it.
LOCATIONS = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}


class GitError(GateError):
    """Git refused; the message holds what it said."""


def git(folder: Path, *arguments: str, longest_s: float = LONGEST_S, fine: Collection[int] = (0,)) -> str:
    """Return what git prints, in English. Raises GitError for a status that is not `fine`, and where it takes too long or cannot be run."""
    environment = {name: value for name, value in os.environ.items() if name not in LOCATIONS} | SILENT
    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    try:
        ran = subprocess.run(  # noqa: S603 - git, with arguments that are no options
            ["git", *settings, "-C", str(folder), *arguments],  # noqa: S607 - the git on PATH
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
            timeout=longest_s,
        )
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]} in {folder} had not ended after {longest_s:.0f} s") from error
    if ran.returncode not in fine:
        raise GitError(f"git {arguments[0]} failed in {folder}: {ran.stderr.strip() or f'status {ran.returncode}'}")
    return ran.stdout.strip("\n")


def listed(folder: Path, *arguments: str) -> list[str]:
    """Return the entries of a command that separates them by NUL. Raises GitError."""
    return [entry for entry in git(folder, *arguments).split("\0") if entry]


def top_of(folder: Path) -> Path | None:
    """Return the top of the working folder that `folder` is in, None where it is in none."""
    try:
        return Path(git(folder, "rev-parse", "--show-toplevel"))
    except GitError:
        return None
