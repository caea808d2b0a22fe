"""Files of pairs: an original text and its edit, each with a label, two rows with one name in the pair column."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.errors import DataError, did_you_mean
from matinee.core.types import Split
from matinee.data.columns import choose_columns
from matinee.data.labels import label_key
from matinee.data.readers import open_table
from matinee.data.reading import Missing, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matinee.core.settings import DataSettings
    from matinee.data.readers import Table

_ORIGINAL = frozenset({"0", "false", "no", "original", "orig"})
_EDIT = frozenset({"1", "true", "yes", "edit", "edited", "new", "revised", "contrast", "counterfactual"})


@dataclass(frozen=True)
class ReadPairs:
    """Rows of a file of pairs.

    Attributes:
        split: Texts and labels in the order of the file; its groups are the names of the pairs.
        is_edit: Whether each row is the edit; None where no column says so.
    """

    split: Split
    is_edit: list[bool] | None = None

    @property
    def pairs(self) -> list[str]:
        """Name of each row's pair."""
        return self.split.groups or []


@dataclass
class _Rows:
    """Cells read so far."""

    texts: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)


def read_pairs(
    path: Path, settings: DataSettings, pair_column: str, label_names: Sequence[str], *, edit_column: str | None = None
) -> ReadPairs:
    """Return the rows of a file of pairs; whether each pair has two of them is not looked at.

    A label is one of `label_names` as it is spelled there, or else in other capitals (`Positive` for `positive`).

    Args:
        path: A table in any format that datasets have.
        settings: Text and label column, guessed where not given; encoding.
        pair_column: Holds a name that the two rows of a pair share.
        label_names: The classifier's.
        edit_column: Tells the edit (1, true, yes, edit, edited, new, revised, contrast, counterfactual) from the original (0,
            false, no, original, orig).

    Raises:
        DataError: The file or a column is not there, a row lacks something, or a label or an edit mark is unknown.
    """
    table = open_table(path, settings.encoding)
    for column, flag in ((pair_column, "--pair-column"), (edit_column, "--edit-column")):
        if column is not None and column not in table.columns:
            known = ", ".join(map(repr, table.columns[:20]))
            raise DataError(
                f"{path} has no column {column!r} ({flag}).{did_you_mean(column, table.columns)} Its columns: {known}."
            )
    columns = choose_columns(table, replace(settings, group_column=None))
    rows = _read(table, [columns.text, columns.label or "", pair_column], label_names)
    if not rows.texts:
        raise DataError(f"{path} holds no rows.")
    split = Split(
        ids=[f"row-{row}" for row in range(1, len(rows.texts) + 1)],
        texts=rows.texts,
        labels=np.array(rows.labels, dtype=np.int64),
        groups=rows.pairs,
    )
    return ReadPairs(split, None if edit_column is None else _edits(table, edit_column))


def _read(table: Table, columns: Sequence[str], label_names: Sequence[str]) -> _Rows:
    rows, path = _Rows(), table.path
    missing = [Missing(what, path) for what in ("text", "label", "pair")]
    folded = _folded(label_names)
    for row, cells in enumerate(table.rows(columns), start=1):
        text, label, pair = text_of(cells[0], path, row), _key(cells[1], path, row), _key(cells[2], path, row)
        for value, lack in zip((text, label, pair), missing, strict=True):
            if value is None:
                lack.add(row)
        if text is not None and label is not None and pair is not None:
            rows.texts.append(text)
            rows.labels.append(_label(label, label_names, folded, path, row))
            rows.pairs.append(pair)
    for lack in missing:
        if lack.count:
            raise DataError(f"{lack}; fill them in, or remove those pairs.")
    return rows


def _folded(label_names: Sequence[str]) -> dict[str, int]:
    """Return the labels by their names without capitals, those left out that only capitals tell apart."""
    keys = [name.casefold() for name in label_names]
    return {key: index for index, key in enumerate(keys) if keys.count(key) == 1}


def _label(key: str, label_names: Sequence[str], folded: dict[str, int], path: Path, row: int) -> int:
    if key in label_names:
        return list(label_names).index(key)
    if key.casefold() in folded:
        return folded[key.casefold()]
    known = ", ".join(map(repr, list(label_names)[:10]))
    raise DataError(
        f"{path}, row {row}: the classifier does not know the label {key[:40]!r}.{did_you_mean(key, label_names)} It knows {known}."
    )


def _edits(table: Table, column: str) -> list[bool]:
    edits = []
    for row, (value,) in enumerate(table.rows([column]), start=1):
        mark = (_key(value, table.path, row) or "").casefold()
        if mark not in _ORIGINAL | _EDIT:
            raise DataError(
                f"{table.path}, row {row}: column {column!r} holds {mark[:40]!r}; it must tell originals "
                f"({', '.join(sorted(_ORIGINAL))}) from edits ({', '.join(sorted(_EDIT))})."
            )
        edits.append(mark in _EDIT)
    return edits


def _key(value: object, path: Path, row: int) -> str | None:
    try:
        return label_key(value)
    except ValueError as error:
        raise DataError(f"{path}, row {row}: expected a label or a name, got {error}.") from error
