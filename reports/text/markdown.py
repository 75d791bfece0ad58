"""Text of unknown origin as Markdown that shows it as it is. Needs the standard library only."""

import re
from collections.abc import Iterable

from reports.text.plain_text import plain

_MARKUP = r"([\\`*_{}\[\]()#+.!|~$^-])"
_FIGURE = re.compile(r"-|\d+\+\d+|[-+]?[\d.]+x?(e[+-]\d+)?( %| to [\d.]+)?( \[[-+\d., e]+\])?( \(max of \d+\))?")
_NOTHING = "<!-- -->"  # keeps GitHub from reading a mention or a link, and shows as nothing


def escape(text: object, longest: int = 400) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no mention, no link, no break of a table."""
    shown = re.sub(_MARKUP, r"\\\1", plain(text, longest))
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = re.sub(r"\\#(?=\d)", rf"\\#{_NOTHING}", shown)  # an issue's number
    shown = re.sub(r"\b(GH)\\-(?=\d)", rf"\1{_NOTHING}\\-", shown, flags=re.IGNORECASE)
    return shown.replace("@", f"@{_NOTHING}").replace("://", f":{_NOTHING}//")


def escape_cell(text: str, longest: int = 400) -> str:
    """Return a cell of a table likewise; figures have no markup and stay readable as they are."""
    return text if _FIGURE.fullmatch(text) else escape(text, longest)


def table(*rows: Iterable[object]) -> str:
    """Return a table of our own words, which may be Markdown, the heading first; a bar in a cell becomes a slash."""
    heading, *others = (tuple(str(cell).replace("|", "/") for cell in row) for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, ("---",) * len(heading), *others))


def unescape(text: str) -> str:
    """Return the text that `escape` was given, but for the part that it cut off."""
    shown = text.replace(_NOTHING, "").replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
    return re.sub(rf"\\{_MARKUP}", r"\1", shown)
