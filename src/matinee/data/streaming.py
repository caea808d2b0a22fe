"""A stream of rows over many files, cut into shards: in constant memory, and from any shard on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from matinee.core.errors import DataError
from matinee.data import arrow
from matinee.data.rows import Rejected, Row, RowFile, open_rows
from matinee.data.sources.files import is_glob, matching

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matinee.core.settings import DataSettings

_Item = TypeVar("_Item")

# Characters of the rows of one shard, about: whatever the texts are like, two shards and what is made of them fit into a small memory.
SHARD_CHARACTERS = 24_000_000

# Bytes of a file by whose hash it is known again, beside its size and age: reading all of it could take minutes.
_START = 1 << 20


class Position(NamedTuple):
    """How far a stream has been read: so many files before, and so many rows of this one."""

    file: int = 0
    row: int = 0


START = Position()


@dataclass(frozen=True)
class Shard:
    """Neighbouring rows.

    Attributes:
        number: Its place among the shards, from 0.
        table: The rows that have a text, as an Arrow table.
        texts: Their texts.
        rejected: The other rows.
        end: Where the next shard begins.
        bytes_read: Bytes of all files up to there, about.
    """

    number: int
    table: Any
    texts: list[str]
    rejected: list[Rejected]
    end: Position
    bytes_read: float


@dataclass(frozen=True)
class RowStream:
    """The rows of some files, one after the other.

    Attributes:
        files: The files, opened.
        schema: The Arrow schema of their columns together.
    """

    files: list[RowFile]
    schema: Any

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def shards(self, most_rows: int, first: int = 0, after: Position = START) -> Iterator[Shard]:
        """Yield the rows behind a position in shards; where a shard ends depends on the rows alone.

        Args:
            most_rows: Rows of a shard, bad ones counted; one whose rows are long has fewer.
            first: Number of the first shard that is yielded.
            after: Where it begins.
        """
        taken, size, number = list[tuple[int, Row | Rejected]](), 0, first
        for place in range(after.file, len(self.files)):
            file = self.files[place]
            for row, item in enumerate(self._rows(place, after), start=1):
                taken.append((place, item))
                size += item.size if isinstance(item, Row) else 0
                if len(taken) >= most_rows or size >= SHARD_CHARACTERS:
                    begun = after.row if place == after.file else 0
                    yield self._shard(number, taken, Position(place, begun + row), file.position)
                    taken, size, number = [], 0, number + 1
        if taken:
            yield self._shard(number, taken, Position(len(self.files), 0), 0)

    def _rows(self, place: int, after: Position) -> Iterator[Row | Rejected]:
        return self.files[place].rows(after.row if place == after.file else 0)

    def _shard(self, number: int, taken: list[tuple[int, Row | Rejected]], end: Position, position: float) -> Shard:
        tables, texts = [], list[str]()
        for place, group in groupby(taken, key=lambda item: item[0]):
            rows = [item for _, item in group if isinstance(item, Row)]
            tables.append(self.files[place].table(rows, self.schema))
            texts += [row.text for row in rows]
        before = sum(file.size for file in self.files[: end.file])
        rejected = [item for _, item in taken if isinstance(item, Rejected)]
        return Shard(number, _joined(tables), texts, rejected, end, before + position)


def _joined(tables: Sequence[Any]) -> Any:
    import pyarrow as pa

    return pa.concat_tables(tables)


def find_inputs(names: Sequence[str], output: Sequence[Path]) -> list[Path]:
    """Return the files that paths and globs name, each once; of a glob's those that are no output.

    Args:
        names: Paths and globs.
        output: What is written: a glob may match what an earlier start has left.

    Raises:
        DataError: There is no such file, none but the output, or a path names the output.
    """
    written = {path.resolve() for path in output}
    found: dict[Path, Path] = {}
    is_shared = False
    for name in names:
        for path in matching(name):
            place = path.resolve()
            if written.isdisjoint({place, *place.parents}):
                found.setdefault(place, path)
            elif not is_glob(name):
                raise DataError(f"{path} is input and output at once: choose another output.")
            else:
                is_shared = True
    if is_shared and not found:
        raise DataError(
            f"{', '.join(names)}: there is no file to read but what lies in the output {output[0]}. "
            "Input and output must not share a folder: choose another output."
        )
    if not found:
        raise DataError(f"{', '.join(names) or 'No input'}: there is no file to read.")
    return list(found.values())


def open_stream(paths: Sequence[Path], settings: DataSettings) -> RowStream:
    """Open files as one stream.

    Args:
        paths: Any that `open_rows` takes.
        settings: Text column, guessed from the first file where not given, and encoding.

    Raises:
        DataError: One of them cannot be read, or has no column of texts.
    """
    files = list[RowFile]()
    for path in paths:
        if path.suffix.lower() != ".txt" and settings.text_column is None and files:
            tables = [file for file in files if file.path.suffix.lower() != ".txt"]
            settings = replace(settings, text_column=tables[0].text_column) if tables else settings
        files.append(open_rows(path, settings))
    return RowStream(files, arrow.common_schema(file.fields for file in files))


def fingerprint(path: Path) -> dict[str, Any]:
    """Return by what a file is known again: `path`, `bytes`, `modified` (seconds) and `start`, the hash of its first MB."""
    found = path.stat()
    with path.open("rb") as file:
        start = sha256(file.read(_START)).hexdigest()
    return {"path": str(path.resolve()), "bytes": found.st_size, "modified": found.st_mtime, "start": start}


def read_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield the items of an iterator; while one is used, the next one is made in a thread."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="matinee-read") as reader:
        upcoming = reader.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = reader.submit(next, items, None)
            yield item
