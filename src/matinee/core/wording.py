"""How values read in print: on a terminal and in a model card alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# What readers of intervals must know.
ONE_TRAINING = (
    "Where there is one training each, the interval is for other test texts alone: another seed may turn this."
)
CANNOT_FALL = "Such a curve cannot fall: the lower end says how little more labels may bring, never that they help."


def score_in_words(score: Mapping[str, Any] | None) -> str:
    """Return a score with its 95 % interval, `0.884 [0.870, 0.898]`; a dash where it is undefined.

    With many rare labels a score can have a value and no interval: the value stands alone then.
    """
    if score is None or score["value"] is None:
        return "–"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def rate_in_words(rate: float) -> str:
    """Return so many a second with the two digits that a measurement is good for, `1,200`, `47`, `0.31`."""
    return f"{float(f'{rate:.2g}'):,.0f}" if rate >= 9.5 else f"{rate:.2g}"


def points_in_words(difference: Mapping[str, float]) -> str:
    """Return a difference of accuracies in points with its interval, `+2.0 [-0.4, +4.4]`."""
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    return f"{value:+z.1f} [{low:+z.1f}, {high:+z.1f}]"


def gain_in_words(gain: Mapping[str, float], *, flat_fits: bool) -> str:
    """Return a gain with its interval; only how much it can be at most where the curve may as well be flat."""
    return f"at most {100 * gain['high']:+z.1f}" if flat_fits else points_in_words(gain)


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
