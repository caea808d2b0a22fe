"""Which words of a text a predictor reads, and the text with some of them left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matinee.inference.explain.words import find_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matinee.inference.predictor import Predictor
    from matinee.tokens.preparation import TracedText


@dataclass(frozen=True)
class Reading:
    """The words of a text. W words.

    Attributes:
        text: What the places are about.
        words: Start and end, exclusive, of each word, shape (W, 2).
        read: Which of them the predictor reads at all, shape (W,): what truncation cuts off it does not.
        trace: The tokens that a transformer makes of the text; None for other predictors.
    """

    text: str
    words: NDArray[np.int64]
    read: NDArray[np.bool_]
    trace: TracedText | None = None

    def with_words(self, kept: NDArray[np.bool_]) -> str:
        """Return the text made of the kept words alone, with what stands between neighbours; shape of kept: (W,).

        Deleting, not masking, so that it means the same for every predictor (DeYoung et al. 2020, section 4, do so too).
        """
        places = np.flatnonzero(kept)
        if len(places) == 0:
            return ""
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
        return " ".join(self.text[self.words[run[0]][0] : self.words[run[-1]][1]] for run in runs)


def read_text(predictor: Predictor, text: str) -> Reading:
    """Find the words of a text, and which of them the predictor reads."""
    from matinee.tokens import TextPreparation

    preparation = getattr(predictor, "preparation", None)
    if not isinstance(preparation, TextPreparation):
        text, words = find_words(text)
        return Reading(text, words, np.ones(len(words), dtype=np.bool_))
    trace = preparation.trace(text)
    text, words = find_words(trace.text)
    touched = share_out(trace.spans[~trace.special], np.ones(int((~trace.special).sum())), words) > 0
    return Reading(text, words, touched, trace)


def share_out(spans: NDArray[np.int64], values: NDArray[np.float64], words: NDArray[np.int64]) -> NDArray[np.float64]:
    """Add the values of pieces of a text up to values of its words.

    A piece that touches several words is divided among them by the characters it has of each; one that touches none, a
    mere space, counts for the word after it. So the sum stays what it was.

    Args:
        spans: Start and end, exclusive, of each piece, shape (n_pieces, 2).
        values: Shape (n_pieces,).
        words: Shape (W, 2), ascending, not overlapping.

    Returns:
        Shape (W,).
    """
    shared = np.zeros(len(words))
    if len(words) == 0:
        return shared
    firsts = np.searchsorted(words[:, 1], spans[:, 0], side="right")
    lasts = np.searchsorted(words[:, 0], spans[:, 1], side="left") - 1
    for (start, end), value, first, last in zip(spans, values, firsts, lasts, strict=True):
        if first >= last:
            shared[min(first, len(words) - 1)] += value
            continue
        touched = words[first : last + 1]
        lengths = np.minimum(touched[:, 1], end) - np.maximum(touched[:, 0], start)
        shared[first : last + 1] += value * lengths / lengths.sum()
    return shared
