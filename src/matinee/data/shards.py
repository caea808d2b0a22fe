"""The output of a bulk job: whole shards under their names, and what is needed to go on after the process was killed.

A folder holds `part-00000.parquet`, … and, of names that data tools take for no data, `_score.json` (what the job is and how it
ended) and `_rejected.jsonl`. A single file is joined from such shards at the end; they lie beside it in a hidden folder until then,
and what was rejected stands in `<name>.rejected.jsonl`.
For each shard a note in `.notes/` is written first: what was rejected, and where the next shard begins. The shard's own name appears
by one rename, so that a shard which is there is whole and has its note.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from matinee._version import __version__
from matinee.core.errors import DataError, RunError, StorageError
from matinee.core.files import atomic_path, storage_errors, write_json
from matinee.data import arrow
from matinee.data.streaming import START, Position

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

    from matinee.data.streaming import Shard

FORMATS = ("parquet", "jsonl", "csv", "tsv")

_STATE_FORMAT = 1
_STATE, _REJECTED, _NOTES, _LOCK = "_score.json", "_rejected.jsonl", ".notes", ".lock"

_PART = re.compile(r"part-\d{5,}(-\d{3,})?\.(parquet|jsonl|csv|tsv)")

# What a killed process was writing.
_LEFT_OVER = re.compile(r"\.(part-\d{5,}|joined|_score|_rejected)-")

# How differences between two jobs are said.
SAID_OF_PLANS = {
    "engine": "--engine",
    "classifier": "the classifier",
    "backend": "the back end",
    "inputs": "the input files",
    "format": "--format",
    "shard_rows": "--shard-rows",
    "text_column": "--text-column",
    "encoding": "--encoding",
    "prefix": "--prefix",
}


@dataclass(frozen=True)
class Done:
    """How far a job is.

    Attributes:
        n_shards: Whole shards.
        end: Where the next one begins.
        scored: Rows in them.
        rejected: Rows that were set aside.
        labels: How many rows got each label.
        bytes_read: Bytes of the input behind which the next one begins, about.
        complete: Whether nothing is left to do.
    """

    n_shards: int = 0
    end: Position = START
    scored: int = 0
    rejected: int = 0
    labels: tuple[tuple[str, int], ...] = ()
    bytes_read: float = 0
    complete: bool = False

    def plus(self, note: Mapping[str, Any]) -> Done:
        """Return how far it is with one more shard."""
        labels = dict(self.labels)
        for name, count in note["labels"].items():
            labels[name] = labels.get(name, 0) + count
        return Done(
            self.n_shards + 1,
            Position(*note["end"]),
            self.scored + note["scored"],
            self.rejected + len(note["rejected"]),
            tuple(sorted(labels.items())),
            note["read"],
        )


@dataclass(frozen=True)
class Output:
    """Where a bulk job writes to.

    Attributes:
        path: The folder of shards, or the single file.
        format: `"parquet"`, `"jsonl"`, `"csv"` or `"tsv"`.
        is_file: Whether it is a single file.
    """

    path: Path
    format: str
    is_file: bool

    @classmethod
    def of(cls, output: str | Path, form: str | None) -> Output:
        """Return the output that a path names: a file where it has the ending of one, else a folder.

        A name with another ending is a folder where there is one, or where a slash stands behind it.

        Raises:
            DataError: The format or the ending is unknown, or they contradict each other.
        """
        if form is not None and form not in FORMATS:
            raise DataError(f"--format must be one of {', '.join(FORMATS)}, got {form!r}.")
        path = Path(output).expanduser()
        ending = path.suffix.lower().removeprefix(".")
        is_folder = path.is_dir() or str(output).endswith(("/", os.sep))
        if is_folder or ending not in FORMATS:
            if path.is_file() or (ending and not is_folder):
                raise DataError(
                    f"{output} cannot be written to: expected a file that ends in .{', .'.join(FORMATS)}, "
                    "or a folder, with a / at the end."
                )
            return cls(path, form or "parquet", is_file=False)
        if form not in {None, ending}:
            raise DataError(f"--format {form} contradicts the ending of {path}: leave it out.")
        return cls(path, ending, is_file=True)

    @property
    def folder(self) -> Path:
        """Holds the shards."""
        return self.path.with_name(f".{self.path.name}-shards") if self.is_file else self.path

    @property
    def rejected(self) -> Path:
        """Holds the rows that were set aside, where there are any."""
        return self.path.with_name(f"{self.path.name}.rejected.jsonl") if self.is_file else self.path / _REJECTED

    @property
    def written(self) -> list[Path]:
        """All that is written."""
        return [self.path, self.folder, self.rejected]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; where nothing was written, nothing is left.

        Raises:
            RunError: Another process writes there already.
        """
        is_new = self.is_file or not self.folder.exists()
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / _LOCK, blocking=False)
        try:
            with lock:
                try:
                    yield
                finally:
                    self._remove_if_empty(is_new=is_new)
        except Timeout as error:
            raise RunError(
                f"Another process is writing to {self.path}: wait for it, or choose another output."
            ) from error

    def look(self, plan: Mapping[str, Any], *, overwrite: bool) -> Done | None:
        """Return how far this very job is; None where there is nothing to go on with.

        Args:
            plan: What the job is, plain JSON values.
            overwrite: Whether another job, or a complete one, gives way.

        Raises:
            RunError: Something else is there, and does not give way.
        """
        state = self._state()
        if state is None or self._is_gone(state):
            self._check_free(state, overwrite=overwrite)
            return None
        differences = [said for key, said in SAID_OF_PLANS.items() if state["plan"].get(key) != plan.get(key)]
        if differences and not overwrite:
            raise RunError(
                f"{self.path} was begun with something else: {', '.join(differences)} "
                f"{'differ' if len(differences) > 1 or differences == ['the input files'] else 'differs'}. "
                "Choose another output, or pass --overwrite to start again."
            )
        if differences:
            return None
        if state.get("completed") is None:
            self._check_rejected(state, overwrite=overwrite)
            return self._counted()
        return None if overwrite else self._completed(state["completed"])

    def begin(self, plan: Mapping[str, Any], done: Done | None) -> Done:
        """Make the folder ready for a job that is so far; what earlier ones have left is removed."""
        with storage_errors(self.folder):
            for child in [*self.folder.iterdir(), *(self.folder / _NOTES).glob("*")]:
                if _LEFT_OVER.match(child.name) or (done is None and self._is_ours(child)):
                    _remove(child)
            if done is None and self.is_file and (self._state() or {}).get("rejected"):
                _remove(self.rejected)
        if done is not None:
            return done
        # Not before the shards of the old state are gone: without a state they would be taken for somebody else's.
        write_json(self.folder / _STATE, {"format": _STATE_FORMAT, "matinee": __version__, "plan": plan})
        return Done()

    def write(self, shard: Shard, table: Any, labels: Mapping[str, int]) -> dict[str, Any]:
        """Write a shard whole, with what was rejected; return its note.

        Args:
            shard: The rows that were read.
            table: The rows as they are written.
            labels: How many rows have each label.
        """
        with atomic_path(self._part(shard.number)) as temporary:
            WRITERS[self.format](temporary, table)
            note = {
                "bytes": temporary.stat().st_size,
                "scored": table.num_rows,
                "labels": dict(labels),
                "end": list(shard.end),
                "read": shard.bytes_read,
                "rejected": [row._asdict() for row in shard.rejected],
            }
            write_json(self._note(shard.number), note)
        return note

    def finish(self, done: Done) -> None:
        """Write what was rejected and, of a single file, the file; then say that the job is complete."""
        self._write_rejected(done)
        if self.is_file:
            joined = self.folder / f"joined.{self.format}"
            with atomic_path(joined) as temporary:
                _JOINERS[self.format](temporary, [self._part(number) for number in range(done.n_shards)])
            with storage_errors(self.path):
                joined.replace(self.path)
        target = [self.path] if self.is_file else [self._part(number) for number in range(done.n_shards)]
        completed = {
            "shards": done.n_shards,
            "scored": done.scored,
            "rejected": done.rejected,
            "labels": dict(done.labels),
            "bytes": sum(path.stat().st_size for path in target),
        }
        self._add_to_state("completed", completed)
        for path in self._needless():
            _remove(path)

    def tidy(self) -> None:
        """Remove what a complete job no longer needs, and a killed process has left; where it cannot be, it stays."""
        with suppress(RunError, StorageError, OSError):
            if self._needless():
                with self.locked():
                    # Another process may have begun anew meanwhile.
                    is_complete = (self._state() or {}).get("completed") is not None
                    for path in self._needless() if is_complete else ():
                        _remove(path)

    def _needless(self) -> list[Path]:
        return [
            child
            for child in self.folder.iterdir()
            if child.name == _NOTES
            or _LEFT_OVER.match(child.name)
            or (self.is_file and _PART.fullmatch(child.name) is not None)
        ]

    def _remove_if_empty(self, *, is_new: bool) -> None:
        with suppress(OSError):
            if [child.name for child in self.folder.iterdir()] == [_LOCK]:
                (self.folder / _LOCK).unlink()
                if is_new:
                    self.folder.rmdir()

    def _write_rejected(self, done: Done) -> None:
        if not done.rejected:
            return
        listed = self.folder / _REJECTED
        with atomic_path(listed) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            for number in range(done.n_shards):
                for row in self._read_note(number)["rejected"]:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        if self.is_file:
            # Said first: a list that the state does not name is somebody else's.
            self._add_to_state("rejected", value=True)
            with storage_errors(self.rejected):
                listed.replace(self.rejected)

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.{self.format}"

    def _note(self, number: int) -> Path:
        return self.folder / _NOTES / f"part-{number:05d}.json"

    def _is_ours(self, child: Path) -> bool:
        return child.name in {_REJECTED, _NOTES, "_notes"} or _PART.fullmatch(child.name) is not None

    def _add_to_state(self, key: str, value: object) -> None:
        write_json(self.folder / _STATE, {**(self._state() or {}), key: value})

    def _state(self) -> dict[str, Any] | None:
        path = self.folder / _STATE
        try:
            state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise RunError(f"{path} is damaged: choose another output, or remove {self.folder}.") from error
        if state.get("format") != _STATE_FORMAT:
            raise RunError(f"{path} is of another matinee's format: choose another output, or remove {self.folder}.")
        return state

    def _is_gone(self, state: Mapping[str, Any]) -> bool:
        """Return whether a single file was complete, and has been removed since."""
        return self.is_file and state.get("completed") is not None and not self.path.exists()

    def _check_rejected(self, state: Mapping[str, Any] | None, *, overwrite: bool) -> None:
        if self.is_file and self.rejected.exists() and not (state or {}).get("rejected") and not overwrite:
            raise RunError(
                f"{self.rejected} is there already, and not of this job: choose another output, or pass --overwrite to replace it."
            )

    def _check_free(self, state: Mapping[str, Any] | None, *, overwrite: bool) -> None:
        self._check_rejected(state, overwrite=overwrite)
        if self.is_file:
            if self.path.exists() and not overwrite:
                raise RunError(
                    f"{self.path} is there already: choose another output, or pass --overwrite to replace it."
                )
        elif self.path.is_dir() and any(
            child.name != _LOCK and not _LEFT_OVER.match(child.name) for child in self.path.iterdir()
        ):
            raise RunError(
                f"{self.path} is not empty, and not what `matinee score` has left: choose another output, it is never overwritten."
            )

    def _counted(self) -> Done:
        """Return how far an unfinished job is: up to its first shard that is not there."""
        done = Done()
        while self._part(done.n_shards).is_file():
            note = self._read_note(done.n_shards)
            if self._part(done.n_shards).stat().st_size != note["bytes"]:
                break
            done = done.plus(note)
        return done

    def _read_note(self, number: int) -> dict[str, Any]:
        try:
            note: dict[str, Any] = json.loads(self._note(number).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self._note(number)} is missing or damaged: pass --overwrite to start again.") from error
        return note

    def _completed(self, completed: Mapping[str, Any]) -> Done:
        n_shards = completed["shards"]
        target = [self.path] if self.is_file else [self._part(number) for number in range(n_shards)]
        if (
            any(not path.is_file() for path in target)
            or sum(path.stat().st_size for path in target) != completed["bytes"]
        ):
            raise RunError(
                f"{self.path} was complete, and has been changed since: choose another output, or pass --overwrite to start again."
            )
        labels = tuple(sorted(completed["labels"].items()))
        return Done(n_shards, START, completed["scored"], completed["rejected"], labels, complete=True)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


# -- formats ----------------------------------------------------------------------------------------------------------


def _write_parquet(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(arrow.unquoted(table), path, compression="zstd")


def _join_parquet(path: Path, parts: list[Path]) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(parts[0]) as first:
        schema = first.schema_arrow
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group))


def _write_jsonl(path: Path, table: Any) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in arrow.plain_rows(table):
            file.write(arrow.json_text(row) + "\n")


class _LineEnds:
    """Takes rows that end in CR LF, and writes them with LF alone."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def _writer(file: TextIO, delimiter: str) -> Any:
    # Told to end rows with LF, Python 3.11 writes a CR in a value without quotes, and every reader takes it for a row's end.
    return csv.writer(_LineEnds(file), delimiter=delimiter, lineterminator="\r\n")


def _delimited(delimiter: str) -> Any:
    def write(path: Path, table: Any) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = _writer(file, delimiter)
            writer.writerow(table.column_names)
            for row in arrow.plain_rows(table):
                writer.writerow([_cell(value) for value in row.values()])

    return write


def _cell(value: object) -> object:
    return arrow.json_text(value) if isinstance(value, (list, dict, bool)) else value


def _join_bytes(path: Path, parts: list[Path], header: int = 0) -> None:
    """Join files, without the first `header` bytes of all but the first."""
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            with part.open("rb") as source:
                source.seek(header if number else 0)
                shutil.copyfileobj(source, file, 1 << 20)


def _join_delimited(delimiter: str) -> Any:
    def join(path: Path, parts: list[Path]) -> None:
        with parts[0].open(encoding="utf-8", newline="") as file:
            names = next(csv.reader(file, delimiter=delimiter))
        header = StringIO()
        _writer(header, delimiter).writerow(names)
        _join_bytes(path, parts, len(header.getvalue().encode()))

    return join


WRITERS = {"parquet": _write_parquet, "jsonl": _write_jsonl, "csv": _delimited(","), "tsv": _delimited("\t")}
_JOINERS = {"parquet": _join_parquet, "jsonl": _join_bytes, "csv": _join_delimited(","), "tsv": _join_delimited("\t")}
