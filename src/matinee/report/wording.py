"""How numbers and names read on the page and in the pictures; whatever is missing reads as a dash."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING = "–"

# C0 and C1 controls, but for tab and line end, draw nothing or break HTML; lone surrogates cannot be written at all.
_UNPRINTABLE = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(0xD800, 0xE000)], "\ufffd")


def known(value: Any) -> TypeGuard[float]:
    """Return whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def percent(share: Any, digits: int = 0) -> str:
    """Return a share as a percentage that says 0 or 100 only where it is."""
    if not known(share):
        return NOTHING
    least = 0.1**digits / 100
    if 0 < share < least / 2:
        return f"<{least:.{digits}%}"
    if 1 - least / 2 < share < 1:
        return f">{1 - least:.{digits}%}"
    return f"{share:.{digits}%}"


def points(difference: Any, digits: int = 1) -> str:
    """Return a difference of shares in signed percentage points, without the word: `+5.7`, `−0.4`."""
    if not known(difference):
        return NOTHING
    text = f"{abs(difference) * 100:.{digits}f}"
    sign = "" if float(text) == 0 else "+" if difference > 0 else "−"
    return sign + text


def number(value: Any, digits: int = 3) -> str:
    """Return a number with so many digits behind the point; whole numbers without any, grouped by thousands."""
    if isinstance(value, bool) or not known(value):
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def span(interval: Any, digits: int = 1) -> str:
    """Return the ends of an interval of shares: `85.9% to 88.9%`."""
    low, high = ends(interval)
    return NOTHING if low is None or high is None else f"{percent(low, digits)} to {percent(high, digits)}"


def ends(interval: Any) -> tuple[float | None, float | None]:
    """Return low and high of `{"value", "low", "high"}`, None for each that is not a number."""
    low, high = (interval.get(end) if hasattr(interval, "get") else None for end in ("low", "high"))
    return (low if known(low) else None), (high if known(high) else None)


def value_of(interval: Any) -> float | None:
    """Return the value of `{"value", "low", "high"}`, or of a plain number; None where there is none."""
    value = interval.get("value") if hasattr(interval, "get") else interval
    return float(value) if known(value) else None


def plural(n: Any, noun: str, nouns: str = "") -> str:
    """Return a count with its noun: `1 text`, `2,000 texts`."""
    return f"{number(n)} {noun if n == 1 else nouns or noun + 's'}"


def one_line(text: Any, longest: int = 300) -> str:
    """Return what `text` says on one line; of a long text the beginning."""
    words = " ".join(str(text)[: 4 * longest].split())
    return words if len(words) <= longest and len(str(text)) <= 4 * longest else words[: longest - 1].rstrip() + "…"


def shorten(text: str, longest: int) -> str:
    """Return the text in one line; of a long one the beginning and the end, where names that share a prefix differ."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    tail = longest // 3
    return f"{text[: longest - tail - 1].rstrip()}…{text[-tail:].lstrip()}"


def printable(text: str) -> str:
    """Return the text with U+FFFD for every character that HTML or UTF-8 cannot hold."""
    return text.translate(_UNPRINTABLE)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return the value if it is a mapping, else an empty one: a part of a run that is missing or is null."""
    return value if hasattr(value, "items") else {}


def rows(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings in a list, an empty list where the value is none."""
    return [row for row in value if hasattr(row, "items")] if isinstance(value, (list, tuple)) else []


def texts(value: Any) -> list[str]:
    """Return the strings in a list, an empty list where the value is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, (list, tuple)) else []


def reason_of(section: Any, otherwise: str) -> str:
    """Return why a section has nothing to say: its own `reason` where it gives one."""
    said = mapping(section).get("reason")
    return one_line(said, 600) if said else otherwise
