"""The linear baseline: tf-idf of words and word pairs, then logistic regression. Seconds to train, hard to beat with few labels."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from matinee.core.files import atomic_path, write_json
from matinee.core.text import clean
from matinee.model.linear import LinearHead, fit_linear_head

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_STRENGTHS = (1.0, 3.0, 10.0, 30.0)
_WORDS = {"analyzer": "word", "ngram_range": [1, 2], "sublinear_tf": True, "lowercase": False}
# For texts without a single word of two letters: scripts without spaces, emoji.
_CHARACTERS = {"analyzer": "char_wb", "ngram_range": [1, 3], "sublinear_tf": True, "lowercase": False}


@dataclass(frozen=True)
class TfidfModel:
    """A fitted baseline.

    Attributes:
        vectorizer: Texts to sparse features.
        options: The vectorizer's constructor arguments, as saved.
        head: Features to probabilities.
    """

    vectorizer: TfidfVectorizer
    options: dict[str, Any]
    head: LinearHead

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return label probabilities, shape (n_texts, n_labels)."""
        return self.head.probabilities(self.vectors(texts))

    def vectors(self, texts: Sequence[str]) -> Any:
        """Return sparse vectors of length 1 (0 where no word is known), shape (n_texts, n_words)."""
        return self.vectorizer.transform([_prepare(text) for text in texts])

    def with_divided_logits(self, temperature: float) -> TfidfModel:
        """Return the same model with all logits divided by a temperature."""
        return replace(self, head=LinearHead(self.head.weight / temperature, self.head.bias / temperature))

    def save(self, folder: Path) -> None:
        """Write `tfidf.json` and `tfidf.safetensors` into the folder."""
        words = sorted(self.vectorizer.vocabulary_, key=self.vectorizer.vocabulary_.__getitem__)
        write_json(folder / "tfidf.json", {"options": self.options, "vocabulary": words})
        arrays = {"idf": self.vectorizer.idf_, "weight": self.head.weight, "bias": self.head.bias}
        with atomic_path(folder / "tfidf.safetensors") as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)

    @classmethod
    def load(cls, folder: Path) -> TfidfModel:
        """Read what `save` wrote."""
        saved = json.loads((folder / "tfidf.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "tfidf.safetensors")
        vectorizer = _vectorizer(saved["options"], vocabulary={word: i for i, word in enumerate(saved["vocabulary"])})
        vectorizer.idf_ = arrays["idf"]
        return cls(vectorizer, saved["options"], LinearHead(arrays["weight"], arrays["bias"]))


def fit_tfidf(texts: Sequence[str], labels: NDArray[np.int64], n_labels: int, *, seed: int) -> TfidfModel:
    """Fit the baseline on labelled texts."""
    prepared = [_prepare(text) for text in texts]
    options = _WORDS
    try:
        vectorizer = _vectorizer(options).fit(prepared)
    except ValueError:  # scikit-learn's "empty vocabulary"
        options = _CHARACTERS
        vectorizer = _vectorizer(options).fit(prepared)
    head = fit_linear_head(vectorizer.transform(prepared), labels, n_labels, _STRENGTHS, seed=seed)
    return TfidfModel(vectorizer, options, head)


def _vectorizer(options: dict[str, Any], **more: Any) -> TfidfVectorizer:
    return TfidfVectorizer(**{**options, "ngram_range": tuple(options["ngram_range"])}, **more)


def _prepare(text: str) -> str:
    return clean(text, lowercase=True)
