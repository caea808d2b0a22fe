"""How sure the cheap classifier of a cascade must be for its answer to stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOUND = 0.002
"""Accuracy that a cascade may cost on the validation texts, where nobody says otherwise."""

# Standard errors that the loss of accuracy must stay below the bound by. Many thresholds are looked at, and the best of noisy
# figures flatters: over 300 draws of 200 validation texts, tf-idf before MiniLM, the lowest threshold whose plain figure kept the
# bound cost 0.9 points on new texts, more than 0.5 in 47 of 100; with two standard errors in 2 of 100 (docs/lab.md).
_STANDARD_ERRORS = 2.0

NEVER_SURE = 2.0
"""A threshold that no probability reaches: the encoder answers everything."""


def choose_threshold(
    cheap: NDArray[np.float64],
    encoder: NDArray[np.float64],
    labels: NDArray[np.int64],
    bound: float = BOUND,
    *,
    decision: float | None = None,
) -> float:
    """Return from which probability of its likeliest label on the cheap classifier's answer stands.

    It is the lowest at which the mix of both is, as far as the texts given can show it, at most `bound` less accurate than
    the encoder alone: the loss and two of its standard errors together. It lies half-way to the next lower probability, so
    that no rounding on another machine moves a text across it.

    Args:
        cheap: The cheap classifier's probabilities of validation texts, shape (n_texts, n_labels).
        encoder: The encoder's, same shape.
        labels: True label indices, shape (n_texts,).
        bound: Accuracy that may be lost.
        decision: The classifier's own threshold between two labels, where it has one (see `Predictor.threshold`).

    Returns:
        0 where the cheap classifier may answer everything, `NEVER_SURE` where it may answer nothing.
    """
    sureness = cheap.max(axis=1)
    order = np.argsort(-sureness, kind="stable")
    sureness = sureness[order]
    gained = (_answers(cheap, decision) == labels).astype(np.int64) - (_answers(encoder, decision) == labels)
    # What the mix gets right beyond the encoder if the cheap classifier answers the n surest texts, n = 1, 2, …: a sum of
    # ones and minus ones, whose variance is at most how many there are of both.
    gains, errors = gained[order].cumsum(), np.sqrt(np.abs(gained[order]).cumsum())
    next_lower = np.append(sureness[1:], -1.0)
    kept = gains - _STANDARD_ERRORS * errors >= -bound * len(labels) - 1e-9
    allowed = np.flatnonzero(kept & (next_lower < sureness))
    if len(allowed) == 0:
        return NEVER_SURE
    last = int(allowed[-1])
    return max(0.0, float(sureness[last] + next_lower[last]) / 2) if last + 1 < len(labels) else 0.0


def _answers(probabilities: NDArray[np.float64], decision: float | None) -> NDArray[np.int64]:
    if decision is None:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
    return np.asarray(probabilities[:, 1] >= decision, dtype=np.int64)
