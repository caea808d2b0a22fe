"""Train texts that are a little different in each epoch: changed, tokenised, and handed to the Trainer as any other."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from matinee.data.augment import Augmentations, Augmenter, examples
from matinee.data.synonyms import synonyms
from matinee.model.neighbours import words_alike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.core.settings import TrainingSettings
    from matinee.core.types import Split, Targets
    from matinee.tokens import TextPreparation
    from matinee.tokens.windows import Windows
    from matinee.training.fit import TokenizedSplit

logger = logging.getLogger(__name__)

# Words that stand in one text alone are the larger part of all words, and next to none of the running text.
_LEAST_TEXTS = 2
# Texts tokenised at a time: with the place of each token, they take twenty times their own memory.
_CHUNK = 500


class AugmentedSplit(torch.utils.data.Dataset[dict[str, Any]]):
    """The train split, changed anew in each epoch; before the first one as it is.

    All texts of an epoch are made at its start, since their order depends on their lengths. For 1,000 IMDB reviews that
    takes between 0.2 (window) and 1.0 seconds (synonym) of one core: next to nothing beside an epoch on a CPU, but 25,000
    keep a GPU waiting. What is made depends on the seed, the epoch and the row alone, so that a resumed training goes on
    with the same texts.

    Attributes:
        ids: Token ids of each text in this epoch.
        labels: Shape (n_texts,); never changed.
        windows: How long texts are laid out in windows; None where they are truncated.
        targets: What is learned in the place of the labels; None: these.
    """

    # What frozen layers put out cannot serve other epochs.
    states = None

    def __init__(
        self,
        split: Split,
        ids: Sequence[NDArray[np.int32]],
        preparation: TextPreparation,
        augmenter: Augmenter,
        windows: Windows | None = None,
        targets: Targets | None = None,
    ) -> None:
        self.ids = list(ids)
        self.labels = split.labels
        self.windows = windows
        self.targets = targets
        self._split = split
        self._whole = ids
        self._preparation = preparation
        self._augmenter = augmenter
        self._n_tokens = tokens_per_word(preparation, split.texts) if "window" in augmenter.operations else None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return labelled_item(self, row)

    # Not `set_epoch`: accelerate calls a dataset's method of that name too, by a count of its own.
    def begin_epoch(self, epoch: int) -> None:
        """Make the texts of an epoch, counted from 0."""
        texts = {row: self._changed(row, epoch) for row in range(len(self))}
        changed = [row for row, text in texts.items() if text != self._split.texts[row]]
        made = self._preparation.encode([texts[row] for row in changed])
        self.ids = list(self._whole)
        for row, ids in zip(changed, made, strict=True):
            self.ids[row] = ids

    def examples(self) -> list[dict[str, Any]]:
        """Return a few texts before the first epoch and in it: `[{"id", "before", "after"}]`."""
        return examples(self._split.ids, self._split.texts, lambda row: self._changed(row, 0))

    @property
    def n_cut(self) -> int:
        """How many texts are too long for the encoder, so that a window of them can be taken."""
        return sum(int(n.sum()) > self._augmenter.room for n in self._n_tokens or ())

    def _changed(self, row: int, epoch: int) -> str:
        n_tokens = None if self._n_tokens is None else self._n_tokens[row]
        return self._augmenter.augment(self._split.texts[row], epoch=epoch, row=row, n_tokens=n_tokens)


def labelled_item(split: TokenizedSplit | AugmentedSplit, row: int) -> dict[str, Any]:
    """Return what the Trainer reads of a text: its token ids and label, and its targets where there are any."""
    item = {"input_ids": split.ids[row], "labels": int(split.labels[row])}
    if split.targets is None:
        return item
    return {**item, "targets": split.targets.weights[row], "temperatures": split.targets.temperatures[row]}


def augment_split(
    split: Split,
    ids: Sequence[NDArray[np.int32]],
    preparation: TextPreparation,
    model: Any,
    settings: TrainingSettings,
    windows: Windows | None = None,
    targets: Targets | None = None,
) -> AugmentedSplit | None:
    """Return the train split as the setting `augment` changes it; None where it leaves the texts as they are.

    Args:
        split: The train split.
        ids: Token ids of its texts as they are.
        preparation: Makes token ids of texts.
        model: Before fine-tuning; words alike are taken from its embeddings.
        settings: What to change, and the seed.
        windows: How long texts are laid out in windows.
        targets: What is learned in the place of the split's labels, whatever becomes of the texts.

    Raises:
        SettingsError: There is no such augmentation.
    """
    asked = Augmentations.parse(settings.augment)
    if not asked.operations:
        return None
    alike = _synonyms(split, preparation, model) if "synonym" in asked.operations else {}
    room = preparation.settings.max_length - len(preparation.encode([""])[0])
    augmented = AugmentedSplit(
        split, ids, preparation, Augmenter(asked.operations, settings.seed, room, alike), windows, targets
    )
    notes = {
        "window": f"{augmented.n_cut:,} of {len(split):,} texts are longer than the encoder reads",
        "synonym": f"{len(alike):,} words have others alike",
    }
    said = [f"{name} ({notes[name]})" if name in notes else name for name in asked.operations]
    logger.info(f"Augmentation of the train texts: {', '.join(said)}")
    return augmented


def _synonyms(split: Split, preparation: TextPreparation, model: Any) -> dict[str, tuple[str, ...]]:
    n_texts = Counter(word for text in split.texts for word in set(re.findall(r"\w+", preparation.clean(text).lower())))
    words = [word for word, n in n_texts.items() if n >= _LEAST_TEXTS]
    return synonyms(words_alike(model, preparation.tokenizer, words), split.texts, split.labels)


def tokens_per_word(preparation: TextPreparation, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return how many tokens each word of each cleaned text has, shape (n_words,) each.

    Words are what white space divides. The texts are tokenised whole: some tokenizers make other tokens of a lone word.
    """
    counted: list[NDArray[np.int64]] = []
    for start in range(0, len(texts), _CHUNK):
        chunk = [preparation.clean(text) for text in texts[start : start + _CHUNK]]
        found = preparation.tokenizer.encode_batch(chunk, add_special_tokens=False)
        counted += [_tokens_of_words(text, encoding.offsets) for text, encoding in zip(chunk, found, strict=True)]
    return counted


def _tokens_of_words(text: str, spans: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    ends = np.array([match.end() for match in re.finditer(r"\S+", text)], dtype=np.int64)
    # By its last character: the first one may be the space before the word.
    last = np.array([end for _, end in spans], dtype=np.int64) - 1
    words = np.searchsorted(ends, last, side="right")
    return np.bincount(words[words < len(ends)], minlength=len(ends)).astype(np.int64)
