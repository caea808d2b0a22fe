"""Which words may stand for one another in the texts at hand: those alike that the labels do not tell apart."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

# Share of a label among the texts of two words, in standard errors: further apart, the words do not say the same.
_ERRORS = 2.0


def synonyms(
    alike: Mapping[str, Sequence[str]], texts: Sequence[str], labels: NDArray[np.int64]
) -> dict[str, tuple[str, ...]]:
    """Return of words alike those that the labels do not tell apart: no word for its contrary.

    Words that stand in like places are often opposites ("good" and "bad"). If the texts with one word differ from those
    with the other in their labels, beyond chance (two proportions, pooled, two standard errors), neither stands for the
    other. English function words, "never" and "not" among them, stay as they are.

    Args:
        alike: By lower-case word, the nearest first.
        texts: The train split.
        labels: Of the texts, shape (n_texts,).
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    wanted = {*alike, *(other for others in alike.values() for other in others)} - ENGLISH_STOP_WORDS
    n_with = Counter(
        (word, label)
        for text, label in zip(texts, labels.tolist(), strict=True)
        for word in set(re.findall(r"\w+", clean(text).lower())) & wanted
    )
    counts = {word: np.array([n_with[word, label] for label in range(int(labels.max()) + 1)]) for word in wanted}
    kept = {
        word: tuple(other for other in others if other in wanted and _as_good_as(counts[word], counts[other]))
        for word, others in alike.items()
        if word in wanted
    }
    return {word: others for word, others in kept.items() if others}


def _as_good_as(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Return whether the labels of the texts with one word are, as far as one can tell, those of the texts with another."""
    n, m = one.sum(), other.sum()
    if not n or not m:
        return True
    pooled = (one + other) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return bool((np.abs(one / n - other / m) <= _ERRORS * error + 1e-12).all())
