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
class Targets:
    """What the answers to texts are compared with in training, in the place of their labels.

    Attributes:
        weights: How much each text counts for each label, shape (n_texts, n_labels), float32: the label's probability times
            the weight of the text, which is 1 on average.
        temperatures: What each text's logits are divided by before they are compared, shape (n_texts,), float32; 1 for a
            true label.
    """

    weights: NDArray[np.float32]
    temperatures: NDArray[np.float32]


@dataclass(frozen=True)
class SoftTexts:
    """Texts that have probabilities in the place of a label: what a teacher says of them.

    Attributes:
        ids: One name per text, none of which a labelled text has.
        texts: The texts, not cleaned.
        probabilities: Shape (n_texts, n_labels), float64, rows sum to 1: the teacher's, its logits divided by `temperature`.
        temperature: What the student's logits are divided by too, where they are compared with these.
        true_label_share: Share of the loss that the labelled texts beside these have, at least 0 and below 1; None: every
            text counts the same.
    """

    ids: list[str]
    texts: list[str]
    probabilities: NDArray[np.float64]
    temperature: float = 1.0
    true_label_share: float | None = None

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.texts) == len(self.probabilities):
            raise ValueError(f"{len(self.ids)} ids, {len(self.texts)} texts and {len(self.probabilities)} rows")

    def __len__(self) -> int:
        return len(self.texts)

    def joined_to(self, labelled: Split) -> tuple[Split, Targets]:
        """Return labelled texts and these after them, and what each of them is compared with.

        The label of a text of these is its most probable one. Where the true labels have no share, these stand alone.
        """
        if self.true_label_share == 0:
            labelled = labelled.take([])
        labels = np.concatenate([labelled.labels, self.probabilities.argmax(axis=1)]).astype(np.int64)
        both = Split([*labelled.ids, *self.ids], [*labelled.texts, *self.texts], labels)
        hard, soft = self._weights(len(labelled))
        weights = np.zeros((len(both), self.probabilities.shape[1]), dtype=np.float32)
        weights[np.arange(len(labelled)), labelled.labels] = hard
        weights[len(labelled) :] = soft * self.probabilities
        temperatures = np.full(len(both), self.temperature, dtype=np.float32)
        temperatures[: len(labelled)] = 1
        return both, Targets(weights, temperatures)

    def _weights(self, n_labelled: int) -> tuple[float, float]:
        """Return the weight of a text with a true label and of one of these: 1 on average over all texts."""
        if self.true_label_share is None or not n_labelled or not len(self):
            return 1.0, 1.0
        n_texts = n_labelled + len(self)
        return self.true_label_share * n_texts / n_labelled, (1 - self.true_label_share) * n_texts / len(self)


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

    def __repr__(self) -> str:
        names = ", ".join(self.label_names[:5]) + (", …" if len(self.label_names) > 5 else "")
        return f"<Predictions: {len(self):,} text{'s' * (len(self) != 1)}, labels {names}>"  # all texts would fill a screen, or a notebook

    def _repr_html_(self) -> str:
        """Return how a notebook shows them: counts, and the first texts."""
        from matinee.core.notebook import predictions_html

        return predictions_html(self)
