"""Copies of data files with some rows left out and some texts replaced; everything else in them stays as it is."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from matinee.core.errors import DataError
from matinee.core.files import atomic_path, storage_errors
from matinee.data.audit.rows import well_formed
from matinee.data.readers import read_json_object, text_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from matinee.data.audit.raw import Raw
    from matinee.data.readers import Table
    from matinee.data.sources.found import Found


class _Job(NamedTuple):
    """The copy of one file.

    Attributes:
        table: The file.
        text: Its column of texts.
        label: Its column of labels, None where there is none.
        label_names: What label values are called, where the file itself does not say it.
        encoding: Of the file; the copy is UTF-8.
        dropped: Rows to leave out, the first one is 0.
        texts: New texts, by row.
    """

    table: Table
    text: str
    label: str | None
    label_names: Mapping[str, str]
    encoding: str
    dropped: Collection[int]
    texts: Mapping[int, str]


def is_single_file(found: Found) -> bool:
    """Return whether a dataset is one file of the user's, so that its copy is a file too."""
    return found.source == "file" and found.undivided and len(found.tables["train"]) == 1


def check_copyable(found: Found, output: Path) -> None:
    """Raise DataError unless `output` can be a copy of the dataset: a file of the same ending, or a folder."""
    for table in (table for tables in found.tables.values() for table in tables):
        if len(set(table.columns)) < len(table.columns):
            raise DataError(f"{table.path}: several columns have no name, and --fix cannot tell them apart: name them.")
    if is_single_file(found):
        ending = found.tables["train"][0].path.suffix
        if output.suffix.lower() != ending.lower():
            raise DataError(f"--fix {output}: the copy of a {ending} file must end in {ending} too.")


def write_copy(
    raw: Raw, output: Path, dropped: Collection[int], texts: Mapping[int, str], *, also: Callable[[], None]
) -> None:
    """Write the copy: a file for a file, else a folder with a file for each file.

    Args:
        raw: The dataset as it was read.
        output: Where to.
        dropped: Rows to leave out.
        texts: New texts, by row.
        also: What to do when all is written and has not got its name yet.

    Raises:
        DataError: The source has changed since it was read.
        StorageError: The write was refused.
    """
    if is_single_file(raw.found):
        with atomic_path(output) as temporary:
            _write_parts(raw, [temporary], dropped, texts)
            also()
        return
    with storage_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}-"))
        try:
            folder.chmod(0o755)
            _write_parts(raw, [folder / name for name in _file_names(raw)], dropped, texts)
            also()
            folder.rename(output)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _file_names(raw: Raw) -> list[str]:
    """Return the files' own names; of fetched files, whose names need not tell the split, new ones that do."""
    if raw.found.source == "file":
        return [part.table.path.name for part in raw.parts]
    of_split, seen = Counter(part.split for part in raw.parts), Counter[str]()
    names = []
    for part in raw.parts:
        seen[part.split] += 1
        number = f"-{seen[part.split]}" if of_split[part.split] > 1 else ""
        names.append(f"{part.split}{number}{part.table.path.suffix}")
    return names


def _write_parts(raw: Raw, paths: list[Path], dropped: Collection[int], texts: Mapping[int, str]) -> None:
    start = 0
    for part, path in zip(raw.parts, paths, strict=True):
        rows = range(start, start + part.n_rows)
        job = _Job(
            table=part.table,
            text=raw.columns.text,
            label=raw.columns.label,
            label_names=raw.found.label_names,
            encoding=raw.encoding,
            dropped={row - start for row in rows if row in dropped},
            texts={row - start: texts[row] for row in rows if row in texts},
        )
        n_rows = _WRITERS[part.table.path.suffix.lower()](job, path)
        if n_rows != part.n_rows:
            raise DataError(
                f"{part.table.path} has changed while it was read: it had {part.n_rows:,} rows, now {n_rows:,}."
            )
        start += part.n_rows


# -- writers: each returns how many rows the source has ---------------------------------------------------------------


def _write_delimited(delimiter: str) -> Callable[[_Job, Path], int]:
    def write(job: _Job, path: Path) -> int:
        columns, n_rows = job.table.columns, 0
        text = columns.index(job.text)
        label = None if job.label is None or not job.label_names else columns.index(job.label)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
            writer.writerow(columns)
            for row, source in enumerate(job.table.rows(columns)):
                n_rows += 1
                if row in job.dropped:
                    continue
                cells = list(source)
                cells[text] = job.texts.get(row, cells[text])
                if label is not None:
                    cells[label] = job.label_names.get(str(cells[label]), str(cells[label]))
                writer.writerow(cells)
        return n_rows

    return write


def _write_json_lines(job: _Job, path: Path) -> int:
    n_rows = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row, record in enumerate(_lines(job)):
            n_rows += 1
            if row not in job.dropped:
                file.write(_dumped(job, row, record) + "\n")
    return n_rows


def _write_json(job: _Job, path: Path) -> int:
    """Write a `.json` file: a list of objects where the source is one, else JSON lines under that name."""
    first = next((line for line in text_lines(job.table.path, job.encoding) if line.strip()), "")
    if not first.lstrip().startswith("["):
        return _write_json_lines(job, path)
    records = json.loads("".join(text_lines(job.table.path, job.encoding)))
    lines = [_dumped(job, row, record) for row, record in enumerate(records) if row not in job.dropped]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8", newline="\n")
    return len(records)


def _lines(job: _Job) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text_lines(job.table.path, job.encoding), start=1):
        if line.strip():
            yield read_json_object(line, f"{job.table.path}, line {number}")


def _dumped(job: _Job, row: int, record: dict[str, Any]) -> str:
    record = {**record, job.text: job.texts[row]} if row in job.texts else record
    return well_formed(json.dumps(record, ensure_ascii=False))


def _write_parquet(job: _Job, path: Path) -> int:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(job.table.path) as file:
        table = file.read()
    n_rows: int = table.num_rows
    if job.texts:
        place = table.schema.get_field_index(job.text)
        field = table.schema.field(place)
        texts = [job.texts.get(row, text) for row, text in enumerate(table.column(place).to_pylist())]
        table = table.set_column(place, field, pa.array(texts, pa.string()).cast(field.type))
    kept = np.ones(n_rows, dtype=bool)
    kept[list(job.dropped)] = False
    pq.write_table(table.filter(pa.array(kept)), path)
    return n_rows


_WRITERS: dict[str, Callable[[_Job, Path], int]] = {
    ".csv": _write_delimited(","),
    ".tsv": _write_delimited("\t"),
    ".jsonl": _write_json_lines,
    ".ndjson": _write_json_lines,
    ".json": _write_json,
    ".parquet": _write_parquet,
}
