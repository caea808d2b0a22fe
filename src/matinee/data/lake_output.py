"""The output of a bulk job that many machines write: parts under names that their slice alone decides, and notes of what is done.

A folder, here or in a store: `part-000017-000.parquet`, …, and, of names that data tools take for no data, `_score.json` (what the job
is and how it ended), `_rejected.jsonl`, and while the job lasts `_notes/000017.json`. A slice's note is written behind its parts: without
one they count for nothing, and are written over.
"""

from __future__ import annotations

import json
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from matinee._version import __version__
from matinee.core.errors import DataError, RunError, SettingsError
from matinee.core.files import storage_errors
from matinee.data import lake
from matinee.data.shards import FORMATS, SAID_OF_PLANS, WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matinee.data.streaming import Shard

_STATE_FORMAT = 1
_STATE, _REJECTED, _NOTES, _LOCK = "_score.json", "_rejected.jsonl", "_notes", ".lock"

_PART = re.compile(r"part-\d{5,}(-\d{3,})?\.(parquet|jsonl|csv|tsv)")

# What a killed process was writing.
_LEFT_OVER = re.compile(r"\.(part-\d{5,}-\d{3,}|_score|_rejected)-")

# Notes that are read at once: a store takes its time over each.
_READERS = 16


@dataclass
class Counted:
    """What is done of a job.

    Attributes:
        scored: Rows with an answer.
        rejected: Rows that were set aside.
        labels: How many rows got each label.
        with_rejects: Slices that have rejected rows.
        slices: Slices that are done.
        parts: The bytes of their parts, by name.
    """

    scored: int = 0
    rejected: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    with_rejects: set[int] = field(default_factory=set)
    slices: set[int] = field(default_factory=set)
    parts: dict[str, int] = field(default_factory=dict)

    def add(self, number: int, note: Mapping[str, Any]) -> None:
        """Count a slice, by its note or the counts of one."""
        self.slices.add(number)
        self.parts.update((part["name"], part["bytes"]) for part in note["parts"])
        self.scored += note["scored"]
        rejected = note["rejected"] if isinstance(note["rejected"], int) else len(note["rejected"])
        self.rejected += rejected
        if rejected:
            self.with_rejects.add(number)
        for name, count in note["labels"].items():
            self.labels[name] = self.labels.get(name, 0) + count


@dataclass(frozen=True)
class LakeOutput:
    """Where a bulk job of many machines writes to.

    Attributes:
        folder: Path or address, without a slash at its end.
        format: `"parquet"`, `"jsonl"`, `"csv"` or `"tsv"`.
    """

    folder: str
    format: str

    @classmethod
    def of(cls, output: str | Path, form: str | None) -> LakeOutput:
        """Return the output that a path or an address names.

        Raises:
            DataError: The format is unknown.
            SettingsError: It is a single file.
        """
        if form is not None and form not in FORMATS:
            raise DataError(f"--format must be one of {', '.join(FORMATS)}, got {form!r}.")
        name = str(output)
        ending = name.rpartition("/")[2].rpartition(".")[2].lower()
        is_file = not name.endswith("/") and "." in name.rpartition("/")[2] and ending in FORMATS
        if is_file or (not lake.is_remote(name) and lake.local_path(name).is_file()):
            raise SettingsError(
                f"{name} is a single file; with --engine ray many processes write, each its own: name a folder, as in "
                f"{name.rpartition('.')[0]}/."
            )
        folder = name if lake.is_remote(name) else str(lake.local_path(name).absolute())
        return cls(folder.rstrip("/"), form or "parquet")

    @property
    def rejected(self) -> str:
        """Path or address of the list of rows that were set aside."""
        return f"{self.folder}/{_REJECTED}"

    @property
    def _notes(self) -> str:
        return f"{self.folder}/{_NOTES}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this machine out; a store knows no locks.

        Raises:
            RunError: Another process writes there already.
        """
        if lake.is_remote(self.folder):
            yield
            return
        path = Path(self.folder)
        is_new = not path.exists()
        with storage_errors(path):
            (path / _NOTES).mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path / _LOCK, blocking=False):
                yield
        except Timeout as error:
            raise RunError(
                f"Another process is writing to {self.folder}: wait for it, or choose another output."
            ) from error
        finally:
            _remove_if_empty(path, is_new=is_new)

    def look(self, plan: Mapping[str, Any], *, overwrite: bool) -> dict[str, Any] | None:
        """Return the state of this very job: what `begin` and `finish` wrote; None where there is nothing to go on with.

        Args:
            plan: What the job is, plain JSON values.
            overwrite: Whether another job, or a complete one, gives way.

        Raises:
            RunError: Something else is there, and does not give way; or a complete job's parts are no longer as they were.
        """
        text = lake.get_text(self.folder, _STATE)
        if text is None:
            others = [
                name
                for name in lake.names_in(self.folder)
                if name not in {_LOCK, _NOTES} and not _LEFT_OVER.match(name)
            ]
            if others:
                raise RunError(
                    f"{self.folder} is not empty, and not what `matinee score` has left: choose another output, it is never "
                    "overwritten."
                )
            return None
        try:
            state: dict[str, Any] = json.loads(text)
            then = state["plan"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.folder}/{_STATE} is damaged: choose another output, or remove it all.") from error
        plain = json.loads(json.dumps(plan))
        differences = [said for key, said in SAID_OF_PLANS.items() if then.get(key) != plain.get(key)]
        if differences and not overwrite:
            verb = "differ" if len(differences) > 1 or differences == ["the input files"] else "differs"
            raise RunError(
                f"{self.folder} was begun with something else: {', '.join(differences)} {verb}. "
                "Choose another output, or pass --overwrite to start again."
            )
        if differences or (overwrite and "completed" in state):
            return None
        if "completed" in state:
            self._check_whole(state["completed"])
        return state

    def _check_whole(self, completed: Mapping[str, Any]) -> None:
        sizes = [size for name, size in lake.sizes_in(self.folder).items() if _PART.fullmatch(name)]
        if [len(sizes), sum(sizes)] != [completed.get("parts"), completed.get("bytes")]:
            raise RunError(
                f"{self.folder} was complete, and has been changed since: choose another output, or pass --overwrite to start "
                "again."
            )

    def check_writable(self) -> None:
        """Raise StorageError if nothing can be written here; better before all input is looked through than behind it."""
        lake.put_text("", self._notes, "probe")
        lake.remove(self._notes, ["probe"])

    def begin(
        self, plan: Mapping[str, Any], division: str, state: Mapping[str, Any] | None, *, overwrite: bool
    ) -> tuple[Counted, str]:
        """Make the folder ready for a job; return what is done of it, and a word that who sees this folder can tell.

        Args:
            plan: What the job is.
            division: Hash of its slices.
            state: What `look` found.
            overwrite: Whether slices that are cut in another way give way.

        Raises:
            RunError: The finished slices were cut in another way.
        """
        if state is not None and state.get("division") != division:
            if not overwrite:
                raise RunError(
                    f"{self.folder} was begun with the same files cut in another way, by another matinee or while they changed: "
                    "choose another output, or pass --overwrite to start again."
                )
            state = None
        names = lake.names_in(self.folder)
        lake.remove(self.folder, [name for name in names if _LEFT_OVER.match(name)])
        counted = Counted()
        if state is not None:
            for number, note in self._done().items():
                counted.add(number, note)
            # A slice that killed its workers may be tried again: there may be fewer of them now.
            needless = [name for name in lake.names_in(self._notes) if not name.endswith(".json")]
            lake.remove(self._notes, needless)
        else:
            # Killed in between, this is a job of which nothing is done: notes go first, and parts without one count for nothing.
            self._remove_notes()
            self._write_state(plan, division)
            lake.remove(self.folder, [name for name in names if _PART.fullmatch(name) or name == _REJECTED])
        word = token_hex(8)
        lake.put_text(word, self._notes, f"{word}.seen")
        return counted, word

    def is_seen(self, word: str) -> bool:
        """Return whether this process sees the folder in which `begin` left a word."""
        return lake.get_text(self._notes, f"{word}.seen") == word

    def _done(self) -> dict[int, dict[str, Any]]:
        """Return the notes of the slices that are done, by their numbers: those whose parts are there."""
        names = lake.names_in(self._notes)
        numbers = sorted(int(name.removesuffix(".json")) for name in names if re.fullmatch(r"\d+\.json", name))
        sizes = lake.sizes_in(self.folder)
        with ThreadPoolExecutor(_READERS) as pool:
            notes = dict(zip(numbers, pool.map(self._read_note, numbers), strict=True))
        return {
            number: note
            for number, note in notes.items()
            if all(sizes.get(part["name"]) == part["bytes"] for part in note["parts"])
        }

    def _read_note(self, number: int) -> dict[str, Any]:
        """Return a slice's note.

        Raises:
            RunError: It is missing or damaged.
        """
        try:
            note: dict[str, Any] = json.loads(lake.get_text(self._notes, f"{number:06d}.json") or "")
        except ValueError as error:
            raise RunError(
                f"{self._notes}/{number:06d}.json is missing or damaged: pass --overwrite to start again."
            ) from error
        return note

    def begin_again(self, number: int) -> int:
        """Note that a slice is begun by a worker that died before; return how often that has happened."""
        name = f"{number:06d}.tries"
        n_tries = 1 + len(lake.get_text(self._notes, name) or "")
        lake.put_text("|" * n_tries, self._notes, name)
        return n_tries

    def write_part(self, number: int, place: int, table: Any, work: Path) -> dict[str, Any]:
        """Write a part of a slice; return its name, bytes and rows."""
        name = f"part-{number:06d}-{place:03d}.{self.format}"
        written = work / name
        with storage_errors(written):
            WRITERS[self.format](written, table)
        lake.put(written, self.folder, name)
        size = written.stat().st_size
        written.unlink()
        return {"name": name, "bytes": size, "rows": table.num_rows}

    def write_note(
        self, number: int, parts: Sequence[Mapping[str, Any]], shards: Sequence[Shard], labels: Mapping[str, int]
    ) -> dict[str, Any]:
        """Say that a slice is done; return what was said."""
        note = {
            "parts": list(parts),
            "scored": sum(part["rows"] for part in parts),
            "labels": dict(labels),
            "rejected": [row._asdict() for shard in shards for row in shard.rejected],
        }
        lake.put_text(json.dumps(note, ensure_ascii=False), self._notes, f"{number:06d}.json")
        return note

    def finish(self, plan: Mapping[str, Any], division: str, counted: Counted, n_slices: int) -> None:
        """Write what was rejected; then say that the job is complete, and remove the notes.

        Raises:
            RunError: Notes of slices, or parts that were written, are not there.
        """
        missing = {f"{number:06d}.json" for number in range(n_slices)}.difference(lake.names_in(self._notes))
        if missing:
            raise RunError(
                f"{self._notes} lacks {len(missing):,} of the {n_slices:,} slices' notes. Run the same command again to go on."
            )
        sizes = lake.sizes_in(self.folder)
        gone = [name for name, size in counted.parts.items() if sizes.get(name) != size]
        if gone:
            raise RunError(
                f"{self.folder} lacks {len(gone):,} of the {len(counted.parts):,} parts that were written, or they have changed "
                f"({gone[0]}). Run the same command again to write them anew."
            )
        # An earlier job may have had more parts, and been killed while they were removed.
        stray = [
            name for name in sizes if _LEFT_OVER.match(name) or (_PART.fullmatch(name) and name not in counted.parts)
        ]
        lake.remove(self.folder, stray)
        self._write_rejected(sorted(counted.with_rejects))
        completed = {
            "slices": n_slices,
            "parts": len(counted.parts),
            "bytes": sum(counted.parts.values()),
            "scored": counted.scored,
            "rejected": counted.rejected,
            "labels": dict(sorted(counted.labels.items())),
        }
        self._write_state(plan, division, completed=completed)
        self._remove_notes()

    def _write_rejected(self, numbers: Sequence[int]) -> None:
        """Write the list of rejected rows from the notes of the slices that have any."""
        if not numbers:
            return
        with tempfile.TemporaryDirectory() as work:
            listed = Path(work) / _REJECTED
            with storage_errors(listed), listed.open("w", encoding="utf-8", newline="\n") as file:
                for number in numbers:
                    for row in self._read_note(number)["rejected"]:
                        file.write(json.dumps(row, ensure_ascii=False) + "\n")
            lake.put(listed, self.folder, _REJECTED)

    def _write_state(self, plan: Mapping[str, Any], division: str, **more: Any) -> None:
        said = {"format": _STATE_FORMAT, "matinee": __version__, "plan": plan, "division": division, **more}
        lake.put_text(json.dumps(said, indent=2), self.folder, _STATE)

    def _remove_notes(self) -> None:
        lake.remove(self._notes, lake.names_in(self._notes))
        if not lake.is_remote(self._notes) and Path(self._notes).is_dir() and not any(Path(self._notes).iterdir()):
            Path(self._notes).rmdir()


def _remove_if_empty(path: Path, *, is_new: bool) -> None:
    """Remove what `locked` has made, where nothing was written."""
    notes = path / _NOTES
    if notes.is_dir() and not any(notes.iterdir()):
        notes.rmdir()
    if is_new and {child.name for child in path.iterdir()} <= {_LOCK}:
        (path / _LOCK).unlink(missing_ok=True)
        path.rmdir()
