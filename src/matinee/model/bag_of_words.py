"""A linear classifier of words and word pairs: texts to weighted counts, counts to probabilities. Saved without a pickle."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from matinee.core.files import atomic_path, write_json
from matinee.core.text import clean
from matinee.model.linear import LinearHead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_WORDS = {"analyzer": "word", "ngram_range": [1, 2], "lowercase": False}
# For texts without a single word of two letters: scripts without spaces, emoji.
_CHARACTERS = {"analyzer": "char_wb", "ngram_range": [1, 3], "lowercase": False}
_WORD = re.compile(TfidfVectorizer().token_pattern)


@dataclass(frozen=True)
class BagOfWords:
    """A fitted linear classifier whose features have names.

    Attributes:
        kind: `"tfidf"` or `"nblr"`: what its files are called.
        vectorizer: Texts to sparse features, one weight per feature and length 1 per text included.
        options: The vectorizer's constructor arguments, as saved.
        head: Features to probabilities.
    """

    kind: str
    vectorizer: TfidfVectorizer
    options: dict[str, Any]
    head: LinearHead

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return label probabilities, shape (n_texts, n_labels)."""
        return self.head.probabilities(self.vectors(texts))

    def vectors(self, texts: Sequence[str]) -> Any:
        """Return sparse vectors of length 1 (0 where no word is known), shape (n_texts, n_words)."""
        return self.vectorizer.transform(prepare(texts))

    def with_divided_logits(self, temperature: float) -> BagOfWords:
        """Return the same model with all logits divided by a temperature."""
        return replace(self, head=LinearHead(self.head.weight / temperature, self.head.bias / temperature))

    def save(self, folder: Path) -> None:
        """Write `<kind>.json` and `<kind>.safetensors` into the folder."""
        words = sorted(self.vectorizer.vocabulary_, key=self.vectorizer.vocabulary_.__getitem__)
        write_json(folder / f"{self.kind}.json", {"options": self.options, "vocabulary": words})
        arrays = {"idf": self.vectorizer.idf_, "weight": self.head.weight, "bias": self.head.bias}
        with atomic_path(folder / f"{self.kind}.safetensors") as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)

    @classmethod
    def load(cls, folder: Path, kind: str) -> BagOfWords:
        """Read what `save` wrote."""
        saved = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / f"{kind}.safetensors")
        words = {word: column for column, word in enumerate(saved["vocabulary"])}
        vectorizer = weighted_vectorizer(saved["options"], words, arrays["idf"])
        return cls(kind, vectorizer, saved["options"], LinearHead(arrays["weight"], arrays["bias"]))


def prepare(texts: Sequence[str]) -> list[str]:
    """Return the texts cleaned and in lower case."""
    return [clean(text, lowercase=True) for text in texts]


def n_grams(prepared: Sequence[str]) -> dict[str, Any]:
    """Return a vectorizer's arguments for words and word pairs; for characters where no text has a word."""
    return dict(_WORDS if any(_WORD.search(text) for text in prepared) else _CHARACTERS)


def vectorizer_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as scikit-learn takes them: JSON has no tuples."""
    return {**options, "ngram_range": tuple(options["ngram_range"])}


def weighted_vectorizer(
    options: dict[str, Any], vocabulary: dict[str, int], weights: NDArray[np.float64]
) -> TfidfVectorizer:
    """Return a vectorizer that multiplies each feature by its weight, shape (n_features,), and gives a text length 1."""
    vectorizer = TfidfVectorizer(**vectorizer_arguments(options), vocabulary=vocabulary)
    vectorizer.idf_ = weights
    return vectorizer
