"""Names from saved files made safe to show: they are data of unknown origin, never markup and never control codes."""

import unicodedata

LONGEST_NAME = 200


def plain(text: object, longest: int = LONGEST_NAME) -> str:
    """Return `text` on one line without control, format or surrogate characters, cut to `longest` characters."""
    shown = "".join(" " if character.isspace() else character for character in str(text) if _is_shown(character))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _is_shown(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
