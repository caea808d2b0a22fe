"""From opened tables to splits of texts and label indices, in one pass that keeps only what is needed."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.errors import DataError, IntegrityError, did_you_mean
from matinee.core.types import SPLIT_NAMES, Split
from matinee.data.columns import Columns, choose_columns
from matinee.data.labels import LabelCodes, check_labels, order_names, sorted_names, to_indices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matinee.core.settings import DataSettings
    from matinee.core.types import SplitName
    from matinee.data.readers import Table
    from matinee.data.sources.found import Found


@dataclass
class Pool:
    """Rows read so far; labels are numbers in the order in which the values came."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    codes: array[int] = field(default_factory=lambda: array("q"))
    groups: list[str] | None = None

    def split(self, keys: Sequence[str], names: Sequence[str]) -> Split:
        """Return the rows with label indices into `names`; `keys` are the names of the numbers."""
        codes = np.frombuffer(self.codes, dtype=np.int64) if len(self.codes) else np.array([], dtype=np.int64)
        return Split(self.ids, self.texts, to_indices(codes, keys, names), self.groups)


@dataclass
class Missing:
    """Rows of one file that lack something: how many, and the first five."""

    what: str
    count: int = 0
    rows: list[int] = field(default_factory=list)

    def add(self, row: int) -> None:
        """Count a row."""
        self.count += 1
        if len(self.rows) < 5:
            self.rows.append(row)

    def error(self, path: Path) -> DataError:
        """Return the error that names the rows."""
        rows = f"{', '.join(map(str, self.rows))}{', …' if self.count > len(self.rows) else ''}"
        have = "row has" if self.count == 1 else "rows have"
        return DataError(
            f"{path}: {self.count:,} {have} no {self.what} (row {rows}; the first row below the header is row 1); "
            "fill them in, or leave them out with --missing drop."
        )


@dataclass(frozen=True)
class Pools:
    """A dataset that has been read and not yet divided.

    Attributes:
        splits: The splits that the source has.
        label_names: Label names in their final order.
        columns: The columns that were read.
        dropped: Rows left out so far, by reason.
    """

    splits: dict[SplitName, Split]
    label_names: tuple[str, ...]
    columns: Columns
    dropped: Counter[str]


def read_pools(found: Found, settings: DataSettings) -> Pools:
    """Read all splits of a dataset.

    Raises:
        DataError: A row lacks its text or label, the labels are no classes, or a file is broken.
        IntegrityError: The rows are not the pinned ones.
    """
    columns, names = _columns_and_names(found, settings)
    codes, dropped = LabelCodes(names), Counter[str]()
    pools = {
        split: _read(found, split, columns, codes, settings, dropped) for split in SPLIT_NAMES if split in found.tables
    }
    for split, pool in pools.items():
        _check_rows(found, split, pool, codes)
    check_labels(codes.keys, sum(len(pool.texts) for pool in pools.values()), columns.label or "")
    order = [name for name in dict.fromkeys(names.values()) if name in codes.keys]
    label_names = tuple(order) if len(order) == len(codes.keys) else sorted_names(codes.keys)
    label_names = order_names(label_names, settings.positive_label)
    splits = {split: pool.split(codes.keys, label_names) for split, pool in pools.items()}
    return Pools(splits, label_names, columns, dropped)


def read_with_labels(
    tables: Sequence[Table], found: Found, settings: DataSettings, label_names: Sequence[str]
) -> Split:
    """Read tables whose labels must be among those of a classifier.

    Raises:
        DataError: A label is unknown, a row lacks its text or label, or a file is broken.
    """
    columns, names = _columns_and_names(found, settings)
    codes, pool = LabelCodes(names), Pool()
    for number, table in enumerate(tables):
        _read_table(table, _id_prefix(found, "test", tables, number), columns, pool, codes, settings, Counter())
    unknown = [key for key in codes.keys if key not in label_names]
    if unknown:
        raise DataError(
            f"{found.name} holds labels that the classifier does not know: {_listed(unknown)}."
            f"{did_you_mean(unknown[0], label_names)} It knows {_listed(label_names)}."
        )
    return pool.split(codes.keys, label_names)


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


def _columns_and_names(found: Found, settings: DataSettings) -> tuple[Columns, Mapping[str, str]]:
    first = next(iter(found.tables.values()))[0]
    columns = choose_columns(first, settings)
    in_file = first.label_names.get(columns.label or "", ())
    return columns, found.label_names or {str(i): name for i, name in enumerate(in_file)}


def _read(
    found: Found, split: SplitName, columns: Columns, codes: LabelCodes, settings: DataSettings, dropped: Counter[str]
) -> Pool:
    pool = Pool()
    tables = found.tables[split]
    for number, table in enumerate(tables):
        _read_table(table, _id_prefix(found, split, tables, number), columns, pool, codes, settings, dropped)
    if not pool.texts:
        raise DataError(f"{', '.join(str(table.path) for table in tables[:3])}: holds no rows.")
    return pool


def _id_prefix(found: Found, split: SplitName, tables: Sequence[Table], number: int) -> str:
    name = "row" if found.undivided else split
    return name if len(tables) == 1 else f"{name}-{number + 1}"


def _read_table(
    table: Table,
    prefix: str,
    columns: Columns,
    pool: Pool,
    codes: LabelCodes,
    settings: DataSettings,
    dropped: Counter[str],
) -> None:
    """Append a table's rows to `pool`."""
    label, wanted = columns.label or "", [columns.text, columns.label or ""]
    if columns.group is not None:
        wanted.append(columns.group)
        pool.groups = [] if pool.groups is None else pool.groups
    choose_columns(table, _as_given(columns, settings))
    no_text, no_label = Missing("text"), Missing("label")
    for row, cells in enumerate(table.rows(wanted), start=1):
        text = text_of(cells[0], table.path, row)
        try:
            code = codes.code(cells[1])
        except ValueError as error:
            raise DataError(f"{table.path}, row {row}: column {label!r} holds {error}, not a label.") from error
        if text is None:
            no_text.add(row)
        elif code is None:
            no_label.add(row)
        else:
            pool.ids.append(f"{prefix}-{row}")
            pool.texts.append(text)
            pool.codes.append(code)
            if pool.groups is not None:
                # A row without a group is a group of its own.
                pool.groups.append(f"row {prefix}-{row}" if cells[2] in (None, "") else str(cells[2]))
    for missing in (no_text, no_label):
        settle_missing(missing, table.path, settings, dropped)


def settle_missing(missing: Missing, path: Path, settings: DataSettings, dropped: Counter[str]) -> None:
    """Count rows that lack something, or raise, as the setting `missing` says."""
    if missing.count and settings.missing == "error":
        raise missing.error(path)
    if missing.count:
        dropped[f"no {missing.what}"] += missing.count


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


def _listed(names: Sequence[str], most: int = 10) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
