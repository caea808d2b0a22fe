"""A linear classifier explains itself: a word's share of the label's log-odds is its feature's value times its weight."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from matinee.inference.explain.explanation import Attribution
from matinee.inference.explain.reading import Reading, share_out
from matinee.tokens.alignment import align

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from numpy.typing import NDArray

    from matinee.inference.backends.linear import LinearPredictor
    from matinee.model.bag_of_words import BagOfWords
    from matinee.model.linear import LinearHead

    _Spans = list[tuple[int, int]]

_STEPS = 64


def linear(predictor: LinearPredictor, reading: Reading, label: int) -> Attribution:
    """Attribute a label's log-odds to the words of a text: exact, from the coefficients.

    A feature's contribution (its value times its weight) is divided among its occurrences, that of a word pair half and
    half between both words. The starting point is the empty text. Of more than two labels the log-odds are not linear in
    the features; their integrated gradients take the weights' place, 64 steps, next to exact.
    """
    model = predictor.model
    aligned = align(reading.text, lowercase=True)
    features = model.vectorizer.transform([aligned.text])
    columns, values = features.indices, features.data
    weights, base_value, value = _path_weights(model.head, columns, values, label)
    contribution_of = dict(zip(columns.tolist(), (values * weights).tolist(), strict=True))
    occurrences = list(_occurrences(model, aligned.text, contribution_of.keys()))
    n_of = Counter(column for column, _ in occurrences)
    spans = aligned.spans(np.array([place for _, places in occurrences for place in places]))
    parts = [contribution_of[column] / n_of[column] / len(places) for column, places in occurrences for _ in places]
    contributions = share_out(spans, np.array(parts), reading.words)
    return Attribution(contributions, base_value, value, "from the coefficients, starting at the empty text")


def _path_weights(
    head: LinearHead, columns: NDArray[np.int64], values: NDArray[np.float64], label: int
) -> tuple[NDArray[np.float64], float, float]:
    """Return the features' mean gradients between the empty text and this one, and the log-odds at both ends."""
    weight = head.weight[:, columns]
    full = head.bias + weight @ values
    points, lengths = np.polynomial.legendre.leggauss(_STEPS)
    along = head.bias + np.outer((points + 1) / 2, weight @ values)
    others = np.delete(along, label, axis=1)
    shares = np.exp(others - others.max(axis=1, keepdims=True))
    mean_shares = (lengths / 2) @ (shares / shares.sum(axis=1, keepdims=True))
    mean_weights = weight[label] - mean_shares @ np.delete(weight, label, axis=0)
    return mean_weights, _odds(head.bias, label), _odds(full, label)


def _odds(logits: NDArray[np.float64], label: int) -> float:
    return float(logits[label] - np.logaddexp.reduce(np.delete(logits, label)))


def _occurrences(model: BagOfWords, text: str, wanted: Container[int]) -> Iterator[tuple[int, _Spans]]:
    """Yield each occurrence of a wanted feature: its column, and the places of its parts in the prepared text."""
    vocabulary, (shortest, longest) = model.vectorizer.vocabulary_, model.vectorizer.ngram_range
    found = _characters(text, shortest, longest) if model.vectorizer.analyzer == "char_wb" else None
    for feature, places in found or _pairs(text, model.vectorizer.token_pattern, shortest, longest):
        column = vocabulary.get(feature)
        if column in wanted:
            yield column, places


def _pairs(text: str, pattern: str, shortest: int, longest: int) -> Iterator[tuple[str, _Spans]]:
    """Yield word n-grams as scikit-learn's `word` analyzer forms them."""
    matches = [(match[0], match.span()) for match in re.finditer(pattern, text)]
    for n in range(shortest, longest + 1):
        for first in range(len(matches) - n + 1):
            parts = matches[first : first + n]
            yield " ".join(word for word, _ in parts), [place for _, place in parts]


def _characters(text: str, shortest: int, longest: int) -> Iterator[tuple[str, _Spans]]:
    """Yield character n-grams as scikit-learn's `char_wb` analyzer forms them: a space is put at both ends of a word."""
    for match in re.finditer(r"\S+", text):
        padded, (start, end) = f" {match[0]} ", match.span()
        for n in range(shortest, longest + 1):
            for first in range(max(1, len(padded) - n + 1)):
                inside = max(start, start + first - 1), min(end, start + first - 1 + n)
                yield padded[first : first + n], [inside]
            if len(padded) <= n:  # a short word counts once, however long the n-gram
                break
