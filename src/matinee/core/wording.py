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
