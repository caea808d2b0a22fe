"""Label values as files have them (words, integers, 1.0, true) to label names and indices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

_INTEGER = re.compile(r"([+-]?(?:0|[1-9]\d*))(?:\.0+)?")
_DECIMAL = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")

# A label column with this many values, most of them on one row only, holds texts or scores.
MANY_LABELS = 50

# What datasets of the hub write where they publish no label.
UNLABELLED = "-1"


def label_key(value: object) -> str | None:
    """Return what a label value is called, or None where there is none.

    1, 1.0, "1" and "1.0" are the label `1`; words lose the white space around them; True is `True`, as CSV writers spell it.

    Raises:
        ValueError: It is a list, an object, or something else that names no class.
    """
    if value is None or value != value:  # NaN, the missing value of data frames
        return None
    if isinstance(value, str):
        word = value.strip()
        number = _INTEGER.fullmatch(word)
        if number:
            return str(int(number[1]))
        return (
            None if word.lower() in {"", "nan"} else word
        )  # "nan" is how a missing value looks once it was made a word
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)):
        return str(int(value)) if float(value).is_integer() else repr(value)
    raise ValueError(f"a {type(value).__name__}")


def means_unlabelled(labels: Collection[str], names: Mapping[str, str]) -> bool:
    """Return whether -1 in a label column says that there is no label, and is no class of its own.

    It says so beside values with names of their own, and beside 0, 1, … k-1. One exception: -1, 0 and 1 together in
    train are a scale (negative, neutral, positive), and all three are classes.

    Args:
        labels: The labels that train has, or that a classifier knows.
        names: What label values are called, where the source says.
    """
    if names:
        return UNLABELLED not in names
    others = set(labels) - {UNLABELLED}
    if len(others) < 2 or others != {str(number) for number in range(len(others))}:
        return False
    return UNLABELLED not in labels or len(others) > 2


class LabelCodes:
    """Numbers label values in the order in which they come, so that a big file needs a few bytes a row.

    Args:
        names: What label values are called, where that is known.
        skip_unlabelled: Whether -1 is a missing label: see `means_unlabelled`.
    """

    def __init__(self, names: Mapping[str, str] | None = None, *, skip_unlabelled: bool = False) -> None:
        self.keys: list[str] = []
        self.skip_unlabelled = skip_unlabelled
        self._names = names or {}
        self._codes: dict[str, int] = {}
        self._seen: dict[str, int | None] = {}

    def code(self, value: object) -> int | None:
        """Return the number of a label value, None where it is missing.

        Raises:
            ValueError: See `label_key`.
        """
        if isinstance(value, str) and value in self._seen:
            return self._seen[value]
        key = label_key(value)
        if self.skip_unlabelled and key == UNLABELLED:
            key = None
        code = None if key is None else self._number(self._names.get(key, key))
        if isinstance(value, str):
            self._seen[value] = code
        return code

    def _number(self, key: str) -> int:
        if key not in self._codes:
            self._codes[key] = len(self.keys)
            self.keys.append(key)
        return self._codes[key]


def sorted_names(keys: Sequence[str]) -> tuple[str, ...]:
    """Return label names in their order: numerically where all are integers, else as words, capitals first."""
    if all(_INTEGER.fullmatch(key) for key in keys):
        return tuple(sorted(keys, key=int))
    return tuple(sorted(keys))


def check_labels(keys: Sequence[str], n_rows: int, column: str) -> None:
    """Refuse a label column that holds no classes.

    Raises:
        DataError: A single class, decimal numbers, or nearly as many values as rows.
    """
    decimal = next((key for key in keys if _DECIMAL.fullmatch(key)), None)
    if decimal is not None:
        raise DataError(
            f"Column {column!r} holds numbers such as {decimal}, not classes; make classes of them, or name another --label-column."
        )
    if len(keys) > MANY_LABELS and len(keys) > n_rows / 2:
        raise DataError(
            f"Column {column!r} holds {len(keys):,} different values in {n_rows:,} rows: texts or ids, not classes; "
            "name the right one with --label-column."
        )
    if len(keys) < 2:
        only = f"every row has the label {keys[0]!r}" if keys else "there are no rows"
        raise DataError(f"Column {column!r}: {only}, and a classifier needs at least two classes.")


def order_names(names: tuple[str, ...], positive_label: str | None) -> tuple[str, ...]:
    """Return label names with the positive one last.

    Raises:
        DataError: There is no such label, or there are more than two.
    """
    if positive_label is None:
        return names
    if positive_label not in names:
        known = ", ".join(repr(name) for name in names[:MANY_LABELS])
        raise DataError(
            f"No label {positive_label!r} (--positive-label).{did_you_mean(positive_label, names)} The labels: {known}."
        )
    if len(names) > 2:
        raise DataError(f"--positive-label is for two classes, and there are {len(names)}; leave it out.")
    return (*(name for name in names if name != positive_label), positive_label)


def to_indices(codes: NDArray[np.int64], keys: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    """Return label indices for the numbers that `LabelCodes` gave.

    Args:
        codes: Shape (n_texts,).
        keys: Label name of each code.
        names: The label names in their final order; holds every key.
    """
    index = {name: i for i, name in enumerate(names)}
    return np.array([index[key] for key in keys], dtype=np.int64)[codes] if len(keys) else codes
