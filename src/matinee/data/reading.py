"""From opened tables to splits of texts and label indices, in one pass that keeps only what is needed."""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.errors import DataError, IntegrityError, did_you_mean
from matinee.core.types import SPLIT_NAMES, Split
from matinee.data.columns import Columns, choose_columns
from matinee.data.labels import (
    UNLABELLED,
    LabelCodes,
    check_labels,
    label_key,
    means_unlabelled,
    order_names,
    sorted_names,
    to_indices,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from matinee.core.settings import DataSettings
    from matinee.core.types import SplitName
    from matinee.data.readers import Table
    from matinee.data.sources.found import Found

_log = logging.getLogger(__name__)

# What a row may lack.
_TEXT, _LABEL, _UNLABELLED = "text", "label", f"label but {UNLABELLED}"


@dataclass
class Missing:
    """Rows of one file that lack something: how many, and the first five."""

    what: str
    path: Path
    count: int = 0
    rows: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        rows = f"{', '.join(map(str, self.rows))}{', …' if self.count > len(self.rows) else ''}"
        have = "row has" if self.count == 1 else "rows have"
        return (
            f"{self.path}: {self.count:,} {have} no {self.what} (row {rows}; the first row below the header is row 1)"
        )

    def add(self, row: int) -> None:
        """Count a row."""
        self.count += 1
        if len(self.rows) < 5:
            self.rows.append(row)


@dataclass
class Pool:
    """Rows read so far; labels are numbers in the order in which the values came."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    codes: array[int] = field(default_factory=lambda: array("q"))
    groups: list[str] | None = None
    missing: list[Missing] = field(default_factory=list)

    @property
    def n_unlabelled(self) -> int:
        """Number of rows left out for want of a label."""
        return sum(missing.count for missing in self.missing if missing.what != _TEXT)

    def split(self, keys: Sequence[str], names: Sequence[str]) -> Split:
        """Return the rows with label indices into `names`; `keys` are the names of the numbers."""
        return Split(self.ids, self.texts, to_indices(self._codes(), keys, names), self.groups)

    def counts(self, n: int) -> NDArray[np.int64]:
        """Return the rows of each of `n` label numbers, shape (n,)."""
        return np.bincount(self._codes(), minlength=n)

    def _codes(self) -> NDArray[np.int64]:
        return np.frombuffer(self.codes, dtype=np.int64) if len(self.codes) else np.array([], dtype=np.int64)


@dataclass(frozen=True)
class Pools:
    """A dataset that has been read and not yet divided.

    Attributes:
        splits: The splits that the source has with labels.
        label_names: Label names in their final order: those of train.
        columns: The columns that were read.
        dropped: Rows left out so far, by reason.
        left_out: Why a split that the source has is not among `splits`, by its name.
    """

    splits: dict[SplitName, Split]
    label_names: tuple[str, ...]
    columns: Columns
    dropped: Counter[str]
    left_out: dict[str, str]


@dataclass
class _Reading:
    """What all tables of a dataset are read with."""

    found: Found
    settings: DataSettings
    columns: Columns
    codes: LabelCodes
    dropped: Counter[str] = field(default_factory=Counter)


def read_pools(found: Found, settings: DataSettings) -> Pools:
    """Read all splits of a dataset; the labels are those that train has.

    Raises:
        DataError: A row lacks its text or label, the labels are no classes, a label stands in a held-out split alone,
            or a file is broken.
        IntegrityError: The rows are not the pinned ones.
    """
    columns, names = _columns_and_names(found.tables["train"][0], found, settings)
    reading, train = _read_train(found, settings, columns, names)
    keys = list(reading.codes.keys)
    check_labels(keys, len(train.texts), columns.label or "")
    pools: dict[SplitName, Pool] = {"train": train}
    left_out: dict[str, str] = {}
    for split in _held_out(found):
        pool = _read_held_out(reading, split, len(keys))
        if pool is None:
            left_out[split] = "no row of it has a label"
        else:
            pools[split] = pool
    label_names = _label_names(keys, names, settings)
    splits = {split: pool.split(keys, label_names) for split, pool in pools.items()}
    return Pools(splits, label_names, columns, reading.dropped, left_out)


def read_with_labels(
    tables: Sequence[Table], found: Found, settings: DataSettings, label_names: Sequence[str]
) -> Split:
    """Read tables whose labels must be among those of a classifier; groups play no part.

    Raises:
        DataError: A label is unknown, a row lacks its text or label, no row has a label, or a file is broken.
    """
    settings = replace(settings, group_column=None)
    columns, names = _columns_and_names(tables[0], found, settings)
    unlabelled = UNLABELLED not in label_names and means_unlabelled(label_names, names)
    reading = _Reading(found, settings, columns, LabelCodes(names, skip_unlabelled=unlabelled))
    pool = _read_tables(reading, "test", tables)
    if not pool.texts and pool.n_unlabelled:
        raise DataError(
            f"{found.name}: no row of {_files(tables)} has a label, so there is nothing to evaluate on; "
            "give labelled data, or another --split."
        )
    _settle_missing(reading, pool)
    keys = reading.codes.keys
    unknown = [key for key in keys if key not in label_names]
    if unknown:
        raise DataError(
            f"{found.name} holds labels that the classifier does not know: {_listed(unknown)}."
            f"{did_you_mean(unknown[0], label_names)} It knows {_listed(label_names)}."
        )
    return pool.split(keys, label_names)


def rows_sha256(label_values: Sequence[str], texts: Sequence[str]) -> str:
    """Return the SHA-256 over `label, NUL, text, line feed` of each row: whether two copies of a split are the same."""
    digest = sha256()
    for label, text in zip(label_values, texts, strict=True):
        digest.update(f"{label}\0{text}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()


def text_of(value: object, path: Path, row: int) -> str | None:
    """Return a cell as a text, None where it holds nothing.

    Raises:
        DataError: It is a list, an object or bytes.
    """
    if isinstance(value, str):
        return value or None
    if value is None or value != value:  # NaN, the missing value of data frames
        return None
    if isinstance(value, (int, float)):
        return str(value)
    raise DataError(
        f"{path}, row {row}: expected a text, got a {type(value).__name__}; name the right one with --text-column."
    )


def _columns_and_names(table: Table, found: Found, settings: DataSettings) -> tuple[Columns, Mapping[str, str]]:
    columns = choose_columns(table, settings)
    in_file = table.label_names.get(columns.label or "", ())
    return columns, found.label_names or {str(i): name for i, name in enumerate(in_file)}


def _label_names(keys: Sequence[str], names: Mapping[str, str], settings: DataSettings) -> tuple[str, ...]:
    """Return the labels in the order that the source says, else in their natural one."""
    order = [name for name in dict.fromkeys(names.values()) if name in keys]
    return order_names(tuple(order) if len(order) == len(keys) else sorted_names(keys), settings.positive_label)


def _held_out(found: Found) -> list[SplitName]:
    return [split for split in SPLIT_NAMES if split != "train" and split in found.tables]


def _read_train(
    found: Found, settings: DataSettings, columns: Columns, names: Mapping[str, str], *, skip_unlabelled: bool = False
) -> tuple[_Reading, Pool]:
    """Return the rows of train, and what the other splits are to be read with."""
    reading = _Reading(found, settings, columns, LabelCodes(names, skip_unlabelled=skip_unlabelled))
    pool = _read_tables(reading, "train", found.tables["train"])
    codes, unlabelled = reading.codes, means_unlabelled(reading.codes.keys, names)
    if unlabelled and UNLABELLED in codes.keys:
        # What -1 means is known only now. Reading again costs time, in a rare case, but no second copy in memory.
        del pool
        return _read_train(found, settings, columns, names, skip_unlabelled=True)
    if set(codes.keys) == {UNLABELLED, "0", "1"}:
        _log.info("Label -1 of %s counts as a class; where it means 'no label', leave those cells empty.", found.name)
    codes.skip_unlabelled = unlabelled
    _settle(reading, "train", pool)
    return reading, pool


def _read_held_out(reading: _Reading, split: SplitName, n_known: int) -> Pool | None:
    """Return the rows of a held-out split, None where no row has a label; train has the first `n_known` labels."""
    pool = _read_tables(reading, split, reading.found.tables[split])
    if not pool.texts and pool.n_unlabelled:
        _log.warning(
            "The %s split of %s is left out: none of its %s rows has a label. One is held out of train instead.",
            split,
            reading.found.name,
            f"{pool.n_unlabelled:,}",
        )
        return None
    _settle(reading, split, pool)
    _check_learnable(reading, split, pool, n_known)
    return pool


def _settle(reading: _Reading, split: SplitName, pool: Pool) -> None:
    """Judge what a split lacks, and whether it is the pinned one."""
    _settle_missing(reading, pool)
    if not pool.texts:
        raise DataError(f"{_files(reading.found.tables[split])}: holds no rows with a text and a label.")
    _check_rows(reading.found, split, pool, reading.codes)


def _check_learnable(reading: _Reading, split: SplitName, pool: Pool, n_known: int) -> None:
    """Refuse labels that a held-out split has and train lacks: classes that nothing would be trained for."""
    keys = reading.codes.keys
    counts = zip(keys[n_known:], pool.counts(len(keys))[n_known:], strict=True)
    alone = [f"{key[:40]!r} ({count:,} {'row' if count == 1 else 'rows'})" for key, count in counts if count]
    if alone:
        more = f" and {len(alone) - 10} more" if len(alone) > 10 else ""
        raise DataError(
            f"{reading.found.name}: the {split} split has {'a label' if len(alone) == 1 else 'labels'} that train lacks: "
            f"{', '.join(alone[:10])}{more}; nothing could learn it, so correct or remove those rows, or add such rows to train."
        )


def _read_tables(reading: _Reading, split: SplitName, tables: Sequence[Table]) -> Pool:
    """Return the complete rows of some tables; what is missing is counted, and not yet judged."""
    pool = Pool(groups=None if reading.columns.group is None else [])
    name = "row" if reading.found.undivided else split
    for number, table in enumerate(tables, start=1):
        _read_table(reading, table, name if len(tables) == 1 else f"{name}-{number}", pool)
    return pool


def _read_table(reading: _Reading, table: Table, prefix: str, pool: Pool) -> None:
    """Append a table's rows to `pool`."""
    columns = reading.columns
    choose_columns(table, _as_given(columns, reading.settings))
    wanted = [columns.text, columns.label or "", *([columns.group] if columns.group else [])]
    no_text, no_label, unlabelled = (Missing(what, table.path) for what in (_TEXT, _LABEL, _UNLABELLED))
    for row, cells in enumerate(table.rows(wanted), start=1):
        text = text_of(cells[0], table.path, row)
        if text is None:
            # Its label is not looked at: one that stands on no other row would be a class without a text.
            no_text.add(row)
        elif (code := _code(reading, cells[1], table.path, row)) is None:
            (no_label if label_key(cells[1]) is None else unlabelled).add(row)
        else:
            pool.ids.append(f"{prefix}-{row}")
            pool.texts.append(text)
            pool.codes.append(code)
            if pool.groups is not None:
                # A row without a group is a group of its own.
                pool.groups.append(f"row {prefix}-{row}" if cells[2] in (None, "") else str(cells[2]))
    pool.missing += [missing for missing in (no_text, no_label, unlabelled) if missing.count]


def _code(reading: _Reading, value: object, path: Path, row: int) -> int | None:
    try:
        return reading.codes.code(value)
    except ValueError as error:
        raise DataError(f"{path}, row {row}: column {reading.columns.label!r} holds {error}, not a label.") from error


def _settle_missing(reading: _Reading, pool: Pool) -> None:
    """Count rows that lack something, or raise, as the setting `missing` says."""
    for missing in pool.missing:
        if reading.settings.missing == "error":
            raise DataError(f"{missing}; fill them in, or leave them out with --missing drop.")
        reading.dropped[f"no {missing.what}"] += missing.count


def _as_given(columns: Columns, settings: DataSettings) -> DataSettings:
    """Return settings that name the chosen columns, so that every further file must have them."""
    return replace(settings, text_column=columns.text, label_column=columns.label, group_column=columns.group)


def _check_rows(found: Found, split: SplitName, pool: Pool, codes: LabelCodes) -> None:
    expected = found.row_hashes.get(split)
    if expected is None:
        return
    values = {name: value for value, name in found.label_names.items()}
    keys = [values.get(key, key) for key in codes.keys]
    if rows_sha256([keys[code] for code in pool.codes], pool.texts) != expected:
        raise IntegrityError(
            f"The {split} split of {found.name} from {found.source} is not the one matinee knows ({len(pool.texts):,} rows); "
            "delete that copy and fetch it again."
        )


def _files(tables: Sequence[Table]) -> str:
    more = f" and {len(tables) - 3} more" if len(tables) > 3 else ""
    return ", ".join(str(table.path) for table in tables[:3]) + more


def _listed(names: Sequence[str], most: int = 10) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
