"""Predicts with a cheap classifier where that one is sure, and with a better one where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.inference.predictor import Predictor


class CascadePredictor:
    """Two classifiers of the same labels, one after the other.

    Args:
        cheap: Answers the texts whose most probable label reaches `sure_from`.
        encoder: Answers the others.
        sure_from: See `matinee.inference.cascade.choose_threshold`; above 1 the encoder answers everything.
        threshold: As in `Predictor`.
    """

    def __init__(self, cheap: Predictor, encoder: Predictor, sure_from: float, threshold: float | None = None) -> None:
        self.cheap = cheap
        self.encoder = encoder
        self.sure_from = sure_from
        self.label_names = encoder.label_names
        self.threshold = threshold

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return label probabilities, shape (n_texts, n_labels)."""
        said = self.cheap.probabilities(texts)
        rest = np.flatnonzero(said.max(axis=1, initial=0.0) < self.sure_from).tolist()
        if rest:
            said[rest] = self.encoder.probabilities([texts[row] for row in rest])
        return said
