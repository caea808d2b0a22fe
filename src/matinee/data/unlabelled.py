"""Texts to learn from whose labels are not looked at, cleared of all that stands in the splits they are to stand beside."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError
from matinee.data.columns import choose_columns
from matinee.data.loading import divided
from matinee.data.overlap import EMPTY, text_digests
from matinee.data.prediction_files import read_texts
from matinee.data.reading import text_of
from matinee.data.sources import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.settings import DataSettings
    from matinee.core.types import Dataset
    from matinee.data.readers import Table

_log = logging.getLogger(__name__)

_NO_TEXT, _EMPTY, _REPEATED = "no text", "empty", "repeated"
_IN_TRAIN, _HELD_OUT = "also a training text", "also a validation or test text"
_OF_GROUP = "of a group in validation or test"
_NOT_TRAIN = "held out, next to what is held out, or dropped from train"
_NOT_ASKED = "not asked for"


@dataclass(frozen=True)
class Unlabelled:
    """Texts without labels.

    Attributes:
        ids: One name per text, none of which a labelled text has.
        texts: The texts, not cleaned.
        about: Where they come from, how many rows were read, how many were left out, by reason, how many are left, and a
            fingerprint of these, as plain JSON values.
    """

    ids: list[str]
    texts: list[str]
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass
class _Rows:
    """Rows read so far, and how many were left out, by reason."""

    ids: list[str]
    texts: list[str]
    groups: list[str | None]
    left_out: Counter[str]


def load_unlabelled(
    source: str, dataset: Dataset, own: DataSettings, *, reading: DataSettings, size: int | None = None, seed: int = 0
) -> Unlabelled:
    """Return texts to learn from beside a dataset's train split. Their labels, where there are any, play no part.

    Of the dataset's own source, what its hold-outs leave of train is taken: blocks that keep neighbours apart, and groups,
    keep these texts apart from the hold-outs too. Of another dataset it is the train split, of a file all of it. Texts that
    stand in one of the dataset's splits, count as the same as another one, or are empty, are left out.

    Args:
        source: A named dataset, a hub id, or a file (a `.txt` has one text a line), a glob or a folder.
        dataset: With its three splits.
        own: What the dataset was loaded with.
        reading: Text column and encoding of a source other than the dataset's own.
        size: Texts to draw at random of those that are left; None: all of them.
        seed: Of the draw.

    Raises:
        DataError: The source cannot be read, or nothing of it is left, or fewer than `size`.
        NotAvailableError: It is not here and could not be fetched.
    """
    is_own = _is_same(source, own.data)
    rows = _own_rest(own) if is_own else _read(source, reading, own.group_column)
    n_rows = len(rows.texts) + sum(rows.left_out.values())
    kept = _drawn(_clear(rows, dataset), size, seed, source, rows.left_out)
    if rows.left_out[_HELD_OUT] and not is_own:
        _log.warning(
            f"{rows.left_out[_HELD_OUT]:,} texts of {source} stand in the validation or test split and are left out. Texts "
            f"beside them may be alike: if this is the same data, name it as the run does, {own.data}."
        )
    texts = [rows.texts[row] for row in kept]
    about = {
        "source": source,
        "rows": n_rows,
        "left_out": {reason: n for reason, n in sorted(rows.left_out.items()) if n},
        "n": len(texts),
        "fingerprint": _fingerprint(texts),
    }
    return Unlabelled([f"unlabelled-{rows.ids[row]}" for row in kept], texts, about)


def _is_same(source: str, data: str | None) -> bool:
    """Return whether two names are of one dataset: the same name, or the same file."""
    one, other = Path(source).expanduser(), Path(data or "").expanduser()
    return source == data or (one.exists() and other.exists() and one.samefile(other))


def _own_rest(own: DataSettings) -> _Rows:
    """Return the train split that the dataset's own sample was drawn from."""
    _, pools, division = divided(own)
    train = division.splits["train"]
    left_out = Counter({_NOT_TRAIN: len(pools.splits["train"]) - len(train)})
    return _Rows(train.ids, train.texts, [None] * len(train), left_out)


def _read(source: str, reading: DataSettings, group_column: str | None) -> _Rows:
    if Path(source).suffix.lower() == ".txt":
        read = read_texts(source, reading)
        return _Rows(read.ids, read.texts, [None] * len(read), Counter())
    found = find(replace(reading, data=source))
    rows = _Rows([], [], [], Counter())
    tables = found.tables["train"]
    for number, table in enumerate(tables, start=1):
        _read_table(table, "row" if len(tables) == 1 else f"row-{number}", reading, group_column, rows)
    return rows


def _read_table(table: Table, prefix: str, reading: DataSettings, group_column: str | None, rows: _Rows) -> None:
    """Append a table's rows."""
    columns = [choose_columns(table, reading, labelled=False).text]
    if group_column in table.columns:
        columns.append(str(group_column))
    for row, cells in enumerate(table.rows(columns), start=1):
        text = text_of(cells[0], table.path, row)
        if text is None:
            rows.left_out[_NO_TEXT] += 1
            continue
        rows.ids.append(f"{prefix}-{row}")
        rows.texts.append(text)
        rows.groups.append(None if len(cells) == 1 or cells[1] in (None, "") else str(cells[1]))


def _clear(rows: _Rows, dataset: Dataset) -> list[int]:
    """Return the rows that may be learned from; count the others."""
    known = {
        digest: reason
        for names, reason in ((("train",), _IN_TRAIN), (("validation", "test"), _HELD_OUT))
        for name in names
        for digest in text_digests(dataset.splits[name].texts, f"Comparing {name} texts")  # type: ignore[index]
    }
    known[EMPTY] = _EMPTY
    groups = {group for name in ("validation", "test") for group in dataset.splits[name].groups or ()}
    kept = []
    for row, digest in enumerate(text_digests(rows.texts, "Comparing unlabelled texts")):
        reason = known.setdefault(digest, "")
        if not reason and rows.groups[row] in groups:
            reason = _OF_GROUP
        if reason:
            rows.left_out[reason] += 1
        else:
            kept.append(row)
            known[digest] = _REPEATED
    return kept


def _drawn(kept: Sequence[int], size: int | None, seed: int, source: str, left_out: Counter[str]) -> list[int]:
    """Return as many of the rows as were asked for, at random, in their order."""
    why = ", ".join(f"{n:,} {reason}" for reason, n in sorted(left_out.items()) if n)
    if not kept:
        raise DataError(
            f"{source} holds no text to learn from besides the run's own ({why or 'it is empty'}): give others."
        )
    if size is None:
        return list(kept)
    if size > len(kept):
        raise DataError(
            f"--unlabelled-size {size:,} is larger than the data: {len(kept):,} texts of {source} are left"
            f"{f' ({why})' if why else ''}."
        )
    left_out[_NOT_ASKED] = len(kept) - size
    places = np.random.default_rng([seed, 8]).permutation(len(kept))[:size]
    return [kept[place] for place in np.sort(places)]


def _fingerprint(texts: Sequence[str]) -> str:
    """Return the SHA-256 over the texts, in order."""
    digest = sha256()
    for text in texts:
        digest.update(f"{text}\0".encode(errors="surrogatepass"))
    return digest.hexdigest()
