"""Occlusion, for any predictor: leave a word out and see what becomes of the answer (Zeiler & Fergus 2014, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matinee.core.progress import progress
from matinee.inference.explain.explanation import Attribution, log_odds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matinee.inference.explain.reading import Reading
    from matinee.inference.predictor import Predictor

MOST_PASSES = 200
# Longer texts get fewer passes, so that all of them together stay below this many characters.
_MOST_CHARACTERS = 20_000_000
_FEWEST_PASSES = 16
# Texts given to the predictor at once, and their characters.
_AT_ONCE, _CHARACTERS_AT_ONCE = 64, 4_000_000


def occlusion(predictor: Predictor, reading: Reading, label: int, *, most_passes: int = MOST_PASSES) -> Attribution:
    """Attribute to each word by how much the label's log-odds fall when it is deleted.

    Of more words than `most_passes`, neighbours are deleted in groups, which half of the passes go to; the words of the
    groups that count most are then deleted one by one, as far as the other half goes. The words of the other groups
    share their group's figure evenly. What truncation cuts off is left out from the start, lest it move up.

    Args:
        predictor: Any.
        reading: Words of the text.
        label: Index of the label.
        most_passes: Most texts to predict, the whole and the empty one aside; fewer for very long texts.
    """
    occluded = _Occluded(predictor, reading, label)
    words = np.flatnonzero(reading.read)
    allowed = max(_FEWEST_PASSES, min(most_passes, _MOST_CHARACTERS // max(1, occluded.length)))
    contributions = np.zeros(len(reading.words))
    if len(words) <= allowed:
        contributions[words] = occluded.falls(list(words[:, None]))
        how = "each word left out by itself"
    else:
        groups = np.array_split(words, allowed // 2)
        falls = occluded.falls(groups)
        for group, fall in zip(groups, falls, strict=True):
            contributions[group] = fall / len(group)
        alone = _strongest(groups, falls, allowed - len(groups))
        contributions[alone] = occluded.falls(list(alone[:, None]))
        how = (
            f"left out in {len(groups)} groups of neighbours, {len(alone)} words of the strongest groups by themselves"
        )
    return Attribution(contributions, occluded.base_value, occluded.value, how)


def _strongest(groups: list[NDArray[np.int64]], falls: NDArray[np.float64], room: int) -> NDArray[np.int64]:
    """Return the words of as many of the strongest groups as there is room for."""
    chosen: list[NDArray[np.int64]] = []
    for group in np.argsort(-np.abs(falls), kind="stable"):
        if sum(map(len, chosen)) + len(groups[group]) > room:
            break
        chosen.append(groups[group])
    return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)


class _Occluded:
    """A text, and what the predictor says of it without some of its words."""

    def __init__(self, predictor: Predictor, reading: Reading, label: int) -> None:
        self.predictor, self.reading, self.label = predictor, reading, label
        whole = reading.text if reading.read.all() else reading.with_words(reading.read)
        self.length = len(whole)
        self.value, self.base_value = (float(odds) for odds in self._odds([whole, ""]))

    def falls(self, groups: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Return by how much the label's log-odds fall without each group of words, shape (n_groups,)."""
        size = max(1, min(_AT_ONCE, _CHARACTERS_AT_ONCE // max(1, self.length)))
        falls = np.empty(len(groups))
        with progress("Leaving words out", len(groups), "passes") as bar:
            for start in range(0, len(groups), size):
                texts = [self._without(group) for group in groups[start : start + size]]
                falls[start : start + len(texts)] = self.value - self._odds(texts)
                bar.update(start + len(texts))
        return falls

    def _without(self, words: NDArray[np.int64]) -> str:
        kept = self.reading.read.copy()
        kept[words] = False
        return self.reading.with_words(kept)

    def _odds(self, texts: list[str]) -> NDArray[np.float64]:
        return log_odds(self.predictor.probabilities(texts), self.label)
