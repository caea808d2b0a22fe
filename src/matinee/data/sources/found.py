"""What every source gives: opened tables by split, and what is known of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from matinee.core.errors import DataError
from matinee.data.readers import is_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from matinee.core.types import SplitName
    from matinee.data.readers import Table

SourceName = Literal["file", "huggingface-cache", "huggingface-hub", "package-mirror"]

_WORDS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_SPLIT_FILE = re.compile(rf"({_WORD})([-_.]\d+(-of-\d+)?)?", re.IGNORECASE)
_SPLIT_PART = re.compile(rf"(?:^|[-_./])({_WORD})(?=[-_./]|\d|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """A dataset, found and opened.

    Attributes:
        name: What the user asked for.
        source: Where it was found.
        tables: Its tables by split; one undivided table counts as `train`.
        label_names: What label values are called, where the source knows: `{"0": "negative"}`.
        gap: Rows within which rows of a label are alike (reviews of a film), so that hold-outs are blocks; 0 for none.
        row_hashes: What the rows of a split must hash to (`matinee.data.reading.rows_sha256`), where that is pinned.
        named: Whether it is one of the datasets that matinee knows by name.
        undivided: Whether it came as one table without splits.
    """

    name: str
    source: SourceName
    tables: dict[SplitName, list[Table]]
    label_names: Mapping[str, str] = field(default_factory=dict)
    gap: int = 0
    row_hashes: Mapping[SplitName, str] = field(default_factory=dict)
    named: bool = False
    undivided: bool = False


def split_of_stem(stem: str) -> SplitName | None:
    """Return the split that a file in a plain folder holds: `train`, `dev`, `train-00000-of-00002`."""
    match = _SPLIT_FILE.fullmatch(stem)
    return _WORDS[match[1].lower()] if match else None


def split_of_path(path: str) -> SplitName | None:
    """Return the split that a file of a hub repository holds, from its path: `data/train-0.parquet`, `default/test/0.parquet`."""
    matches = _SPLIT_PART.findall(path.rsplit(".", 1)[0])
    return _WORDS[matches[-1].lower()] if matches else None


def files_by_split(folder: Path) -> dict[SplitName, list[Path]]:
    """Return the tables of a plain folder by split.

    Raises:
        DataError: There is no train file, or a split has files of two formats.
    """
    found: dict[SplitName, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if is_table(path) and (split := split_of_stem(path.stem)):
            found.setdefault(split, []).append(path)
    for split, paths in found.items():
        _check_one_kind(split, paths)
    if "train" not in found:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise DataError(f"Folder {folder} holds no train.csv (or .tsv, .jsonl, .parquet); it holds {names}.")
    return found


def _check_one_kind(split: str, paths: Iterable[Path]) -> None:
    """Refuse `train.csv` beside `train.jsonl`, and `dev.csv` beside `validation.csv`: likely the same rows twice."""
    kinds: dict[tuple[str, str], Path] = {}
    for path in paths:
        match = _SPLIT_FILE.fullmatch(path.stem)
        kinds.setdefault((match[1].lower() if match else "", path.suffix.lower()), path)
    if len(kinds) > 1:
        names = " and ".join(path.name for path in kinds.values())
        raise DataError(f"Which one is the {split} split: {names}? Keep one of them in the folder.")
