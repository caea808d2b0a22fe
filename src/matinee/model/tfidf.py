"""The linear baseline: tf-idf of words and word pairs, then logistic regression. Seconds to train, hard to beat with few labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.feature_extraction.text import TfidfVectorizer

from matinee.model.bag_of_words import BagOfWords, n_grams, prepare, vectorizer_arguments
from matinee.model.linear import fit_linear_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.model.linear import Labels

_STRENGTHS = (1.0, 3.0, 10.0, 30.0)


def fit_tfidf(texts: Sequence[str], labels: Labels, n_labels: int, *, seed: int) -> BagOfWords:
    """Fit the baseline on labelled texts; labels as in `fit_linear_head`."""
    prepared = prepare(texts)
    options = {**n_grams(prepared), "sublinear_tf": True}
    vectorizer = TfidfVectorizer(**vectorizer_arguments(options))
    features = vectorizer.fit_transform(prepared)
    head = fit_linear_head(features, labels, n_labels, _STRENGTHS, seed=seed)
    return BagOfWords("tfidf", vectorizer, options, head)
