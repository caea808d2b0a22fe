"""A dataset, ready to train on: found, read, held out, cleared of what stands in two splits, sampled, and told about."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError
from matinee.core.types import Dataset, Split
from matinee.data.overlap import EMPTY, text_digests
from matinee.data.reading import Pools, read_pools, read_with_labels
from matinee.data.sources import find
from matinee.data.split import (
    ROWS_FOR_ALL_PARTS,
    Partition,
    asked_size,
    block_holdout,
    group_holdout,
    random_holdout,
    stratified_sample,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.settings import DataSettings
    from matinee.core.types import SplitName
    from matinee.data.sources.found import Found

_log = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2
VALIDATION_PER_TRAIN = 0.2


@dataclass
class _Divided:
    """The three splits, and how they came about."""

    splits: dict[SplitName, Split]
    how: dict[str, str]
    dropped: Counter[str] = field(default_factory=Counter)


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
    found = find(settings)
    pools = read_pools(found, settings)
    divided = _divide(found, pools, settings)
    _drop_shared(divided)
    _sample_train(divided, settings, seed)
    _warn_of_rare(pools.label_names, divided.splits)
    dataset = Dataset(name=found.name, label_names=pools.label_names, splits=divided.splits)
    return dataset.with_about(**_about(found, pools, divided, settings, seed))


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


def fetch_dataset(name: str, settings: DataSettings | None = None) -> str:
    """Get a named dataset or one of the hub onto this machine; return where it came from.

    Raises:
        DataError: There is no such dataset.
        NotAvailableError: It could not be fetched.
    """
    from matinee.core.settings import DataSettings

    return find(settings or DataSettings(data=name)).source


def _own_holdout(found: Found, settings: DataSettings, label_names: Sequence[str], split: SplitName) -> Split:
    pools = read_pools(found, settings)
    unknown = sorted(set(pools.label_names) - set(label_names))
    if unknown:
        raise DataError(
            f"{found.name} has the labels {', '.join(unknown)}; the classifier knows {', '.join(label_names)}."
        )
    held_out = _divide(found, pools, settings).splits[split]
    index = np.array([list(label_names).index(name) for name in pools.label_names], dtype=np.int64)
    return Split(held_out.ids, held_out.texts, index[held_out.labels], held_out.groups)


# -- dividing ---------------------------------------------------------------------------------------------------------


def _divide(found: Found, pools: Pools, settings: DataSettings) -> _Divided:
    """Keep or subsample the dataset's own splits, and hold the others out of train."""
    pool, own = pools.splits["train"], pools.splits
    n_validation = 0 if "validation" in own else _validation_size(settings, pool)
    n_test = (
        0
        if "test" in own
        else _at_least_classes(asked_size(settings.test_size, len(pool), TEST_SHARE), settings.test_size, pool)
    )
    divided = _Divided({"train": pool}, {})
    if n_validation or n_test:
        partition, how = _hold_out(found, pool, n_validation, n_test, settings)
        divided = _parts(pool, partition, {"validation": n_validation, "test": n_test}, how)
    for number, (name, size) in enumerate((("validation", settings.validation_size), ("test", settings.test_size))):
        if name in own:
            divided.splits[name], divided.how[name] = _own_split(own[name], name, size, settings.split_seed, number)
    return divided


def _parts(pool: Split, partition: Partition, sizes: dict[SplitName, int], how: str) -> _Divided:
    parts = {"train": partition.train, "validation": partition.validation, "test": partition.test}
    wanted = ["train", *(name for name, n in sizes.items() if n)]
    splits: dict[SplitName, Split] = {name: pool.take(parts[name]) for name in wanted}
    divided = _Divided(splits, dict.fromkeys(wanted[1:], how))
    left_out = len(pool) - sum(len(split) for split in splits.values())
    if left_out:
        divided.dropped["next to a held-out block"] = left_out
    return divided


def _hold_out(
    found: Found, pool: Split, n_validation: int, n_test: int, settings: DataSettings
) -> tuple[Partition, str]:
    """Return the rows of each part and how they were chosen, in words."""
    seed = settings.split_seed
    if pool.groups is not None:
        column = settings.group_column
        return group_holdout(
            pool.labels, pool.groups, n_validation, n_test, seed
        ), f"whole groups of {column!r} from train"
    if found.gap:
        how = f"contiguous blocks of each label's rows of train, {found.gap} rows around them left out"
        return block_holdout(pool.labels, n_validation, n_test, seed, found.gap), how
    return random_holdout(pool.labels, n_validation, n_test, seed), "random rows of train, stratified"


def _own_split(split: Split, name: str, size: float | None, split_seed: int, number: int) -> tuple[Split, str]:
    """Return the dataset's own split, or a stratified sample of the asked size."""
    n = len(split) if size is None else asked_size(size, len(split), 1)
    if n == len(split):
        return split, "the dataset's own split"
    flag = f"--{name}-size"
    if n > len(split):
        raise DataError(f"{flag} {n:,} is larger than the dataset's own {name} split of {len(split):,} texts.")
    try:
        rows = stratified_sample(split.labels, n, np.random.default_rng([split_seed, 4 + number]))
    except DataError as error:
        raise DataError(f"{flag}: {error}") from error
    return split.take(rows), "a stratified sample of the dataset's own split"


def _validation_size(settings: DataSettings, pool: Split) -> int:
    if settings.validation_size is None and isinstance(settings.train_size, int):
        n = max(1, round(VALIDATION_PER_TRAIN * settings.train_size))
    else:
        n = asked_size(settings.validation_size, len(pool), VALIDATION_SHARE)
    return _at_least_classes(n, settings.validation_size, pool)


def _at_least_classes(n: int, asked: float | None, pool: Split) -> int:
    """Return `n`, or the number of classes where that is more and the user asked for no size."""
    n_classes = int((np.bincount(pool.labels) >= ROWS_FOR_ALL_PARTS).sum())
    return max(n, n_classes) if asked is None else n


# -- dropping and sampling --------------------------------------------------------------------------------------------


def _drop_shared(divided: _Divided) -> None:
    """Drop from train what stands in a held-out split or is empty, and from validation what stands in test."""
    splits, dropped = divided.splits, divided.dropped
    test = set(text_digests(splits["test"].texts, "test texts")) - {EMPTY}
    validation = list(text_digests(splits["validation"].texts, "validation texts"))
    keep = [row for row, digest in enumerate(validation) if digest not in test]
    _keep(divided, "validation", keep, "validation text also in test")
    held_out = test | (set(validation) - {EMPTY})
    keep, n_empty = [], 0
    for row, digest in enumerate(text_digests(splits["train"].texts, "training texts")):
        n_empty += digest == EMPTY
        if digest != EMPTY and digest not in held_out:
            keep.append(row)
    if n_empty:
        dropped["empty training text"] += n_empty
    _keep(divided, "train", keep, "training text also in validation or test", already=n_empty)
    _drop_shared_groups(divided)


def _drop_shared_groups(divided: _Divided) -> None:
    """Drop from train the groups that stand in a held-out split of the dataset's own."""
    train = divided.splits["train"]
    if train.groups is None:
        return
    held_out = {group for name in ("validation", "test") for group in divided.splits[name].groups or ()}
    keep = [row for row, group in enumerate(train.groups) if group not in held_out]
    _keep(divided, "train", keep, "training text of a group in validation or test")


def _keep(divided: _Divided, name: SplitName, rows: list[int], reason: str, already: int = 0) -> None:
    n_dropped = len(divided.splits[name]) - len(rows) - already
    if n_dropped:
        divided.dropped[reason] += n_dropped
    if n_dropped + already:
        divided.splits[name] = divided.splits[name].take(rows)


def _sample_train(divided: _Divided, settings: DataSettings, seed: int) -> None:
    """Sample exactly the asked number of training texts, stratified."""
    train = divided.splits["train"]
    if len(np.unique(train.labels)) < 2:
        raise DataError(
            f"After the hold-outs train holds {len(train):,} texts of a single class; "
            "give more data, or smaller --test-size and --validation-size."
        )
    if settings.train_size is None:
        return
    n = asked_size(settings.train_size, len(train), 1)
    if n > len(train):
        raise DataError(
            f"--train-size {n:,} is larger than the data: {len(train):,} texts are left after "
            f"{len(divided.splits['validation']):,} for validation and {len(divided.splits['test']):,} for test."
        )
    try:
        rows = stratified_sample(train.labels, n, np.random.default_rng([seed, 7]))
    except DataError as error:
        raise DataError(f"--train-size: {error}") from error
    divided.splits["train"] = train.take(rows)


def _warn_of_rare(label_names: Sequence[str], splits: dict[SplitName, Split]) -> None:
    for name, split in splits.items():
        counts = np.bincount(split.labels, minlength=len(label_names))
        absent = [label for label, count in zip(label_names, counts, strict=True) if count == 0]
        if absent:
            _log.warning("No %s text has the label %s: too few rows have it.", name, ", ".join(map(repr, absent[:10])))


# -- telling ----------------------------------------------------------------------------------------------------------


def _about(found: Found, pools: Pools, divided: _Divided, settings: DataSettings, seed: int) -> dict[str, Any]:
    columns = pools.columns
    return {
        "name": found.name,
        "source": found.source,
        "files": _files(found),
        "columns": {"text": columns.text, "label": columns.label, "group": columns.group},
        "label_names": list(pools.label_names),
        "rows_read": {name: len(split) for name, split in pools.splits.items()},
        "splits": {name: _about_split(split, pools.label_names) for name, split in divided.splits.items()},
        "held_out": divided.how,
        "dropped": dict(sorted((pools.dropped + divided.dropped).items())),
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
