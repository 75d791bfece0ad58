"""Copies of the suite's code that a test may change."""

import shutil
from pathlib import Path

from fixtures.bench.launch import ROOT


def copied(folder: Path, *more: str) -> Path:
    """Copy what workers are started from, and the folders `more`, into `folder`; returns it."""
    for name in ("fixtures", "reports", *more):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def changed(folder: Path, file: str, old: str, new: str, *more: str) -> Path:
    """Return a copy whose workers have `new` in place of `old` in one file."""
    path = copied(folder, *more) / file
    code = path.read_text()
    assert old in code
    path.write_text(code.replace(old, new))
    return folder
