"""The rows of a dataset as its files have them: nothing dropped, and what would stop a training read all the same."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.errors import DataError
from matinee.core.types import SPLIT_NAMES
from matinee.data.audit.findings import Finding
from matinee.data.audit.rows import NO_LABEL, Rows
from matinee.data.columns import LABEL_NAMES, Columns, choose_columns, guess
from matinee.data.labels import UNLABELLED, LabelCodes, check_labels, means_unlabelled, sorted_names
from matinee.data.reading import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from matinee.core.settings import DataSettings
    from matinee.data.readers import Table
    from matinee.data.sources.found import Found

# The one split of a file that is not divided.
UNDIVIDED = "all"


@dataclass(frozen=True)
class Part:
    """The rows of one file.

    Attributes:
        split: The split that they belong to.
        table: The file.
        n_rows: How many there are.
    """

    split: str
    table: Table
    n_rows: int


@dataclass(frozen=True)
class Raw:
    """A dataset as its files have it.

    Attributes:
        found: Where it comes from.
        rows: All its rows.
        parts: The files, in the order of the rows.
        columns: The columns that were read; `label` is None where there is none.
        encoding: Of its text files.
        problem: Why the labels cannot be used, None where they can; then no row has one.
    """

    found: Found
    rows: Rows
    parts: list[Part]
    columns: Columns
    encoding: str
    problem: Finding | None = None


def read_raw(found: Found, settings: DataSettings) -> Raw:
    """Read every row of every split.

    Args:
        found: The dataset, opened.
        settings: Columns and encoding.

    Raises:
        DataError: A file is broken, has no column of texts or lacks a named one, a cell is no text, or there are no rows.
    """
    tables = [
        (name, number, table) for name in SPLIT_NAMES for number, table in enumerate(found.tables.get(name, ()), 1)
    ]
    columns = _columns(tables[0][2], settings)
    in_file = tables[0][2].label_names.get(columns.label or "", ())
    names = found.label_names or {str(index): name for index, name in enumerate(in_file)}
    codes, labels = LabelCodes(names), array("q")
    ids: list[str] = []
    texts: list[str] = []
    parts: list[Part] = []
    for split, number, table in tables:
        prefix: str = "row" if found.undivided else split
        before = len(texts)
        _read(table, columns, settings, codes, texts, labels)
        n_rows = len(texts) - before
        prefix = prefix if len(found.tables[split]) == 1 else f"{prefix}-{number}"
        ids += [f"{prefix}-{row}" for row in range(1, n_rows + 1)]
        parts.append(Part(UNDIVIDED if found.undivided else split, table, n_rows))
    if not texts:
        raise DataError(f"{found.name} holds no rows.")
    split_names = tuple(dict.fromkeys(part.split for part in parts))
    splits = np.repeat([split_names.index(part.split) for part in parts], [part.n_rows for part in parts])
    rows = Rows(ids, texts, np.array(labels, dtype=np.int64), splits.astype(np.int64), split_names, tuple(codes.keys))
    rows = _with_final_labels(rows, names)
    problem = _problem(rows, columns)
    if problem is not None and problem.code != "A102" and len(rows.label_names) > 1:
        rows = replace(rows, labels=np.full(len(rows), NO_LABEL), label_names=())
    return Raw(found, rows, parts, columns, settings.encoding, problem)


def _columns(table: Table, settings: DataSettings) -> Columns:
    """Return the columns to read; a label column that nobody named may be missing."""
    text = choose_columns(table, settings, labelled=False).text
    if settings.label_column is not None:
        return replace(choose_columns(table, settings), group=None)
    return Columns(text, guess(table.columns, LABEL_NAMES, but=text))


def _read(
    table: Table,
    columns: Columns,
    settings: DataSettings,
    codes: LabelCodes,
    texts: list[str],
    labels: array[int],
) -> None:
    """Append the rows of a table to `texts` and `labels`."""
    given = replace(settings, text_column=columns.text, label_column=columns.label, group_column=None)
    choose_columns(table, given, labelled=columns.label is not None)
    wanted = [columns.text] if columns.label is None else [columns.text, columns.label]
    for row, cells in enumerate(table.rows(wanted), start=1):
        texts.append(text_of(cells[0], table.path, row) or "")
        try:
            code = codes.code(cells[1]) if columns.label is not None else None
        except ValueError as error:
            raise DataError(f"{table.path}, row {row}: column {columns.label!r} holds {error}, not a label.") from error
        labels.append(NO_LABEL if code is None else code)


def _with_final_labels(rows: Rows, names: Mapping[str, str]) -> Rows:
    """Return the rows with label names in their final order, and no label where -1 means that there is none."""
    first = rows.splits == 0
    in_train = {rows.label_names[label] for label in np.unique(rows.labels[first]) if label != NO_LABEL}
    unlabelled = means_unlabelled(in_train, names)
    keys = [key for key in rows.label_names if not (unlabelled and key == UNLABELLED)]
    order = [name for name in dict.fromkeys(names.values()) if name in keys]
    final = tuple(order) if len(order) == len(keys) else sorted_names(keys)
    return replace(rows, labels=_renumbered(rows.labels, rows.label_names, final), label_names=final)


def _renumbered(labels: NDArray[np.int64], keys: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(names)}
    # The last place is that of NO_LABEL, -1.
    return np.array([*(index.get(key, NO_LABEL) for key in keys), NO_LABEL], dtype=np.int64)[labels]


def _problem(rows: Rows, columns: Columns) -> Finding | None:
    """Return why the labels are no classes to train on."""
    if columns.label is None:
        return Finding("A102", "warning", "No column is named like one that holds labels", len(rows), len(rows))
    if not (rows.labels != NO_LABEL).any():
        return Finding("A102", "warning", f"No row has a label in column {columns.label!r}", len(rows), len(rows))
    try:
        check_labels(rows.label_names, int((rows.labels != NO_LABEL).sum()), columns.label)
    except DataError as error:
        return Finding("A103", "error", str(error).rstrip("."), len(rows), len(rows))
    return None
