"""Readers made of rules, to be asked: one that understands the sentences, one that counts words."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest

from matinee.core.types import Predictions
from matinee.evaluation.behaviour import Sentiment

_PRAISE = {
    "good", "great", "excellent", "wonderful", "superb", "fantastic", "delightful", "impressive", "pleasing",
    "satisfying", "special", "nice", "pleasant", "enjoyable", "love", "loved", "like", "liked", "enjoy", "recommend",
    "worth", "convinced",
}  # fmt: skip
_BLAME = {
    "bad", "terrible", "awful", "horrible", "dreadful", "poor", "disappointing", "appalling", "unpleasant", "weak",
    "annoying", "hate", "hated", "disliked", "waste", "away", "wrong", "complaints", "regret", "fault", "disappoint",
    "disappointed", "change",
}  # fmt: skip
_NOT = {
    "not", "no", "never", "nothing", "neither", "nobody", "none", "cannot", "hardly", "doubt", "anything", "can't",
    "don't",
}  # fmt: skip
_STRONGER = {
    "very", "really", "extremely", "incredibly", "truly", "remarkably", "exceptionally",
}  # fmt: skip
_WEAKER = {
    "fairly", "reasonably", "moderately", "somewhat", "slightly", "little", "bit",
}  # fmt: skip
# Said no to, but not of the film.
_BESIDE = re.compile(
    r"\b(don't|do not) know another|\b(didn't|did not) (hesitate|tell)|worth every penny, and|i have changed my mind"
)
_CONCESSION = re.compile(r"^(although|even though|despite)[^,]*,")
_TURN = re.compile(r"(?<=, )but\b|\bhowever\b|\byet\b|; now |\btoday i think|\bby the end|\band got\b|: it is ")
_KEYS = {
    (word[0], word[-1], "".join(sorted(word))): word
    for word in _PRAISE
    | _BLAME
    | _NOT
    | _STRONGER
    | _WEAKER
    | {"another", "hesitate", "although", "despite", "however"}
    if len(word) > 4
}


def understand(text):
    """Return the probability of praise: the last clause counts, "not" turns it round, and words of degree weigh."""
    plain = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).lower().replace("n’t", "n't").split())
    plain = " ".join(_mended(word) for word in re.findall(r"[\w'’]+|[^\w\s]", plain)).replace(" ,", ",")
    return float(np.mean([_of_sentence(part) for part in _verdicts(plain)] or [0.5]))


def _verdicts(plain):
    turned = _TURN.split(_BESIDE.sub("", plain))
    # "; but it rains" is no verdict: the last part with one counts, and without a turn each sentence does.
    last = next((part for part in reversed(turned) if _signed(part)), "") if len(turned) > 1 else turned[0]
    return [part for part in re.split(r"[.!?;]", _CONCESSION.sub("", last.strip())) if _signed(part)]


def _signed(part):
    return [word for word in re.findall(r"[\w']+", part) if word in _PRAISE | _BLAME]


def _of_sentence(part):
    words = re.findall(r"[\w'’]+", part)
    sign = np.sign(sum((word in _PRAISE) - (word in _BLAME) for word in words)) or 1
    if any(word in _NOT or word.endswith("n't") for word in words):
        sign = -sign
    strength = 0.3 + 0.1 * any(w in _STRONGER for w in words) - 0.1 * any(w in _WEAKER for w in words)
    return 0.5 + sign * strength


def _mended(word):
    return _KEYS.get((word[0], word[-1], "".join(sorted(word))), word)


def count(text):
    """Return the probability of praise by counting words: what a bag of words understands."""
    words = re.findall(r"[\w']+", text.lower())
    return 0.5 + 0.4 * np.tanh(sum((word in _PRAISE) - (word in _BLAME) for word in words) + 0.1)


@pytest.fixture
def understanding():
    return understand


@pytest.fixture
def counting():
    return count


@pytest.fixture
def sentiment():
    return Sentiment((0,), (1,), 2)


@pytest.fixture
def answers():
    """Build predictions from texts and a function from a text to the probability of praise."""

    def make(texts, praise, names=("negative", "positive"), labels=None):
        positive = np.array([praise(text) for text in texts], dtype=np.float64).reshape(-1, 1)
        return Predictions(
            ids=[f"row-{i}" for i in range(len(texts))],
            texts=list(texts),
            probabilities=np.hstack([1 - positive, positive]),
            label_names=names,
            labels=None if labels is None else np.array(labels, dtype=np.int64),
        )

    return make
