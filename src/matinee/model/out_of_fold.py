"""What the linear baseline says of texts that it has not learned from: the evidence for label errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from matinee.core.progress import progress
from matinee.core.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

N_FOLDS = 5

# Measured on 5,000 IMDB reviews with 250 labels flipped, as the share of these among the 250 most suspicious: C = 1 0.524,
# 3 0.592, 10 0.564 (with every word pair kept 0.552, 0.584, 0.592; with single words alone at most 0.560).
_STRENGTH = 3.0
_WORDS = {"ngram_range": (1, 2), "min_df": 2}
# For few texts, which may share no word, and for texts without a word of two letters: emoji, scripts without spaces.
_FALLBACKS: tuple[dict[str, Any], ...] = ({"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (1, 3)})


def out_of_fold_probabilities(
    texts: Sequence[str], labels: NDArray[np.int64], n_labels: int, groups: NDArray[np.int64], *, seed: int
) -> NDArray[np.float64]:
    """Return label probabilities of each text from a baseline fitted on the other four fifths of the texts.

    The words are counted once, on all texts: that needs no labels, so nothing of a text's own label gets into its answer.

    Args:
        texts: The texts, none of them empty once cleaned.
        labels: Their labels, shape (n_texts,).
        n_labels: How many labels there are; one that no text has gets probability 0.
        groups: Texts that are the same, or nearly, share a number and a fold: shape (n_texts,). Only the first of a group
            is learned from. Each label that occurs needs `N_FOLDS` groups whose first text has it.
        seed: Of the folds.

    Returns:
        Shape (n_texts, n_labels).
    """
    features = _features([clean(text, lowercase=True) for text in texts])
    first = np.unique(groups, return_index=True)[1]
    fold_of_group = np.empty(len(first), dtype=np.int64)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(folds.split(np.zeros(len(first)), labels[first])):
        fold_of_group[held_out] = fold
    folds_of_texts = fold_of_group[np.unique(groups, return_inverse=True)[1]]
    probabilities = np.zeros((len(texts), n_labels))
    with progress("Looking for label errors", total=N_FOLDS, unit="folds") as bar:
        for fold in range(N_FOLDS):
            learned = first[fold_of_group != fold]
            judged = np.flatnonzero(folds_of_texts == fold)
            # Ranks need no more digits than this tolerance gives.
            model = LogisticRegression(C=_STRENGTH, max_iter=2_000, tol=1e-3).fit(features[learned], labels[learned])
            probabilities[np.ix_(judged, model.classes_)] = model.predict_proba(features[judged])
            bar.update(fold + 1)
    return probabilities


def _features(texts: Sequence[str]) -> Any:
    """Return tf-idf features as a sparse matrix, shape (n_texts, n_features), float32."""
    for options in (_WORDS, *_FALLBACKS[:-1]):
        try:
            return _vectorizer(options).fit_transform(texts)
        except ValueError:  # scikit-learn's "empty vocabulary" and "no terms remain"
            continue
    return _vectorizer(_FALLBACKS[-1]).fit_transform(texts)


def _vectorizer(options: dict[str, Any]) -> TfidfVectorizer:
    return TfidfVectorizer(sublinear_tf=True, lowercase=False, dtype=np.float32, **options)
