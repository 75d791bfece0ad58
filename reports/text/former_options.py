"""Options that were renamed: the old spelling works for one release, and says the new one."""

import argparse
import sys
from typing import Any

HIDDEN = argparse.SUPPRESS


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
