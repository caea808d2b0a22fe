"""Texts to predict, from files or standard input, and the records that are written of them."""

from __future__ import annotations

import csv
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matinee.core.errors import DataError
from matinee.core.files import atomic_path, write_jsonl
from matinee.data.columns import choose_columns
from matinee.data.readers import FORMATS, is_table, open_table, text_lines
from matinee.data.reading import Missing, text_of
from matinee.data.sources.files import matching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matinee.core.settings import DataSettings

Record = dict[str, Any]

_log = logging.getLogger(__name__)

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class ReadTexts:
    """Texts to predict.

    Attributes:
        texts: In the order of the source, one per row.
        ids: One name per text: `row-3` of a single file or standard input, `row-2-3` of the second of several files.
    """

    texts: list[str]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.texts)


def read_texts(source: str, settings: DataSettings) -> ReadTexts:
    """Return the texts of a file, a glob, or standard input.

    Every row gives a text, so that answers stay in line with the input: an empty line, and a row of a table without a
    text, give the empty text; of the latter a warning is logged.

    Args:
        source: A data file, a `.txt` file with one text a line, a glob of either, or `-` for standard input, one text
            a line.
        settings: Text column and encoding.

    Raises:
        DataError: The file cannot be read, or holds no texts.
    """
    if source == STANDARD_INPUT:
        return _numbered([_standard_input(settings.encoding)])
    read = _numbered([_texts_of(path, settings) for path in matching(source)])
    if not read.texts:
        raise DataError(f"{source} holds no texts.")
    return read


def _numbered(files: Sequence[Sequence[str]]) -> ReadTexts:
    texts = [text for file in files for text in file]
    prefixes = ["row"] if len(files) == 1 else [f"row-{number}" for number in range(1, len(files) + 1)]
    ids = [f"{prefix}-{row}" for prefix, file in zip(prefixes, files, strict=True) for row in range(1, len(file) + 1)]
    return ReadTexts(texts, ids)


def _texts_of(path: Path, settings: DataSettings) -> list[str]:
    """Return the text of every row of a table, or of every line of a text file."""
    if is_table(path):
        return _table_texts(path, settings)
    if path.suffix.lower() != ".txt":
        raise DataError(
            f"{path} has the ending {path.suffix!r}; matinee reads .txt (one text a line), {', '.join(FORMATS)}."
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file.")
    return [line.rstrip("\r\n") for line in text_lines(path, settings.encoding)]


def _table_texts(path: Path, settings: DataSettings) -> list[str]:
    table, missing = open_table(path, settings.encoding), Missing("text", path)
    texts = []
    for row, cells in enumerate(table.rows([choose_columns(table, settings, labelled=False).text]), start=1):
        text = text_of(cells[0], path, row)
        if text is None:
            missing.add(row)
        texts.append(text or "")
    if missing.count:
        _log.warning("%s; taken for empty texts.", missing)
    return texts


def _standard_input(encoding: str) -> list[str]:
    data = sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode(encoding)
    try:
        text = data.decode("utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"Standard input, byte {error.start + 1}: not {encoding}; pass the right --encoding."
        ) from error
    except LookupError as error:
        raise DataError(f"Unknown --encoding {encoding!r}; usual ones: utf-8, utf-16, latin-1, cp1252.") from error
    lines = text.replace("\r\n", "\n").split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    if not lines:
        raise DataError("Standard input is empty; give one text a line.")
    return lines


# -- writing ----------------------------------------------------------------------------------------------------------


def check_output(path: Path) -> None:
    """Refuse a file name that `write_records` could not write, before anything is predicted.

    Raises:
        DataError: The ending is unknown, or the name is a folder.
    """
    if path.suffix.lower() not in _WRITERS:
        raise DataError(f"Cannot write {path}: the ending {path.suffix!r} is unknown; known are {', '.join(_WRITERS)}.")
    if path.is_dir():
        raise DataError(f"Cannot write {path}: it is a folder.")


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write predictions to a file, in the format of its ending, whole or not at all.

    Args:
        path: `.jsonl` or `.json` (one object a line), `.csv`, `.tsv` or `.parquet`.
        records: `{"text", "label", "score", "probabilities": {label: p}}`, more keys allowed; in CSV and TSV the
            probabilities become the columns `probability_<label>`, and a list is joined by `|`.

    Raises:
        DataError: The ending is unknown.
        StorageError: The write was refused.
    """
    check_output(path)
    _WRITERS[path.suffix.lower()](path, records)


def flat_record(record: Record) -> Record:
    """Return a record whose probabilities are columns."""
    flat = {key: value for key, value in record.items() if key != "probabilities"}
    return {**flat, **{f"probability_{label}": p for label, p in record["probabilities"].items()}}


def _joined_lists(record: Record) -> Record:
    return {key: "|".join(value) if isinstance(value, list) else value for key, value in record.items()}


def _write_jsonl(path: Path, records: Sequence[Record]) -> None:
    write_jsonl(path, list(records))


def _write_delimited(delimiter: str) -> Callable[[Path, Sequence[Record]], None]:
    def write(path: Path, records: Sequence[Record]) -> None:
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            rows = [_joined_lists(flat_record(record)) for record in records]
            columns = list(dict.fromkeys(key for row in rows for key in row)) or ["text", "label", "score"]
            writer = csv.DictWriter(file, columns, delimiter=delimiter, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    return write


def _write_parquet(path: Path, records: Sequence[Record]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist([flat_record(record) for record in records]), temporary)


_WRITERS: dict[str, Callable[[Path, Sequence[Record]], None]] = {
    ".jsonl": _write_jsonl,
    ".json": _write_jsonl,
    ".csv": _write_delimited(","),
    ".tsv": _write_delimited("\t"),
    ".parquet": _write_parquet,
}
