"""The command `ladder`, for any folder: `run` and `quick` measure by pytest, every other word is one of `python -m reports`.

Installed, all of the suite lies in one package, `inference_ladder`, so that nothing of it takes the place of somebody's `fixtures` or
`reports`. In the processes of this command, and in the workers that it starts, these two names are the suite's.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
MEASURE = ("run", "quick")
USAGE_ERROR = 4  # pytest's own


class NoSuchBenchmark(Exception):
    """A word before the options names no file of benchmarks; the message says which there are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: pytest's own for `run` and `quick`, else that of `python -m reports`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.path[:1] != [str(ROOT)]:
        sys.path.insert(0, str(ROOT))
    if words and words[0] in MEASURE:
        from reports.saved.files import NO_CURRENT_FOLDER, has_current_folder

        if not has_current_folder():
            print(f"error: {NO_CURRENT_FOLDER}", file=sys.stderr)
            return USAGE_ERROR
        try:
            command = pytest_arguments(words[1:], quick=words[0] == "quick")
        except NoSuchBenchmark as error:
            print(f"error: {error}", file=sys.stderr)
            return USAGE_ERROR
        import pytest

        return int(pytest.main(command))
    from reports.__main__ import main as reports

    return reports(words, program="ladder")


def pytest_arguments(words: Sequence[str], *, quick: bool = False) -> list[str]:
    """Return what pytest is called with for `ladder run WORDS`: files of benchmarks first, if any, then options.

    The suite's own benchmarks run under the suite's own settings: no pytest.ini, pyproject.toml or conftest.py of the caller's folder
    decides how steps are measured. Files of the caller run under the caller's, with the suite's options and fixtures. What was measured
    is saved. Raises NoSuchBenchmark.
    """
    named = 0
    while named < len(words) and not words[named].startswith("-"):
        named += 1
    files, options = [_benchmarks(word) for word in words[:named]] or [str(BENCHMARKS)], list(words[named:])
    ours = all(Path(file.partition("::")[0]).resolve().is_relative_to(BENCHMARKS) for file in files)
    settings = [f"--rootdir={ROOT}", "-c", str(BENCHMARKS / "ladder.ini"), "-p", "no:cacheprovider"] if ours else ["--benchmark-save-data"]
    save = [] if any(option.partition("=")[0] in {"--proofs", "--benchmark-disable"} for option in options) else ["--benchmark-autosave"]
    return ["-p", "fixtures.suite", *settings, *save, *(["--quick"] if quick else []), *files, *options]


def _benchmarks(word: str) -> str:
    """Return the file or folder that a word names, with what follows `::`: the caller's own, else one of the suite's by its name."""
    file, separator, test = word.partition("::")
    path = Path(file)
    if path.exists():
        return word
    own = BENCHMARKS / path.name
    if path.parent.name in {"", BENCHMARKS.name} and own.is_file():
        return f"{own}{separator}{test}"
    known = sorted(each.name for each in BENCHMARKS.glob("test_*.py"))
    raise NoSuchBenchmark(
        f"{file!r}: no such file of benchmarks in {os.getcwd()}: expected a path, or one of {', '.join(known)}; options come after it"  # noqa: PTH109
    )


if __name__ == "__main__":
    sys.exit(main())
