"""Durations as people type and read them."""

import re

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_S = 8784 * 3600.0  # a leap year: a number without end could not be read back from where it is saved


def seconds_of(text: str) -> float:
    """Return `90s`, `20m`, `1h` or `1h30m` in seconds. Raises ValueError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smh])", text)
    if not parts or re.sub(r"\d+(?:\.\d+)?\s*[smh]|\s", "", text):
        raise ValueError(f"expected a duration such as 90s, 20m or 1h30m, found {text!r}")
    total = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if total <= 0:
        raise ValueError(f"expected a duration above 0, found {text!r}")
    if total > LONGEST_S:
        raise ValueError(f"expected a duration of at most {LONGEST_S / SECONDS['h']:.0f}h, found {text[:40]!r}")
    return total


def duration(seconds: float) -> str:
    """Return seconds as `45 s`, `3.5 min` or `1.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.{0 if seconds % 60 == 0 else 1}f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
