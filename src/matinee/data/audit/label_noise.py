"""Likely label errors, found by confident learning.

Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, section 3.1. A
text is suspicious where a classifier that has not learned from it is confident of another label: more confident than it
is, on average, of the texts that carry that label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Probabilities this near to one another count as equal: they are sums of rounded numbers.
_EQUAL = 1e-6


@dataclass(frozen=True)
class LabelErrors:
    """What confident learning says of labels.

    Attributes:
        rows: Numbers of the texts whose label is likely wrong, most suspicious first; shape (n_errors,).
        suggested: The label that each of them should have; shape (n_errors,).
        quality: How well the label of every text stands, from 0 (wrong) to 1 (right); shape (n_texts,).
        thresholds: From which probability on the classifier counts as confident of a label; infinite where no text has
            it; shape (n_labels,).
    """

    rows: NDArray[np.int64]
    suggested: NDArray[np.int64]
    quality: NDArray[np.float64]
    thresholds: NDArray[np.float64]


def label_quality(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normalized margin of each label: (p(label) - the largest other p + 1) / 2, shape (n_texts,).

    Args:
        labels: Given label indices, shape (n_texts,).
        probabilities: Out of sample, shape (n_texts, n_labels) with at least two labels.
    """
    every = np.arange(len(labels))
    others = probabilities.copy()
    others[every, labels] = -np.inf
    margins: NDArray[np.float64] = (probabilities[every, labels] - others.max(axis=1) + 1) / 2
    return margins


def find_label_errors(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> LabelErrors:
    """Return the texts off the diagonal of the confident joint, ranked by the quality of their labels.

    Args:
        labels: Given label indices, shape (n_texts,).
        probabilities: What a classifier says that has not learned from the text, shape (n_texts, n_labels) with at least
            two labels.
    """
    n_texts, n_labels = probabilities.shape
    every = np.arange(n_texts)
    thresholds = np.full(n_labels, np.inf)
    for label in np.unique(labels):
        thresholds[label] = probabilities[labels == label, label].mean()
    confident = probabilities >= thresholds - _EQUAL
    # Where several labels pass, the most probable one counts; where none does, the text is left out.
    suggested = np.where(confident, probabilities, -np.inf).argmax(axis=1)
    quality = label_quality(labels, probabilities)
    favoured = probabilities[every, labels] + _EQUAL >= probabilities.max(axis=1)
    wrong = np.flatnonzero(confident.any(axis=1) & (suggested != labels) & ~favoured)
    ranked = wrong[np.argsort(quality[wrong], kind="stable")]
    return LabelErrors(ranked, suggested[ranked], quality, thresholds)
