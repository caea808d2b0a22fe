"""The few values that pass between rooms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")

UNCERTAIN = "uncertain"
"""The answer of a classifier that abstains."""


@dataclass(frozen=True)
class Split:
    """Texts with labels.

    Attributes:
        ids: One stable name per text, unique in the dataset (`"train-17"`: row 17 of the source's train split).
        texts: The texts as the source has them, not cleaned.
        labels: Indices into the dataset's label names, shape (n_texts,), int64.
        groups: One group name per text (a film, an author), or None; texts of one group never stand in two splits.
    """

    ids: list[str]
    texts: list[str]
    labels: NDArray[np.int64]
    groups: list[str] | None = None

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.texts) == len(self.labels):
            raise ValueError(f"{len(self.ids)} ids, {len(self.texts)} texts and {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Split:
        """Return the given rows, in the given order."""
        index = np.asarray(rows, dtype=np.int64)
        return Split(
            ids=[self.ids[i] for i in index],
            texts=[self.texts[i] for i in index],
            labels=self.labels[index],
            groups=None if self.groups is None else [self.groups[i] for i in index],
        )


@dataclass(frozen=True)
class Dataset:
    """Named splits that share their label names.

    Attributes:
        name: What the user asked for: `"imdb"`, a path, a hub id.
        label_names: Name of each label index; the last one is the positive class of a binary task.
        splits: Whichever of `train`, `validation`, `test` there are.
        about: Where it came from and what happened to it, as plain JSON values; becomes `data.json`.
    """

    name: str
    label_names: tuple[str, ...]
    splits: dict[SplitName, Split]
    about: dict[str, Any] = field(default_factory=dict)

    def with_about(self, **more: Any) -> Dataset:
        """Return a copy that knows more about where it came from."""
        return replace(self, about={**self.about, **more})


@dataclass(frozen=True)
class Predictions:
    """What a predictor said of some texts: all that evaluation and reports ever see of a classifier.

    Attributes:
        ids: One name per text.
        texts: The texts, as they were given.
        probabilities: Shape (n_texts, n_labels), rows sum to 1, float64.
        label_names: Name of each column.
        labels: True label indices, shape (n_texts,), int64; None where nobody knows them.
        threshold: Of two labels the second one is the answer where its probability is at least this; None: the more
            probable one.
        abstain_below: Answers less probable than this become `"uncertain"` in records; None: never.
        set_above: Labels at least this probable form the record's `"set"` of labels that cannot be excluded; None: no sets.
        groups: Group of each text, where the data has groups.
        token_lengths: Tokens of each text before truncation, shape (n_texts,), int64; None where nobody counted.
    """

    ids: list[str]
    texts: list[str]
    probabilities: NDArray[np.float64]
    label_names: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    threshold: float | None = None
    abstain_below: float | None = None
    set_above: float | None = None
    groups: list[str] | None = None
    token_lengths: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        expected = (len(self.texts), len(self.label_names))
        if self.probabilities.shape != expected:
            raise ValueError(f"probabilities have shape {self.probabilities.shape}, expected {expected}")
        per_text = (self.ids, self.labels, self.groups, self.token_lengths)
        if any(values is not None and len(values) != len(self.texts) for values in per_text):
            raise ValueError("ids, texts, labels, groups and token lengths differ in length")
        if self.threshold is not None and len(self.label_names) != 2:
            raise ValueError(f"a threshold needs two labels, got {len(self.label_names)}")

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the label that each text was given, shape (n_texts,)."""
        if self.threshold is not None:
            return np.asarray(self.probabilities[:, 1] >= self.threshold, dtype=np.int64)
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return one text's answer as a plain dict: text, label, score (the label's probability), probabilities by label name."""
        probabilities = self.probabilities[row]
        best = int(self.predicted[row])
        score = float(probabilities[best])
        uncertain = self.abstain_below is not None and score < self.abstain_below
        answer = {
            "text": self.texts[row],
            "label": UNCERTAIN if uncertain else self.label_names[best],
            "score": score,
            "probabilities": {name: float(p) for name, p in zip(self.label_names, probabilities, strict=True)},
        }
        if self.set_above is not None:
            answer["set"] = [
                name for name, p in zip(self.label_names, probabilities, strict=True) if p >= self.set_above
            ]
        return answer

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[row] for row in range(len(self)))

    def records(self) -> list[dict[str, Any]]:
        """Return every text's answer as a plain dict."""
        return list(self)
