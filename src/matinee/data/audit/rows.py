"""What an audit looks at: all rows of all splits as one flat table, the broken ones too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.types import SPLIT_NAMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matinee.core.types import Dataset

# Of a row that has no label.
NO_LABEL = -1

# An example shows this many characters of its text.
_SHOWN = 160


@dataclass(frozen=True)
class Rows:
    """Every row of a dataset.

    Attributes:
        ids: One name per row, unique.
        texts: As the source has them; empty where there is none.
        labels: Indices into `label_names`, or `NO_LABEL`; shape (n_rows,), int64.
        splits: Indices into `split_names`, shape (n_rows,), int64.
        split_names: `train`, `validation`, `test`, in this order, as far as there are any; of an undivided file the single
            name `all`. A text that stands in two splits is dropped from the earlier one.
        label_names: Name of each label index.
    """

    ids: list[str]
    texts: list[str]
    labels: NDArray[np.int64]
    splits: NDArray[np.int64]
    split_names: tuple[str, ...]
    label_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of(cls, dataset: Dataset) -> Rows:
        """Return the rows of a dataset that has been loaded."""
        splits = {name: dataset.splits[name] for name in SPLIT_NAMES if name in dataset.splits}
        return cls(
            ids=[name for split in splits.values() for name in split.ids],
            texts=[text for split in splits.values() for text in split.texts],
            labels=np.concatenate([split.labels for split in splits.values()]),
            splits=np.repeat(np.arange(len(splits)), [len(split) for split in splits.values()]),
            split_names=tuple(splits),
            label_names=dataset.label_names,
        )

    def split(self, row: int) -> str:
        """Return the name of the split that a row stands in."""
        return self.split_names[int(self.splits[row])]

    def label(self, row: int) -> str | None:
        """Return the label of a row, None where it has none."""
        label = int(self.labels[row])
        return None if label == NO_LABEL else self.label_names[label]

    def name(self, row: int) -> dict[str, Any]:
        """Return what names a row: id, split, label."""
        return {"id": self.ids[row], "split": self.split(row), "label": self.label(row)}

    def example(self, row: int, at: int = 0, **more: Any) -> dict[str, Any]:
        """Return a row as an example of a finding: what names it, its text, shortened, and whatever else is to be said.

        Args:
            row: Which one.
            at: A character of its text that must be seen.
            **more: Further plain values.
        """
        return {**self.name(row), "text": shorten(self.texts[row], at), **more}


def shorten(text: str, at: int = 0) -> str:
    """Return a text in one line of at most 160 characters, from a little before the character `at`, as well-formed Unicode."""
    start = 0 if at < _SHOWN // 2 else at - _SHOWN // 4
    piece = " ".join(text[start : start + 2 * _SHOWN].split())
    cut = len(piece) > _SHOWN or start + 2 * _SHOWN < len(text)
    shown = f"{'…' if start else ''}{piece[:_SHOWN]}{'…' if cut else ''}"
    return well_formed(shown)


def well_formed(text: str) -> str:
    """Return a text in which lone surrogates, which no file can hold, are U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
