"""Files cut into slices that processes on many machines can read without each other.

A slice is a row of pieces of about as many rows as a shard. A piece is a range of a Parquet file's rows, the lines of a text file
that begin in a range of its bytes, or, where a row may go over many lines (CSV, JSON lists), a whole file. What a slice holds depends
on the files alone, and its rows have the same numbers and columns as if the files were read from end to end.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, field, replace
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any

from matinee.core.errors import DataError
from matinee.data import arrow, lake
from matinee.data.rows import Rejected, choose_json_column, json_fields, look_through_json, open_rows
from matinee.data.streaming import RowStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matinee.core.settings import DataSettings
    from matinee.data.lake import Source
    from matinee.data.rows import Row, RowFile

# Bytes of a text file that make a piece, and of small files that are read together.
PIECE_BYTES = 8_000_000

# Bytes of a delimited file in which its header must be.
_HEADER_BYTES = 1_000_000

_LINES = (".jsonl", ".ndjson", ".txt")
_JSON = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Piece:
    """A part of a file that is read by itself.

    Attributes:
        file: Its file's place among the sources.
        start: Its first byte; of a Parquet file its first row.
        stop: Behind its last one; None: the end of the file.
        first_row: Rows of the file before it.
        n_rows: Its rows; None where nobody has counted.
    """

    file: int
    start: int = 0
    stop: int | None = None
    first_row: int = 0
    n_rows: int | None = None


@dataclass(frozen=True)
class Look:
    """What a first look at a piece finds.

    Attributes:
        piece: The piece, with its rows counted where that was cheap.
        fields: The Arrow fields of the columns, by name, but of JSON.
        kinds: Of JSON the kinds of value in each column.
    """

    piece: Piece
    fields: dict[str, Any] = field(default_factory=dict)
    kinds: dict[str, set[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Files, cut.

    Attributes:
        sources: The files.
        slices: Their pieces, some to a slice.
        fields: The Arrow fields of each file's columns, by name.
        schema: The Arrow schema of all columns together.
        settings: With the text column named.
    """

    sources: list[Source]
    slices: list[list[Piece]]
    fields: list[dict[str, Any]]
    schema: Any
    settings: DataSettings

    @property
    def mark(self) -> str:
        """Hash of what each slice holds, and of the columns that are written."""
        pieces = [[astuple(piece) for piece in pieces] for pieces in self.slices]
        columns = [(column.name, str(column.type)) for column in self.schema]
        return sha256(json.dumps([pieces, columns]).encode()).hexdigest()


def pieces_to_look_at(sources: Sequence[Source], settings: DataSettings) -> list[Piece]:
    """Return the pieces that need a look before anything is cut: of text files ranges, else whole files."""
    found = []
    in_ranges = settings.encoding.lower().replace("_", "-") in {"utf-8", "utf8", "utf-8-sig", "ascii", "latin-1"}
    for place, source in enumerate(sources):
        if source.size == 0:
            raise DataError(f"{source.name} is empty.")
        if in_ranges and source.ending in _LINES:
            starts = range(0, source.size, PIECE_BYTES)
            found += [Piece(place, start, min(start + PIECE_BYTES, source.size)) for start in starts]
        else:
            found.append(Piece(place))
    return found


def look(source: Source, piece: Piece, settings: DataSettings, work: Path) -> Look:
    """Look at a piece.

    Args:
        source: Its file.
        piece: As `pieces_to_look_at` returns it.
        settings: Text column, and encoding.
        work: An empty folder for copies.

    Raises:
        DataError: The file cannot be read, or lacks the text column.
    """
    lake.check_unchanged(source)
    if source.ending == ".parquet":
        return _look_at_parquet(source, piece, settings)
    if source.ending in _JSON or source.ending == ".txt":
        path = _copied(source, piece, work)
        if path.stat().st_size == 0:
            return Look(replace(piece, n_rows=0))
        if source.ending == ".txt":
            with _named(source, path):
                file = open_rows(path, settings, {} if piece.start else None)
                return Look(replace(piece, n_rows=sum(1 for _ in file.rows())), file.fields)
        with _named(source, path):
            kinds, n_rows = look_through_json(path, settings)
        return Look(replace(piece, n_rows=n_rows), kinds=kinds)
    start = work / f"start{source.ending}"
    lake.copy_start(source, _HEADER_BYTES, start)
    with _named(source, start):
        return Look(piece, open_rows(start, settings).fields)


def _look_at_parquet(source: Source, piece: Piece, settings: DataSettings) -> Look:
    import pyarrow.parquet as pq

    if not lake.is_remote(source.name):
        opened = open_rows(lake.local_path(source.name), settings)
        with pq.ParquetFile(source.name) as file:
            return Look(replace(piece, n_rows=file.metadata.num_rows), opened.fields)

    def read() -> Look:
        with lake.opened(source) as handle:
            try:
                file = pq.ParquetFile(handle)
                groups = [file.metadata.row_group(place) for place in range(file.num_row_groups)]
                fields = arrow.parquet_fields(file.schema_arrow, groups)
            except arrow.unreadable() as error:
                if not arrow.is_damage(error):
                    raise
                raise DataError(f"{source.name} is no Parquet file, or damaged: {lake.one_line(error)}.") from error
            return Look(replace(piece, n_rows=file.metadata.num_rows), fields)

    with lake.place_errors(source.name):
        return lake.again(read, source.name)


def guess_text_column(source: Source, settings: DataSettings, work: Path) -> str:
    """Return the column of a file that holds the texts, by its beginning.

    Raises:
        DataError: There is none.
    """
    from matinee.data.columns import choose_columns
    from matinee.data.readers import Table

    piece = pieces_to_look_at([source], settings)[0]
    found = look(source, piece, settings, work)
    if found.kinds:
        path = _copied(source, piece, work)
        with _named(source, path):
            return choose_json_column(path, found.kinds, settings)
    table = Table(lake.local_path(source.name), tuple(found.fields), lambda _: iter(()))
    return choose_columns(table, settings, labelled=False).text


def cut(sources: list[Source], looks: Sequence[Look], settings: DataSettings, shard_rows: int) -> Cut:
    """Cut files into slices.

    Args:
        sources: The files.
        looks: At all their pieces, in order.
        settings: With the text column named.
        shard_rows: Rows of a slice, about.

    Raises:
        DataError: A file lacks the text column.
    """
    fields = [_fields_of(source, [of for of in looks if of.piece.file == n]) for n, source in enumerate(sources)]
    for source, found in zip(sources, fields, strict=True):
        _check_text_column(source, found, settings)
    pieces, rows_before = list[Piece](), dict[int, int]()
    for of in looks:
        before = rows_before.get(of.piece.file, 0)
        pieces += _ranges(replace(of.piece, first_row=before), sources[of.piece.file], shard_rows)
        rows_before[of.piece.file] = before + (of.piece.n_rows or 0)
    return Cut(sources, _grouped(pieces, sources, shard_rows), fields, arrow.common_schema(fields), settings)


def _fields_of(source: Source, looks: Sequence[Look]) -> dict[str, Any]:
    if source.ending not in _JSON:
        return looks[0].fields
    kinds: dict[str, set[str]] = {}
    for of in looks:
        for name, found in of.kinds.items():
            kinds.setdefault(name, set()).update(found)
    if not kinds:
        raise DataError(f"{source.name} holds no JSON objects; expected one a line, or a list of them.")
    return json_fields(kinds)


def _check_text_column(source: Source, fields: dict[str, Any], settings: DataSettings) -> None:
    if source.ending != ".txt" and settings.text_column not in fields:
        raise DataError(
            f"{source.name} has no column {settings.text_column!r}; it has {', '.join(map(repr, list(fields)[:10]))}. "
            "Name the one with the texts: --text-column."
        )
    if source.ending == ".parquet":
        arrow.check_texts(fields[str(settings.text_column)], lake.local_path(source.name))


def _ranges(piece: Piece, source: Source, shard_rows: int) -> list[Piece]:
    """Return a Parquet file as ranges of its rows, anything else as it is; what has no rows is left out."""
    if source.ending != ".parquet" or piece.n_rows is None:
        return [piece] if piece.n_rows != 0 else []
    starts = range(0, piece.n_rows, shard_rows)
    ends = [min(start + shard_rows, piece.n_rows) for start in starts]
    return [Piece(piece.file, start, end, start, end - start) for start, end in zip(starts, ends, strict=True)]


def _grouped(pieces: Sequence[Piece], sources: Sequence[Source], shard_rows: int) -> list[list[Piece]]:
    """Return neighbouring pieces together until they make a shard."""
    slices, weight = list[list[Piece]](), 0.0
    for piece in pieces:
        own = _weight(piece, sources[piece.file], shard_rows)
        if slices and weight + own <= 1:
            slices[-1].append(piece)
            weight += own
        else:
            slices.append([piece])
            weight = own
    return slices


def _weight(piece: Piece, source: Source, shard_rows: int) -> float:
    """Return how much of a slice a piece makes, by its rows and its bytes."""
    if source.ending == ".parquet":
        return (piece.n_rows or 0) / shard_rows
    n_bytes = (piece.stop if piece.stop is not None else source.size) - piece.start
    return max((piece.n_rows or 0) / shard_rows, n_bytes / (2 * PIECE_BYTES))


def n_bytes_of(pieces: Sequence[Piece], sources: Sequence[Source], rows: dict[int, int]) -> float:
    """Return the bytes of a slice, about; `rows` has each Parquet file's rows."""
    total = 0.0
    for piece in pieces:
        size = sources[piece.file].size
        if sources[piece.file].ending == ".parquet" and rows.get(piece.file):
            total += size * (piece.n_rows or 0) / rows[piece.file]
        else:
            total += (piece.stop if piece.stop is not None else size) - piece.start
    return total


@contextmanager
def open_slice(of: Cut, number: int, work: Path) -> Iterator[RowStream]:
    """Open a slice as a stream of rows; what is far away is copied for as long.

    Args:
        of: The files.
        number: Of the slice.
        work: An empty folder for copies.

    Raises:
        DataError: A piece cannot be read.
    """
    with ExitStack() as stack:
        files: list[RowFile] = []
        for place, piece in enumerate(of.slices[number]):
            folder = work / f"{number}-{place}"
            folder.mkdir(parents=True)
            files.append(_PieceFile(of, piece, folder))
        stack.callback(_cleared, work)
        yield RowStream(files, of.schema)


def _cleared(work: Path) -> None:
    import shutil

    for child in work.iterdir():
        shutil.rmtree(child, ignore_errors=True)


class _PieceFile:
    """A piece, read as a file whose rows have the numbers that they have in the whole one."""

    def __init__(self, of: Cut, piece: Piece, work: Path) -> None:
        self.source, self.piece = of.sources[piece.file], piece
        self.path = lake.local_path(self.source.name)
        lake.check_unchanged(self.source)
        path = _copied(self.source, piece, work)
        known = (
            of.fields[piece.file]
            if self.source.ending in _JSON or (self.source.ending == ".txt" and piece.start)
            else None
        )
        with _named(self.source, path):
            self.file = open_rows(path, of.settings, known)
        self.copied_rows = path != self.path and self.source.ending == ".parquet"
        self.size, self.text_column = self.file.size, self.file.text_column
        self.fields = of.fields[piece.file]

    @property
    def position(self) -> float:
        """Bytes that have been read, about."""
        return self.file.position

    def rows(self, after: int = 0) -> Iterator[Row | Rejected]:
        """Yield the piece's rows behind the first `after`."""
        piece, shift = self.piece, self.piece.first_row
        rows = self.file.rows(after)
        if self.source.ending == ".parquet" and not self.copied_rows:
            rows, shift = islice(self.file.rows(piece.first_row + after), (piece.n_rows or 0) - after), 0
        for row in rows:
            if isinstance(row, Rejected):
                yield row._replace(file=self.source.name, row=row.row + shift)
            else:
                yield row._replace(number=row.number + shift)

    def table(self, rows: Sequence[Row], schema: Any) -> Any:
        """Return rows as an Arrow table."""
        return self.file.table(rows, schema)


def _copied(source: Source, piece: Piece, work: Path) -> Path:
    """Return a file that holds a piece: a copy in `work`, or the file itself where it is at hand and may be read as a whole."""
    target = work / f"piece{source.ending}"
    if piece.stop is not None and source.ending in _LINES:
        lake.copy_range(source, piece.start, piece.stop, target)
        return target
    if not lake.is_remote(source.name):
        return lake.local_path(source.name)
    if source.ending == ".parquet":
        _copy_rows(source, piece, target)
    else:
        system, path = lake.file_system(source.name)
        with lake.place_errors(source.name):
            lake.again(lambda: system.get_file(path, str(target)), source.name)
    return target


def _copy_rows(source: Source, piece: Piece, target: Path) -> None:
    """Copy a range of a Parquet file's rows, reading the row groups that hold them and no others."""
    import pyarrow.parquet as pq

    def copy() -> None:
        with lake.opened(source) as handle:
            file = pq.ParquetFile(handle)
            with pq.ParquetWriter(target, file.schema_arrow) as writer:
                before = 0
                for group in range(file.num_row_groups):
                    n_rows = file.metadata.row_group(group).num_rows
                    if before < (piece.stop or 0) and before + n_rows > piece.start:
                        _copy_group(file, group, piece.start - before, (piece.stop or 0) - before, writer)
                    before += n_rows

    with lake.place_errors(source.name):
        try:
            lake.again(copy, source.name)
        except arrow.unreadable() as error:
            if not arrow.is_damage(error):
                raise
            raise DataError(
                f"{source.name}: rows {piece.start + 1:,} to {piece.stop:,} cannot be read: {lake.one_line(error)}. "
                "Copy the file here, and the default engine sets only the damaged rows aside."
            ) from error


def _copy_group(file: Any, group: int, start: int, stop: int, writer: Any) -> None:
    """Copy the rows of a row group from `start` to `stop`, both counted from its first."""
    at = 0
    for batch in file.iter_batches(batch_size=1024, row_groups=[group]):
        left, right = max(0, start - at), min(batch.num_rows, stop - at)
        if left < right:
            writer.write_batch(batch.slice(left, right - left))
        at += batch.num_rows
        if at >= stop:
            return


@contextmanager
def _named(source: Source, path: Path) -> Iterator[None]:
    """Say the file's own name in errors, not that of its copy."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace(str(path), source.name)) from error
