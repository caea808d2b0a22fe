"""The mistakes worth reading: the surest, the closest to a tie, and those where the label may be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import normalize

from matinee.core.errors import DataError
from matinee.evaluation.slices import slices_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from matinee.core.types import Predictions
    from matinee.evaluation.slices import Slice

MOST_LISTED = 2_000
"""Mistakes in the short list: with 300 characters each they come to about a megabyte."""

SNIPPET = 300
LONGEST_TEXT = 20_000
"""Characters of a text that a detailed row keeps; the longest review of IMDB has 14,000."""

# Similarities of one block of pool texts with all queries take at most this much memory.
_BLOCK_BYTES = 32 << 20


def mistakes(
    predictions: Predictions,
    *,
    n: int = 20,
    slices: Mapping[str, Slice] | None = None,
    tfidf: Predictions | None = None,
) -> dict[str, Any]:
    """Return the mistakes that are worth reading.

    Three kinds. `confident`: the label that was answered has the highest probability. `uncertain`: the answer was closest to
    another one (smallest margin between the two likeliest labels; with a threshold, the smallest distance from it). `mislabelled`:
    classifier and linear baseline give the same answer, both confidently, so that the label may be what is wrong; the labels that
    are least probable, by the mean of both, come first. Confident is meant as in confident learning (Northcutt et al. 2021, section
    3.1): with at least the mean probability that the label has among the texts that have it.

    Args:
        predictions: What the classifier said.
        n: Rows of each kind, at most.
        slices: As `find_slices` returns them; named in each row.
        tfidf: What the linear baseline said of the same texts; without it the classifier alone decides on `mislabelled`.

    Returns:
        `{"n": mistakes, "n_suspected", "mislabelled_by", "near_tie": {"n", "wrong"}, "kinds": {"confident": [ROW], "uncertain":
        [ROW], "mislabelled": [ROW]}, "all": [SHORTROW], "n_left_out"}`. `near_tie`: of the n texts closest to a tie, how many are
        wrong. ROW: `id`, `text`, `label`, `predicted`, `score` (probability of the answer), `probabilities`, `slices`, and `cut` where the
        text was longer than 20,000 characters; of `mislabelled` also `baseline_score` (the baseline's probability of the answer).
        SHORTROW: ROW's `id`, `label`, `predicted`, `score`, `slices` and the first 300 characters of the text, surest first, for at
        most 2,000 mistakes. Without labels: no mistakes, and a `"reason"`.

    Raises:
        DataError: The baseline's predictions are about other texts, or a probability is not a number.
    """
    nothing = {"n": 0, "kinds": {"confident": [], "uncertain": [], "mislabelled": []}, "all": []}
    if predictions.labels is None:
        return {**nothing, "reason": "nobody knows the true labels of these texts"}
    if tfidf is not None and tfidf.ids != predictions.ids:
        raise DataError("the baseline's predictions are about other texts than the classifier's.")
    if not np.isfinite(predictions.probabilities).all():
        raise DataError("some probabilities are not numbers: the classifier diverged.")
    lister = _Lister(predictions, slices or {})
    rows = np.arange(len(predictions))
    scores = predictions.probabilities[rows, predictions.predicted]
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    surest = wrong[np.argsort(-scores[wrong], kind="stable")]
    margins = _margins(predictions)
    closest = wrong[np.argsort(margins[wrong], kind="stable")]
    suspects = _suspects(predictions, predictions.labels, tfidf)
    near_tie = np.argsort(margins, kind="stable")[:n]
    return {
        "n": len(wrong),
        "n_suspected": len(suspects),
        "mislabelled_by": "classifier" if tfidf is None else "classifier and baseline",
        "near_tie": {"n": len(near_tie), "wrong": int(np.isin(near_tie, wrong).sum())},
        "kinds": {
            "confident": [lister.row(row) for row in surest[:n]],
            "uncertain": [lister.row(row) for row in closest[:n]],
            "mislabelled": [
                lister.row(row)
                | (
                    {}
                    if tfidf is None
                    else {"baseline_score": float(tfidf.probabilities[row, predictions.predicted[row]])}
                )
                for row in suspects[:n]
            ],
        },
        "all": [lister.short(row) for row in surest[:MOST_LISTED]],
        "n_left_out": max(0, len(wrong) - MOST_LISTED),
    }


class _Lister:
    """Writes rows of predictions as plain values."""

    def __init__(self, predictions: Predictions, slices: Mapping[str, Slice]) -> None:
        self.predictions = predictions
        self.slices = slices

    def row(self, row: int) -> dict[str, Any]:
        """Return a text with all that is known of it."""
        text = self.predictions.texts[row]
        named = zip(self.predictions.label_names, self.predictions.probabilities[row], strict=True)
        full = {"text": text[:LONGEST_TEXT], "probabilities": {name: float(p) for name, p in named}}
        return {**self.short(row), **full, **({"cut": True} if len(text) > LONGEST_TEXT else {})}

    def short(self, row: int) -> dict[str, Any]:
        """Return a text's beginning and the answer."""
        said = self.predictions
        assert said.labels is not None  # noqa: S101 - narrows a type
        answer = said.predicted[row]
        return {
            "id": said.ids[row],
            "label": said.label_names[said.labels[row]],
            "predicted": said.label_names[answer],
            "score": float(said.probabilities[row, answer]),
            "slices": slices_of(self.slices, row),
            "text": said.texts[row][:SNIPPET],
        }


def _margins(predictions: Predictions) -> NDArray[np.float64]:
    """Return how far each answer was from another one, shape (n_texts,)."""
    if predictions.threshold is not None:
        return np.abs(predictions.probabilities[:, 1] - predictions.threshold)
    if len(predictions.label_names) < 2:
        return np.ones(len(predictions))
    two = np.sort(predictions.probabilities, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def _suspects(predictions: Predictions, labels: NDArray[np.int64], tfidf: Predictions | None) -> NDArray[np.int64]:
    """Return the texts whose label may be wrong, most suspicious first."""
    rows = np.arange(len(labels))
    suspicious = _is_confident(predictions, labels) & (predictions.predicted != labels)
    belief = predictions.probabilities[rows, labels]
    if tfidf is not None:
        suspicious &= _is_confident(tfidf, labels) & (tfidf.predicted == predictions.predicted)
        belief = (belief + tfidf.probabilities[rows, labels]) / 2
    found = np.flatnonzero(suspicious)
    return found[np.argsort(belief[found], kind="stable")]


def _is_confident(predictions: Predictions, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which answers are as sure as is usual for texts that have that label, shape (n_texts,)."""
    n_labels = len(predictions.label_names)
    sums = np.bincount(labels, weights=predictions.probabilities[np.arange(len(labels)), labels], minlength=n_labels)
    counts = np.bincount(labels, minlength=n_labels)
    # Of a label that no text has, no answer can be trusted.
    usual = np.divide(sums, counts, out=np.full(n_labels, np.inf), where=counts > 0)
    scores = predictions.probabilities[np.arange(len(labels)), predictions.predicted]
    return np.asarray(scores >= usual[predictions.predicted])


def nearest_texts(queries: Any, pool: Any, k: int = 3) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the texts of a pool that are most similar to each of some texts: exact, in bounded memory.

    Args:
        queries: Vectors of the texts asked about, shape (q, h): an array or a sparse matrix.
        pool: Vectors of the texts to choose from, shape (n, h).
        k: How many to return; all where the pool is smaller.

    Returns:
        Their places in the pool, shape (q, min(k, n)), most similar first, and their cosine similarities, the same shape. A
        vector of zeros has similarity 0 with everything.

    Raises:
        ValueError: The shapes do not go together, `k` is below 1, or a value is not a number.
    """
    if queries.ndim != 2 or pool.ndim != 2 or queries.shape[1] != pool.shape[1] or k < 1:
        raise ValueError(
            f"expected vectors of one width and k of at least 1, got {queries.shape}, {pool.shape} and {k}"
        )
    if not all(np.isfinite(each.data if issparse(each) else each).all() for each in (queries, pool)):
        raise ValueError("a vector holds a value that is not a number")
    unit = _unit(queries)
    best = np.empty((queries.shape[0], 0), dtype=np.int64)
    similarities = np.empty((queries.shape[0], 0))
    width = 1 if issparse(pool) else pool.shape[1]  # of a sparse block, the similarities are what takes memory
    n_block = max(1, _BLOCK_BYTES // (8 * max(queries.shape[0], width)))
    for first in range(0, pool.shape[0], n_block):
        block = unit @ _unit(pool[first : first + n_block]).T
        block = block.toarray() if issparse(block) else block
        places = np.broadcast_to(np.arange(first, first + block.shape[1]), block.shape)
        similarities = np.concatenate([similarities, block], axis=1)
        best = np.concatenate([best, places], axis=1)
        kept = _largest(similarities, k)
        similarities, best = np.take_along_axis(similarities, kept, 1), np.take_along_axis(best, kept, 1)
    return best, similarities.clip(-1.0, 1.0)


def _largest(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Return the places of the k largest values of each row, largest first."""
    if values.shape[1] > k:
        places = np.argpartition(-values, k - 1, axis=1)[:, :k]
    else:
        places = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(-np.take_along_axis(values, places, 1), axis=1, kind="stable")
    return np.take_along_axis(places, order, 1)


def _unit(vectors: Any) -> Any:
    """Return the vectors at length 1, those of zeros as they are; float64, or near ones could swap places."""
    wide = vectors.astype(np.float64)
    return normalize(wide) if wide.shape[0] else wide
