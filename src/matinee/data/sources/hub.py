"""Any dataset of the Hugging Face hub: its CSV, JSON lines and Parquet files, read as files; its code never runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matinee.core.errors import DataError
from matinee.core.hub import cached_snapshot, download_snapshot
from matinee.data.readers import FORMATS, open_table
from matinee.data.sources.found import Found, split_of_path

if TYPE_CHECKING:
    from pathlib import Path

    from matinee.core.types import SplitName
    from matinee.data.readers import Table
    from matinee.data.sources.found import SourceName

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(/[\w.-]+)?")
_PATTERNS = tuple(f"*{ending}" for ending in FORMATS if ending != ".json")
# The hub keeps a Parquet copy of datasets that come as scripts or archives under this revision.
_PARQUET_REVISION = "refs/convert/parquet"
_USUAL_CONFIGS = ("default", "plain_text", "data", "")


def is_hub_id(name: str) -> bool:
    """Return whether the name may be a hub id, `user/name`, or one with a configuration, `user/name/config`."""
    return _HUB_ID.fullmatch(name) is not None and not name.startswith(".")


def find_hub_dataset(name: str, encoding: str) -> Found:
    """Return a dataset of the hub, from the Hugging Face cache where it is there.

    Args:
        name: `user/name`, or `user/name/config` for one of several configurations.
        encoding: Of its text files.

    Raises:
        NotAvailableError: It is not here, and the hub cannot be reached or has no such dataset.
        DataError: It holds no table with a train split, or several configurations.
    """
    repo_id, config = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:])
    source: SourceName = "huggingface-cache"
    folder = cached_snapshot(repo_id, "dataset", _PATTERNS) or cached_snapshot(
        repo_id, "dataset", ("*.parquet",), _PARQUET_REVISION
    )
    if folder is None:
        source, folder = "huggingface-hub", _downloaded(repo_id)
    tables: dict[SplitName, list[Table]] = {
        split: [open_table(path, encoding) for path in paths]
        for split, paths in _files(folder, repo_id, config).items()
    }
    return Found(name=name, source=source, tables=tables)


def _downloaded(repo_id: str) -> Path:
    folder = download_snapshot(repo_id, "dataset", _PATTERNS)
    if _splits(folder):
        return folder
    return download_snapshot(repo_id, "dataset", ("*.parquet",), _PARQUET_REVISION)


def _splits(folder: Path) -> dict[str, dict[SplitName, list[Path]]]:
    """Return the files of a repository by configuration and split; a configuration is a folder, `""` the top."""
    found: dict[str, dict[SplitName, list[Path]]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in FORMATS and path.suffix != ".json"):
        inside = path.relative_to(folder)
        split = split_of_path(inside.as_posix())
        if split is not None:
            # default/train/0000.parquet: a folder named after a split is no configuration.
            config = "/".join(part for part in inside.parent.parts if split_of_path(part) is None)
            found.setdefault(config, {}).setdefault(split, []).append(path)
    return found


def _files(folder: Path, repo_id: str, config: str) -> dict[SplitName, list[Path]]:
    configs = {name: splits for name, splits in _splits(folder).items() if "train" in splits}
    if not configs:
        raise DataError(
            f"{repo_id} has no CSV, JSON lines or Parquet file with 'train' in its name; download it and give the file."
        )
    if not config:
        config = next(
            (name for name in _USUAL_CONFIGS if name in configs), next(iter(configs)) if len(configs) == 1 else "?"
        )
    if config not in configs:
        examples = ", ".join(f"{repo_id}/{name}" for name in sorted(configs)[:8])
        raise DataError(f"{repo_id} holds several datasets; choose one: {examples}.")
    return configs[config]
