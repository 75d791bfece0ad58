"""Options and commands that were renamed: the old spelling works for one release, and says the new one."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

HIDDEN = argparse.SUPPRESS
FORMER_COMMANDS = {"calibrate": "peaks"}


def renamed_to(now: str) -> type[argparse.Action]:
    """Return the action of an option whose name is `now` another."""

    class Renamed(argparse.Action):
        def __call__(self, _parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
            print(f"note: {option} is now called {now}; the old name goes with the next release", file=sys.stderr)
            found = True if self.nargs == 0 else values
            if self.choices is not None:  # a repeatable one
                found = [*(getattr(namespace, self.dest) or ()), values]
            setattr(namespace, self.dest, found)

    return Renamed


def as_now_called(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with the command's present name."""
    if not words or words[0] not in FORMER_COMMANDS:
        return list(words)
    now = FORMER_COMMANDS[words[0]]
    print(f"note: {words[0]} is now called {now}; the old name goes with the next release", file=sys.stderr)
    return [now, *words[1:]]
