"""Datasets on this machine: a file, a glob of files, or a folder with a file per split."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from matinee.core.errors import DataError, did_you_mean
from matinee.data.readers import FORMATS, open_table
from matinee.data.sources.found import Found, files_by_split, split_of_stem

_FILE_ENDINGS = {*FORMATS, ".txt", ".gz", ".zip", ".xls", ".xlsx", ".arrow", ".feather", ".xml", ".pkl"}


def is_glob(name: str) -> bool:
    """Return whether a name is a pattern, and not a file that happens to have such a name."""
    return re.search(r"[*?\[]", name) is not None and not Path(name).exists()


def looks_like_path(name: str) -> bool:
    """Return whether a name is spelled as a path: by its beginning, a back slash, a slash at the end, or an ending."""
    return name.startswith((".", "/", "~")) or "\\" in name or name.endswith("/") or is_glob(name) or _has_ending(name)


def _has_ending(name: str) -> bool:
    # A hub id may hold a dot (user/name.en), so behind a slash only the usual endings count.
    ending = Path(name).suffix.lower()
    return ending in _FILE_ENDINGS or ("/" not in name and re.fullmatch(r"\.[a-z]{1,8}", ending) is not None)


def holds_splits(folder: Path) -> bool:
    """Return whether a folder holds a train file."""
    return folder.is_dir() and any(split_of_stem(path.stem) == "train" for path in folder.iterdir())


def find_files(name: str, encoding: str) -> Found:
    """Return the dataset that a path or glob names.

    Raises:
        DataError: There is no such file, or it cannot be read as a table.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        files = files_by_split(path)
        return Found(
            name=name,
            source="file",
            tables={split: [open_table(file, encoding) for file in paths] for split, paths in files.items()},
        )
    tables = [open_table(file, encoding) for file in matching(name)]
    return Found(name=name, source="file", tables={"train": tables}, undivided=True)


def matching(name: str) -> list[Path]:
    """Return the files that a path or glob names, sorted.

    Raises:
        DataError: There is none; the nearest file name beside it is offered.
    """
    path = Path(name).expanduser()
    if is_glob(name):
        found = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if Path(match).is_file())  # noqa: PTH207 - the whole pattern is the user's, absolute or not
        if not found:
            raise DataError(f"No file matches {name!r}.")
        return found
    if not path.exists():
        raise DataError(f"There is no file {name}.{did_you_mean(path.name, names_beside(path))}")
    return [path]


def names_beside(path: Path) -> list[str]:
    """Return the names in the folder where a path would lie; none where that folder is not there or closed."""
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []
