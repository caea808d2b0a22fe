"""What an explanation says: a signed figure for every word, and how far the figures add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matinee.inference.explain.words import find_sentences

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTEGRATED_GRADIENTS = "integrated_gradients"
LINEAR = "linear"
OCCLUSION = "occlusion"
UNIT = "log-odds"

# Probabilities this near to 0 or 1 are rounding.
_LEAST_PROBABILITY = 1e-12


def log_odds(probabilities: NDArray[np.float64], label: int) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) of one label, shape (n_texts,); of two labels that is the difference of their logits.

    Log-odds and not probabilities, because near 0 and 1 a probability hardly moves whatever a word says.

    Args:
        probabilities: Shape (n_texts, n_labels).
        label: Index of the label.
    """
    others = np.delete(probabilities, label, axis=1).sum(axis=1)
    said = np.maximum(probabilities[:, label], _LEAST_PROBABILITY)
    return np.asarray(np.log(said) - np.log(np.maximum(others, _LEAST_PROBABILITY)))


class Attribution(NamedTuple):
    """What a method finds.

    Attributes:
        contributions: Of each word to the log-odds of the label, shape (n_words,).
        base_value: Log-odds of the label for the text without its words, as the method takes them out.
        value: Log-odds of the label for the text.
        how: How it was computed, a few words.
    """

    contributions: NDArray[np.float64]
    base_value: float
    value: float
    how: str


class Word(NamedTuple):
    """One word.

    Attributes:
        text: As it stands in the explanation's text, from `start` to `end`.
        start: Its first character.
        end: Behind its last one.
        contribution: To the log-odds of the label explained: positive speaks for it, negative against it.
        read: Whether the classifier read it; False where truncation cut it off, and its contribution is 0.
    """

    text: str
    start: int
    end: int
    contribution: float
    read: bool


class Sentence(NamedTuple):
    """One sentence; `contribution` is the sum over its words."""

    text: str
    start: int
    end: int
    contribution: float
    read: bool


@dataclass(frozen=True)
class Explanation:
    """Why a classifier says what it says of one text.

    Attributes:
        text: The text as it was given; positions of words and sentences are in it.
        label: The label that is explained.
        predicted: The label that the classifier gives.
        probability: Of the label that is explained.
        method: `"integrated_gradients"`, `"linear"` or `"occlusion"`.
        how: How it was computed, a few words.
        words: In the order of the text.
        sentences: In the order of the text.
        base_value: Log-odds of the label for the text without its words, as the method takes them out.
        value: Log-odds of the label for the text.
    """

    text: str
    label: str
    predicted: str
    probability: float
    method: str
    how: str
    words: tuple[Word, ...]
    sentences: tuple[Sentence, ...]
    base_value: float
    value: float

    @property
    def total(self) -> float:
        """Sum of the words' contributions."""
        return float(sum(word.contribution for word in self.words))

    @property
    def sums(self) -> bool:
        """Whether the method promises that the contributions sum to `value - base_value`."""
        return self.method != OCCLUSION

    @property
    def gap(self) -> float:
        """How far the sum is from what it should be; of a method that promises no sum, how far it happens to be."""
        return self.value - self.base_value - self.total

    @property
    def promise(self) -> str:
        """What the figures sum to, in one sentence."""
        if not self.sums:
            return (
                f"Each figure is how much the {UNIT} of {self.label} fall when the word is left out; "
                "such figures need not sum to anything."
            )
        return (
            f"The figures sum to {_signed(self.total)}; the {UNIT} of {self.label} are {_signed(self.base_value)} without "
            f"the words and {_signed(self.value)} with them: a gap of {_signed(self.gap)}."
        )

    def word_rows(self) -> list[dict[str, Any]]:
        """Return the words that were read as plain dicts: text, start, end, contribution."""
        return [
            {"text": word.text, "start": word.start, "end": word.end, "contribution": word.contribution}
            for word in self.words
            if word.read
        ]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "text": self.text,
            "label": self.label,
            "predicted": self.predicted,
            "probability": self.probability,
            "method": self.method,
            "how": self.how,
            "unit": UNIT,
            "base_value": self.base_value,
            "value": self.value,
            "total": self.total,
            "gap": self.gap,
            "sums": self.sums,
            "promise": self.promise,
            "n_words": len(self.words),
            "n_read": sum(word.read for word in self.words),
            "words": [word._asdict() for word in self.words],
            "sentences": [sentence._asdict() for sentence in self.sentences],
        }

    def __repr__(self) -> str:
        return f"<Explanation: {self.label}, {self.probability:.3f}, {len(self.words):,} words>"

    def _repr_html_(self) -> str:
        """Return how a notebook shows it: the text with its words marked, and the strongest of them."""
        from matinee.inference.explain.shown import explanation_html

        return explanation_html(self)


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # no -0.000


def as_words(
    text: str, places: NDArray[np.int64], contributions: NDArray[np.float64], read: NDArray[np.bool_]
) -> tuple[Word, ...]:
    """Return the words of a text with their contributions; of those not read it is 0."""
    counted = np.where(read, contributions, 0.0)
    rows = zip(places.tolist(), counted.tolist(), read.tolist(), strict=True)
    return tuple(Word(text[start:end], start, end, value, was_read) for (start, end), value, was_read in rows)


def as_sentences(text: str, places: NDArray[np.int64], words: tuple[Word, ...]) -> tuple[Sentence, ...]:
    """Return the sentences of a text, each the sum of its words."""
    sentences = []
    for first, last in find_sentences(text, places):
        inside, start, end = words[first : last + 1], words[first].start, words[last].end
        total = float(sum(word.contribution for word in inside))
        sentences.append(Sentence(text[start:end], start, end, total, any(word.read for word in inside)))
    return tuple(sentences)
