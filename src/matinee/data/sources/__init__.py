"""Where datasets come from. A new named dataset is one file here and one line in `DATASETS`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from matinee.core.errors import DataError, did_you_mean
from matinee.data.sources.files import find_files, holds_splits, looks_like_path, names_beside
from matinee.data.sources.hub import find_hub_dataset, is_hub_id
from matinee.data.sources.imdb import IMDB
from matinee.data.sources.rotten_tomatoes import ROTTEN_TOMATOES

if TYPE_CHECKING:
    from matinee.core.settings import DataSettings
    from matinee.data.sources.found import Found

_log = logging.getLogger(__name__)

DATASETS = {dataset.name: dataset for dataset in (IMDB, ROTTEN_TOMATOES)}


def find(settings: DataSettings) -> Found:
    """Return the dataset that `settings.data` names, opened but not read.

    A folder with a train file comes before a dataset that matinee knows by the folder's name; then come the named
    datasets, then files and folders, then the hub.

    Raises:
        DataError: There is no such dataset.
        NotAvailableError: It could not be fetched.
    """
    name = settings.data
    if name is None:
        raise DataError(f"No dataset given: name one of {', '.join(DATASETS)}, a file, a folder, or a hub id.")
    found = _find(name, settings.encoding)
    _log.info("Dataset %s: from %s.", name, found.source)
    return found


def fetch(name: str) -> Found:
    """Return a named dataset or one of the hub, brought onto this machine if it is not here.

    Raises:
        DataError: The name is neither's.
        NotAvailableError: It could not be fetched.
    """
    if name in DATASETS:
        return DATASETS[name].find()
    if is_hub_id(name):
        return find_hub_dataset(name, "utf-8")
    raise DataError(
        f"Nothing to fetch by the name of {name!r}.{did_you_mean(name, DATASETS)} Known: {', '.join(DATASETS)}; "
        "or give a hub id such as user/name."
    )


def _find(name: str, encoding: str) -> Found:
    path = Path(name).expanduser()
    if name in DATASETS:
        if not holds_splits(path):
            return DATASETS[name].find()
        _log.warning("The folder %s here is read, not the dataset that matinee knows by that name.", name)
    if path.exists() or looks_like_path(name):
        return find_files(name, encoding)
    if is_hub_id(name):
        return find_hub_dataset(name, encoding)
    near = did_you_mean(name, [*DATASETS, *names_beside(path)])
    raise DataError(
        f"Unknown dataset {name!r}.{near} Known: {', '.join(DATASETS)}; or give a file (.csv, .tsv, .jsonl, .parquet), "
        "a folder, or a hub id such as user/name."
    )
