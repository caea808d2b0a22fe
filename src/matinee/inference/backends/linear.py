"""Predicts with a linear classifier of words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.model.bag_of_words import BagOfWords


class LinearPredictor:
    """Weighted counts of words and logistic regression: `tfidf` or `nblr`."""

    def __init__(self, model: BagOfWords, label_names: tuple[str, ...], threshold: float | None = None) -> None:
        self.model = model
        self.label_names = label_names
        self.threshold = threshold

    def divide_logits(self, temperature: float) -> None:
        """Divide all logits by the temperature, for good: its inverse goes into the last layer's weights."""
        self.model = self.model.with_divided_logits(temperature)

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return label probabilities, shape (n_texts, n_labels)."""
        if len(texts) == 0:
            return np.empty((0, len(self.label_names)))
        return self.model.probabilities(texts)
