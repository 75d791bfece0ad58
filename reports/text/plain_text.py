"""Names from saved files made safe to show: they are data of unknown origin, never markup and never control codes."""

import io
import sys
import unicodedata
from collections.abc import Sequence
from typing import TextIO

LONGEST_NAME = 200


def plain(text: object, longest: int = LONGEST_NAME) -> str:
    """Return `text` on one line without control, format or surrogate characters, cut to `longest` characters."""
    shown = str(text)
    if not shown.isprintable() or not shown.isascii():  # nearly every name is both: nothing to take out
        shown = "".join(" " if character.isspace() else character for character in shown if _is_shown(character))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def say(text: object, longest: int = 600) -> None:
    """Print a note beside the results, which alone are on stdout."""
    print(plain(text, longest), file=sys.stderr, flush=True)


def some_of(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return the first `most` of the names, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + more


def let_any_text_through(stream: TextIO) -> None:
    """Let a stream that is not UTF-8 show `?` for what it cannot encode, in place of a UnicodeEncodeError in the middle of a table."""
    if isinstance(stream, io.TextIOWrapper) and not (stream.encoding or "").lower().replace("-", "").startswith("utf"):
        stream.reconfigure(errors="replace")


def _is_shown(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
