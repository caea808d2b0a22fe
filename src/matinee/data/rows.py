"""Files read row by row for work that must not stop: a bad row is set aside with its reason, and the next one is read.

Rows are counted from 1 and without the header; blank lines of a table are no rows. Of a file of any size, no more than a row and
what the format itself buffers is held at once.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from io import TextIOWrapper
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from matinee.core.errors import DataError
from matinee.core.progress import progress
from matinee.data import arrow
from matinee.data.columns import choose_columns
from matinee.data.readers import (
    FORMATS,
    Table,
    check_header,
    check_start,
    codec_of,
    looks_like_data,
    open_table,
    read_json_object,
)
from matinee.data.reading import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from matinee.core.settings import DataSettings

# Characters of one line, field or JSON object. A text of 10 MB fits three times; a quote that is never closed eats no more than this.
LONGEST = 32_000_000

# Characters of a bad row that are kept.
_SHOWN = 1_000

# Characters of a JSON list that are read at once, at first.
_JSON_PIECE = 1 << 20

# Halves of characters beside those that Python puts in the place of a byte it cannot decode.
_OTHER_SURROGATES = re.compile("[\ud800-\udc7f\udd00-\udfff]")

# Bytes of a Parquet file's rows that are decoded at once, about, and rows at most.
_PARQUET_PIECE, _PARQUET_ROWS = 16_000_000, 1024


class Row(NamedTuple):
    """A row that has a text.

    Attributes:
        number: Its place in the file, from 1.
        text: Its text.
        size: Characters of the whole row, about.
        cells: What the file's `table` makes its columns of.
    """

    number: int
    text: str
    size: int
    cells: Any


class Rejected(NamedTuple):
    """A row that cannot be used.

    Attributes:
        file: The file that holds it.
        row: Its place there, from 1.
        reason: What is wrong with it.
        content: Its beginning, as far as it could be read.
    """

    file: str
    row: int
    reason: str
    content: str


class RowFile(Protocol):
    """A file of rows that has been opened but not read.

    Attributes:
        path: The file.
        size: Its bytes.
        fields: The Arrow field of each of its columns, by name.
        text_column: The column that holds the texts.
    """

    path: Path
    size: int
    fields: dict[str, Any]
    text_column: str

    @property
    def position(self) -> float:
        """Bytes that have been read, about."""

    def rows(self, after: int = 0) -> Iterator[Row | Rejected]:
        """Yield every row behind the first `after`; the same ones every time."""

    def table(self, rows: Sequence[Row], schema: Any) -> Any:
        """Return rows of this file as an Arrow table; a column of the schema that the file lacks is null."""


def open_rows(path: Path, settings: DataSettings, fields: Mapping[str, Any] | None = None) -> RowFile:
    """Return the file at `path`, by its ending: what `open_table` reads, and `.txt` with one text a line.

    Args:
        path: The file.
        settings: Text column and encoding.
        fields: Of a JSON or text file that was looked through before, its columns: it is not looked through again, and the
            settings must name the text column.

    Raises:
        DataError: There is no such file, it is empty or not what its ending says, its ending is unknown, or it has no column
            of texts.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise DataError(
            f"{path} has the ending {path.suffix or 'of no format'!r}; matinee reads .txt (one text a line), {', '.join(FORMATS)}."
        )
    if not path.is_file():
        raise DataError(
            f"{path} is a folder: name its files, as in {path}/*.csv." if path.is_dir() else f"There is no file {path}."
        )
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty.")
        opened: RowFile = opener(path, settings) if fields is None else opener(path, settings, fields)
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: permission denied.") from error
    return opened


class _TextFile:
    """What the formats that are text have in common."""

    def __init__(self, path: Path, settings: DataSettings, *, is_checked: bool = False) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.position = 0.0
        self.codec = codec_of(settings.encoding)
        if not is_checked:
            with path.open("rb") as start:
                check_start(path, start.readline(4096), self.codec)

    def _opened(self) -> TextIO:
        """Return the file as text, in which bytes that are no text have become lone surrogates or U+FFFD."""
        wide = self.codec.startswith(("utf-16", "utf-32"))
        codec = "utf-8-sig" if self.codec == "utf-8" else self.codec
        return TextIOWrapper(
            self.path.open("rb"), encoding=codec, errors="replace" if wide else "surrogateescape", newline=""
        )

    def _lines(self) -> Iterator[str]:
        """Yield the lines with their ends; of one that is far too long the beginning."""
        with self._opened() as file:
            while line := file.readline(LONGEST + 1):
                if len(line) > LONGEST:
                    rest = line
                    while rest and not rest.endswith(("\n", "\r")):
                        rest = file.readline(LONGEST)
                self.position = file.buffer.tell()
                yield line

    def _judged(self, number: int, raw: str, value: object, cells: Any) -> Row | Rejected:
        """Return the row, or why it is none: its bytes, or the value of its text column."""
        if problem := self._problem(raw):
            return self._rejected(number, problem, raw)
        try:
            text = text_of(value, self.path, number)
        except DataError:
            return self._rejected(number, f"expected a text, got a {type(value).__name__}", raw)
        if text is None:
            return self._rejected(number, "no text", raw)
        return Row(number, text, len(raw), cells)

    def _problem(self, raw: str) -> str | None:
        if len(raw) > LONGEST and not raw.endswith("\n"):
            return f"longer than {LONGEST:,} characters"
        if raw.isascii():
            return "holds a NUL byte" if "\0" in raw else None
        try:
            raw.encode()
        except UnicodeEncodeError as error:
            byte = ord(raw[error.start]) - 0xDC00
            return (
                f"byte 0x{byte:02x} is not {self.codec.upper()}" if 0x80 <= byte <= 0xFF else "holds half a character"
            )
        if "\ufffd" in raw and self.codec.startswith(("utf-16", "utf-32")):
            return f"holds bytes that are not {self.codec.upper()}"
        return "holds a NUL byte" if "\0" in raw else None

    def _rejected(self, number: int, reason: str, raw: str) -> Rejected:
        shown = raw[:_SHOWN].rstrip("\r\n").encode("utf-8", "surrogateescape" if _escaped(raw) else "backslashreplace")
        return Rejected(str(self.path), number, reason, shown.decode("utf-8", "backslashreplace"))

    def _check_text_column(self, columns: Sequence[str], settings: DataSettings, *, headerless: bool = False) -> str:
        table = Table(self.path, tuple(columns), lambda _: iter(()), headerless=headerless)
        return choose_columns(table, settings, labelled=False).text


def _escaped(raw: str) -> bool:
    """Return whether every lone surrogate of a text stands for a byte that could not be decoded."""
    return _OTHER_SURROGATES.search(raw) is None


class _Lines(_TextFile):
    """A text a line."""

    text_column = "text"

    def __init__(self, path: Path, settings: DataSettings, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(path, settings, is_checked=fields is not None)
        self.fields = {self.text_column: arrow.text_field(self.text_column)}

    def rows(self, after: int = 0) -> Iterator[Row | Rejected]:
        for number, line in enumerate(self._lines(), start=1):
            if number > after:
                text = line.rstrip("\r\n")
                yield self._judged(number, line, text, text)

    def table(self, rows: Sequence[Row], schema: Any) -> Any:
        return arrow.table_of({self.text_column: [row.text for row in rows]}, len(rows), schema)


class _Delimited(_TextFile):
    """CSV or TSV: all columns are texts."""

    delimiter = ","

    def __init__(self, path: Path, settings: DataSettings) -> None:
        super().__init__(path, settings)
        header, raw = next(self._parsed(), (None, ""))
        problem = self._problem(raw)
        if header is None or problem:
            raise DataError(
                f"{path}: its first line cannot be read as column names: {problem or 'it may hold a quote too many'}."
            )
        names = [name.strip() for name in header]
        check_header(path, names, self.delimiter)
        # Data frames are often written with a nameless column of row numbers.
        self.columns = [name or f"column_{place}" for place, name in enumerate(names, start=1)]
        self.text_column = self._check_text_column(self.columns, settings, headerless=looks_like_data(names))
        self.fields = {name: arrow.text_field(name) for name in self.columns}

    def rows(self, after: int = 0) -> Iterator[Row | Rejected]:
        place, n_fields = self.columns.index(self.text_column), len(self.columns)
        for number, (cells, raw) in enumerate(islice(self._parsed(), 1, None), start=1):
            if number <= after:
                continue
            if cells is None:
                yield self._rejected(
                    number, self._problem(raw) or "a quote is opened and not closed, or closed too early", raw
                )
            elif len(cells) != n_fields:
                found = f"{len(cells)} field{'s' * (len(cells) != 1)}, but the header has {n_fields}"
                yield self._rejected(number, self._problem(raw) or found, raw)
            else:
                yield self._judged(number, raw, cells[place], cells)

    def table(self, rows: Sequence[Row], schema: Any) -> Any:
        columns = {name: [row.cells[place] for row in rows] for place, name in enumerate(self.columns)}
        return arrow.table_of(columns, len(rows), schema)

    def _parsed(self) -> Iterator[tuple[list[str] | None, str]]:
        """Yield the fields and the characters of each row; of a line whose quotes are broken None and the line.

        A quote that is never closed takes in the rows behind it. Once that shows, its line alone is bad, and the ones behind it
        are read again.
        """
        lines, again, used = self._lines(), deque[str](), list[str]()

        def feed() -> Iterator[str]:
            while (line := again.popleft() if again else next(lines, None)) is not None:
                used.append(line)
                yield line

        csv.field_size_limit(LONGEST)
        while True:
            reader = csv.reader(feed(), delimiter=self.delimiter, strict=True)
            try:
                for cells in reader:
                    raw = used[0] if len(used) == 1 else "".join(used)
                    used.clear()
                    if cells:
                        yield cells, raw
            except csv.Error:
                bad, *rest = used
                again.extendleft(reversed(rest))
                used.clear()
                yield None, bad
            else:
                return


class _TabDelimited(_Delimited):
    delimiter = "\t"


class _Json(_TextFile):
    """JSON objects, one a line or in one list; which columns they have, and of what kind, is found by a first look at them all."""

    def __init__(self, path: Path, settings: DataSettings, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(path, settings, is_checked=fields is not None)
        self.is_list = path.suffix.lower() == ".json" and self._first_character() == "["
        if fields is not None:
            self.fields, self.text_column = dict(fields), str(settings.text_column)
            return
        kinds, _ = self.look_through()
        self.text_column = self.choose_text_column(kinds, settings)
        self.fields = json_fields(kinds)

    def look_through(self) -> tuple[dict[str, set[str]], int]:
        """Return the kinds of value that each column has, and how many rows there are."""
        kinds: dict[str, set[str]] = {}
        n_rows = 0
        with progress(f"Looking through {self.path.name}", total=self.size, unit="bytes") as bar:
            for value, _ in self._values():
                for key, item in value.items() if isinstance(value, dict) else ():
                    kinds.setdefault(arrow.well_formed(key), set()).add(arrow.kind_of(item))
                if n_rows % 4096 == 0:
                    bar.update(self.position)
                n_rows += 1
        return kinds, n_rows

    def choose_text_column(self, kinds: Mapping[str, set[str]], settings: DataSettings) -> str:
        """Return the column that holds the texts.

        Raises:
            DataError: There is none.
        """
        if not kinds:
            raise DataError(f"{self.path} holds no JSON objects; expected one a line, or a list of them.")
        return self._check_text_column(list(kinds), settings)

    def rows(self, after: int = 0) -> Iterator[Row | Rejected]:
        for number, (value, raw) in enumerate(self._values(), start=1):
            if number <= after:
                continue
            if isinstance(value, dict):
                yield self._judged(number, raw, value.get(self.text_column), value)
            else:
                yield self._rejected(number, self._problem(raw) or str(value), raw)

    def table(self, rows: Sequence[Row], schema: Any) -> Any:
        columns = {name: [row.cells.get(name) for row in rows] for name in self.fields}
        return arrow.table_of(columns, len(rows), schema)

    def _values(self) -> Iterator[tuple[dict[str, Any] | str, str]]:
        """Yield each object with its characters, or why there is none."""
        pieces = self._listed() if self.is_list else (line for line in self._lines() if line.strip())
        for raw in pieces:
            try:
                yield read_json_object(raw, "the row"), raw
            except DataError as error:
                yield str(error), raw

    def _first_character(self) -> str:
        with self._opened() as file:
            return file.read(4096).lstrip()[:1]

    def _listed(self) -> Iterator[str]:
        """Yield the characters of each element of a list.

        Raises:
            DataError: An element has no end, so that none behind it can be found. The first look through the file comes upon it,
                before anything is done with the rows.
        """
        # A line end within a string is an element's own fault: that element ends where it ends.
        decoder, text, more, number = json.JSONDecoder(strict=False), "", _JSON_PIECE, 1
        with self._opened() as file:
            text = file.read(more).lstrip()[1:]
            while True:
                text = text.lstrip(" \t\r\n,")
                end = _element_end(decoder, text)
                if end is not None:
                    yield text[:end]
                    text, more, number = text[end:], _JSON_PIECE, number + 1
                    continue
                piece = "" if len(text) > LONGEST else file.read(more)
                if not piece:
                    break
                text, more = text + piece, 2 * more
                self.position = file.buffer.tell()
        if text.strip() != "]":
            raise DataError(
                f"{self.path}: its list is broken, nothing from element {number:,} on can be read: {text[:60]!r}. "
                "Mend it, or save one object a line (.jsonl): of lines only the bad ones are set aside."
            )


def json_fields(kinds: Mapping[str, set[str]]) -> dict[str, Any]:
    """Return the Arrow fields of JSON columns, by name, for the kinds of value that each has."""
    return {name: arrow.json_field(name, found) for name, found in kinds.items()}


def look_through_json(path: Path, settings: DataSettings) -> tuple[dict[str, set[str]], int]:
    """Return the kinds of value that each column of a JSON file has, and how many rows it holds; both may be none."""
    return _Json(path, settings, {}).look_through()


def choose_json_column(path: Path, kinds: Mapping[str, set[str]], settings: DataSettings) -> str:
    """Return which of a JSON file's columns holds the texts; raise DataError where none does."""
    return _Json(path, settings, {}).choose_text_column(kinds, settings)


def _element_end(decoder: json.JSONDecoder, text: str) -> int | None:
    """Return where the first element of a list's remaining characters ends; None where it is not whole, or there is none."""
    if not text or text[0] == "]":
        return None
    try:
        end = decoder.raw_decode(text)[1]
    except (ValueError, RecursionError):
        return None
    # A number may go on in what has not been read yet.
    return end if end < len(text) else None


class _Parquet:
    """Parquet: columns keep their types."""

    def __init__(self, path: Path, settings: DataSettings) -> None:
        table = open_table(path, settings.encoding)
        self.path, self.size, self.position = path, path.stat().st_size, 0.0
        self.text_column = choose_columns(table, settings, labelled=False).text
        with self._file() as file:
            schema = file.schema_arrow
            self.n_rows = file.metadata.num_rows
            groups = [file.metadata.row_group(place) for place in range(file.num_row_groups)]
        self.group_rows = [group.num_rows for group in groups]
        bytes_per_row = sum(group.total_byte_size for group in groups) / max(1, self.n_rows)
        self.batch_rows = int(min(_PARQUET_ROWS, max(1, _PARQUET_PIECE // max(1, bytes_per_row))))
        self.fields = arrow.parquet_fields(schema, groups)
        arrow.check_texts(self.fields[self.text_column], path)

    def rows(self, after: int = 0) -> Iterator[Row | Rejected]:
        number = end = 0
        for group, n_rows in enumerate(self.group_rows):
            end += n_rows
            if end <= after:
                number = end
                continue
            try:
                for batch in self._batches(group):
                    left, number = max(0, after - number), number + batch.num_rows
                    if left < batch.num_rows:
                        yield from self._judged_batch(batch, number - batch.num_rows, left)
            except arrow.unreadable() as error:
                if not arrow.is_damage(error):
                    raise self._unread(error) from error
                said = _one_line(error)
                for row in range(max(number, after) + 1, end + 1):
                    yield Rejected(str(self.path), row, f"this part of the file is damaged: {said}", "")
            number = end

    def table(self, rows: Sequence[Row], schema: Any) -> Any:
        return arrow.table_of_batches([row.cells for row in rows], schema)

    def _judged_batch(self, batch: Any, before: int, left_out: int) -> Iterator[Row | Rejected]:
        """Yield the rows of a batch but its first ones; `before` rows of the file lie before it."""
        size = batch.nbytes // max(1, batch.num_rows)
        texts = islice(arrow.values(batch.column(self.text_column)), left_out, None)
        for place, value in enumerate(texts, start=left_out):
            yield self._judged(before + place + 1, value, size, (batch, place))
        self.position = self.size * (before + batch.num_rows) / self.n_rows

    def _judged(self, number: int, value: object, size: int, cells: Any) -> Row | Rejected:
        if isinstance(value, bytes):
            return Rejected(str(self.path), number, "not UTF-8", value[:_SHOWN].decode("utf-8", "backslashreplace"))
        text = text_of(value, self.path, number)
        if text is None:
            batch, place = cells
            return Rejected(str(self.path), number, "no text", arrow.shown(batch, place)[:_SHOWN])
        return Row(number, text, size, cells)

    def _batches(self, group: int) -> Iterator[Any]:
        with self._file() as file:
            yield from file.iter_batches(batch_size=self.batch_rows, row_groups=[group])

    def _file(self) -> Any:
        import pyarrow.parquet as pq

        try:
            # A row group may be larger than the memory: it is read page by page.
            return pq.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 20)
        except arrow.unreadable() as error:
            # It could be opened before.
            raise self._unread(error) from error

    def _unread(self, error: BaseException) -> DataError:
        """Return the error for rows that may well be read another time."""
        return DataError(f"{self.path} could not be read on: {_one_line(error)}. The same command goes on from there.")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


_OPENERS: dict[str, Any] = {
    ".csv": _Delimited,
    ".tsv": _TabDelimited,
    ".jsonl": _Json,
    ".ndjson": _Json,
    ".json": _Json,
    ".parquet": _Parquet,
    ".txt": _Lines,
}
