"""From a classifier's logits to probabilities in numpy alone: exports are answered from without torch and scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from matinee.tokens.windows import Windows


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the softmax over the last axis in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float64)


def pool_rows(
    rows: NDArray[np.float32], counts: NDArray[np.int64], windows: Windows | None
) -> NDArray[np.floating[Any]]:
    """Return the logits of each text, as `matinee.model.windows.pool_windows` does in training.

    Those of a text with one window are that window's, to the bit; rows are as they are where nothing has windows.

    Args:
        rows: What `matinee.model.windows.window_rows` gives, all windows of the first text first, shape (n_windows, n_labels);
            with the windows' scores as one more column where they are weighed.
        counts: Windows of each text, at least one, shape (n_texts,).
        windows: How texts were laid out.

    Returns:
        Shape (n_texts, n_labels), float64 where windows were pooled.
    """
    if windows is None:
        return rows
    return _POOLINGS[windows.pooling](rows.astype(np.float64), counts, np.cumsum(counts) - counts)


def _mean(rows: NDArray[np.float64], counts: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.add.reduceat(rows, starts, axis=0) / counts[:, None], dtype=np.float64)


def _max(
    rows: NDArray[np.float64],
    counts: NDArray[np.int64],  # noqa: ARG001 - a pooling
    starts: NDArray[np.int64],
) -> NDArray[np.float64]:
    return np.asarray(np.maximum.reduceat(rows, starts, axis=0), dtype=np.float64)


def _attention(rows: NDArray[np.float64], counts: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    scores = rows[:, -1]
    weights = np.exp(scores - np.repeat(np.maximum.reduceat(scores, starts), counts))
    weights /= np.repeat(np.add.reduceat(weights, starts), counts)
    return np.asarray(np.add.reduceat(rows[:, :-1] * weights[:, None], starts, axis=0), dtype=np.float64)


_POOLINGS: dict[str, Callable[..., NDArray[np.float64]]] = {"mean": _mean, "max": _max, "attention": _attention}
