"""How long something may take, as a person writes it."""

from __future__ import annotations

import math
import re

from matinee.core.errors import SettingsError
from matinee.core.wording import duration_in_words

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])", re.IGNORECASE)
_WHOLE = re.compile(rf"(?:{_PART.pattern}\s*)+", re.IGNORECASE)


def parse_duration(value: str | float | None, name: str = "--timeout") -> float | None:
    """Return a duration in seconds: `5400`, `"5400"`, `"90m"` and `"1h 30m"` are the same; None stays None.

    Args:
        value: A number of seconds, or text: a number, or numbers with `s`, `m`, `h` or `d` behind each.
        name: What to call it in an error.

    Raises:
        SettingsError: It is no duration above 0.
    """
    if value is None:
        return None
    seconds = _seconds(value)
    if seconds is None or not 0 < seconds < math.inf:
        raise SettingsError(f"{name} must be seconds, or a time such as 90m or 2h, above 0; got {value!r}.")
    return seconds


def measured_in_words(seconds: float) -> str:
    """Return a duration that was measured, and need not be rounded as a guess is: `0.04 s`, `7.5 s`, `1.5 minutes`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    return f"{seconds:.1f} s" if seconds < 57.5 else duration_in_words(seconds)


def _seconds(value: str | float) -> float | None:
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return float(sum(float(number) * _UNITS[unit.lower()] for number, unit in _PART.findall(value)))
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
