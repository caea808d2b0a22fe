"""Tables on disk, read row by row: CSV, TSV, JSON lines, a JSON list, Parquet.

Rows are counted from 1 and without the header; blank lines are no rows. Messages about broken syntax name the line of
the file, messages about what a row holds name the row.
"""

from __future__ import annotations

import codecs
import csv
import json
from dataclasses import dataclass, field, replace
from io import TextIOWrapper
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from matinee.core.errors import DataError, did_you_mean
from matinee.core.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

Row = tuple[object, ...]

# The longest field: a book fits, and a quote that is never closed is found before it eats the memory.
LONGEST_FIELD = 100_000_000


@dataclass(frozen=True)
class Table:
    """A file of rows that has been opened but not read.

    Attributes:
        path: The file.
        columns: Its column names.
        rows: Gives the values of some columns, row by row; may be called again.
        label_names: Names of the values 0, 1, … of a column, where the file says them (Parquet from the hub).
        headerless: Whether the first line looks like data rather than column names.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Callable[[Sequence[str]], Iterator[Row]]
    label_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    headerless: bool = False

    def where(self, column: str, value: str) -> Table:
        """Return the table with only the rows whose `column` equals `value`."""

        def rows(columns: Sequence[str]) -> Iterator[Row]:
            return (row[:-1] for row in self.rows([*columns, column]) if row[-1] == value)

        return replace(self, rows=rows)


def open_table(path: Path, encoding: str = "utf-8") -> Table:
    """Return the table in a file, by its ending.

    Raises:
        DataError: There is no such file, it is empty or broken, its ending is unknown, or its bytes are not `encoding`.
            Broken rows are found only when they are read.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise DataError(
            f"{path} has the ending {path.suffix or 'of no format'!r}; matinee reads {', '.join(_OPENERS)}."
        )
    if not path.is_file():
        raise DataError(f"{path} is a folder, not a file." if path.is_dir() else f"There is no file {path}.")
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty.")
        return opener(path, encoding)
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: permission denied.") from error


def is_table(path: Path) -> bool:
    """Return whether the ending is one that `open_table` reads."""
    return path.suffix.lower() in _OPENERS


def text_lines(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a text file with their ends, showing progress where the file is large.

    Raises:
        DataError: The bytes are not `encoding`, or hold NUL: a binary file, or UTF-16.
    """
    codec = codec_of(encoding)
    size = path.stat().st_size
    with path.open("rb") as start:
        check_start(path, start.read(4096), codec)
    try:
        with (
            path.open("rb") as raw,
            TextIOWrapper(raw, encoding="utf-8-sig" if codec == "utf-8" else codec, newline="") as file,
            progress(f"Reading {path.name}", total=size, unit="bytes") as bar,
        ):
            for number, line in enumerate(file, start=1):
                if "\0" in line:
                    raise DataError(
                        f"{path}, line {number}: holds a NUL byte; is this a text file? Save it again as UTF-8."
                    )
                if number % 4096 == 0:
                    bar.update(raw.tell())
                yield line
    except UnicodeDecodeError as error:
        raise _not_decodable(path, codec, error) from error


def read_json_object(line: str, where: str) -> dict[str, Any]:
    """Return the JSON object in a text.

    Raises:
        DataError: It is something else; the message begins with `where`.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise DataError(f"{where}: not valid JSON ({reason}); expected one object a line.") from error
    if not isinstance(value, dict):
        raise DataError(f'{where}: expected a JSON object such as {{"text": …, "label": …}}, got {_kind(value)}.')
    # "\ud83d" alone is valid JSON but no text: nothing could write it again.
    return {key: _well_formed(item) for key, item in value.items()} if "\\ud" in line.lower() else value


def _well_formed(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _kind(value: object) -> str:
    names = {
        list: "a list",
        str: "a string",
        bool: "a yes or no",
        int: "a number",
        float: "a number",
        dict: "an object",
    }
    return names.get(type(value), "null")


# -- CSV and TSV ------------------------------------------------------------------------------------------------------


def _open_delimited(delimiter: str) -> Callable[[Path, str], Table]:
    def open_delimited(path: Path, encoding: str) -> Table:
        first = next(_parsed(path, encoding, delimiter), None)
        if first is None:
            raise DataError(f"{path} is empty.")
        header = [name.strip() for name in first[1]]
        check_header(path, header, delimiter)

        def rows(columns: Sequence[str]) -> Iterator[Row]:
            wanted = [header.index(name) for name in columns]
            for line, cells in islice(_parsed(path, encoding, delimiter), 1, None):
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}, line {line}: {len(cells)} fields, but the header has {len(header)}; "
                        "put quotes around texts that hold the delimiter or line ends."
                    )
                yield tuple(cells[i] for i in wanted)

        return Table(path, tuple(header), rows, headerless=looks_like_data(header))

    return open_delimited


def _parsed(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the row's last line, its fields), blank lines left out."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(text_lines(path, encoding), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: broken quoting ({error}); a field in quotes must end with a quote, "
            "and quotes inside it are doubled."
        ) from error


def check_header(path: Path, header: list[str], delimiter: str) -> None:
    """Raise DataError if two columns have one name, or the header was written with another delimiter."""
    named = [name for name in header if name]
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise DataError(f"{path}: two columns are named {twice!r}; rename one of them.")
    other = {",": (";", "\t"), "\t": (",", ";")}[delimiter]
    if len(header) == 1 and any(mark in header[0] for mark in other):
        expected = "commas" if delimiter == "," else "tabs"
        raise DataError(
            f"{path}: the header {header[0][:60]!r} is one field; {path.suffix} files are separated by {expected}."
        )


def looks_like_data(header: list[str]) -> bool:
    """Return whether a header holds a long text or a number, as a first row of data does."""
    return any(len(name.split()) > 5 or len(name) > 60 or name.replace(".", "", 1).isdigit() for name in header)


# -- JSON -------------------------------------------------------------------------------------------------------------


def _open_jsonl(path: Path, encoding: str) -> Table:
    def records() -> Iterator[dict[str, Any]]:
        for number, line in enumerate(text_lines(path, encoding), start=1):
            if line.strip():
                yield read_json_object(line, f"{path}, line {number}")

    return _table_of_records(path, records)


def _open_json(path: Path, encoding: str) -> Table:
    """Open a `.json` file: one list of objects, or JSON lines under another name."""
    lines = (line for line in text_lines(path, encoding) if line.strip())
    first = next(lines, "")
    if not first.lstrip().startswith("["):
        return _open_jsonl(path, encoding)
    text = "".join(chain([first], lines))
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}).") from error
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise DataError(f"{path}, row {number}: expected a JSON object, got {_kind(value)}.")
    if "\\ud" in text.lower():
        values = [{key: _well_formed(item) for key, item in value.items()} for value in values]
    return _table_of_records(path, lambda: iter(values))


def _table_of_records(path: Path, records: Callable[[], Iterator[dict[str, Any]]]) -> Table:
    """Return a table whose columns are the keys of the first hundred records; a key that a record lacks is None."""
    columns = tuple(dict.fromkeys(key for record in islice(records(), 100) for key in record))
    if not columns:
        raise DataError(f"{path} holds no rows.")

    def rows(wanted: Sequence[str]) -> Iterator[Row]:
        return (tuple(map(record.get, wanted)) for record in records())

    return Table(path, columns, rows)


# -- Parquet ----------------------------------------------------------------------------------------------------------


def _open_parquet(path: Path, _encoding: str) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def opened() -> Any:
        try:
            return pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is not a complete Parquet file; write or download it again.") from error

    def rows(columns: Sequence[str]) -> Iterator[Row]:
        with opened() as file:
            try:
                for batch in file.iter_batches(batch_size=4096, columns=list(dict.fromkeys(columns))):
                    values = {name: batch.column(name).to_pylist() for name in set(columns)}
                    yield from zip(*(values[name] for name in columns), strict=True)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise DataError(f"{path} is damaged: {str(error).splitlines()[0][:120]}.") from error

    with opened() as file:
        schema = file.schema_arrow
        return Table(path, tuple(schema.names), rows, label_names=_feature_names(schema.metadata or {}))


def _feature_names(metadata: dict[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return the class names that Hugging Face datasets store beside the schema, by column."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {name: tuple(kind["names"]) for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


# -- bytes ------------------------------------------------------------------------------------------------------------

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def codec_of(encoding: str) -> str:
    """Return Python's name of an encoding.

    Raises:
        DataError: There is none such.
    """
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        known = ("utf-8", "utf-16", "latin-1", "cp1252", "shift_jis", "gb18030")
        raise DataError(
            f"Unknown --encoding {encoding!r}.{did_you_mean(encoding, known)} Usual ones: {', '.join(known)}."
        ) from error


def check_start(path: Path, start: bytes, codec: str) -> None:
    """Name a file that is UTF-16 or binary from its first bytes, before it drowns in decoding errors."""
    if codec.startswith(("utf-16", "utf-32")):
        return
    for mark, name in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            raise DataError(f"{path} is encoded as {name.upper()}; pass --encoding {name}, or save it as UTF-8.")
    if b"\0" in start:
        raise DataError(
            f"{path} holds NUL bytes: it is no text file, or UTF-16 without a mark (then pass --encoding utf-16-le)."
        )


def _not_decodable(path: Path, codec: str, error: UnicodeDecodeError) -> DataError:
    where = "" if codec.startswith(("utf-16", "utf-32")) else _bad_line(path, codec)
    bad = error.object[error.start : error.start + 1].hex()
    other = (
        "save it as UTF-8, or pass --encoding latin-1 (or cp1252)" if codec == "utf-8" else "pass the right --encoding"
    )
    return DataError(f"{path}{where}: byte 0x{bad} is not {codec.upper()}; {other}.")


def _bad_line(path: Path, codec: str) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(codec)
            except UnicodeDecodeError as error:
                return f", line {number}, byte {error.start + 1}"
    return ""


_OPENERS: dict[str, Callable[[Path, str], Table]] = {
    ".csv": _open_delimited(","),
    ".tsv": _open_delimited("\t"),
    ".jsonl": _open_jsonl,
    ".ndjson": _open_jsonl,
    ".json": _open_json,
    ".parquet": _open_parquet,
}

FORMATS = tuple(_OPENERS)
