"""How much an export may differ from the classifier that it was made from."""

from __future__ import annotations

from dataclasses import dataclass

from matinee.model.exported import MOST_ACCURACY_LOST, MOST_FLIPS


@dataclass(frozen=True)
class Limits:
    """What an export may cost on held-out texts.

    Attributes:
        accuracy: Largest fall in accuracy, as a share: 0.005 is half a point.
        flips: Largest share of texts that get another label; None for a cascade, whose nature they are.
    """

    accuracy: float = MOST_ACCURACY_LOST
    flips: float | None = MOST_FLIPS
