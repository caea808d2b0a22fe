"""How values read in print: on a terminal and in a model card alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def score_in_words(score: Mapping[str, Any] | None) -> str:
    """Return a score with its 95 % interval, `0.884 [0.870, 0.898]`; a dash where it is undefined.

    With many rare labels a score can have a value and no interval: the value stands alone then.
    """
    if score is None or score["value"] is None:
        return "–"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def duration_in_words(seconds: float) -> str:
    """Return a duration as one says it, no more exact than it can be known: `40 seconds`, `1.5 minutes`, `2 hours`.

    Under a minute it is rounded to 5 seconds, under five to half a minute, under ten hours to half an hour.
    """
    if seconds < 57.5:
        return f"{max(5, 5 * round(seconds / 5))} seconds"
    minutes = seconds / 60
    if minutes < 89.5:
        rounded = round(2 * minutes) / 2 if minutes < 5 else round(minutes)
        return f"{rounded:g} minute{'s' * (rounded != 1)}"
    hours = minutes / 60
    return f"{round(2 * hours) / 2 if hours < 10 else round(hours):g} hours"
