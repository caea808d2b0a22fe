"""Three splits of a dataset that has been read: its own are kept, the others are held out of train."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.errors import DataError
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
    from matinee.core.settings import DataSettings
    from matinee.core.types import Split, SplitName
    from matinee.data.reading import Pools
    from matinee.data.sources.found import Found

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2
VALIDATION_PER_TRAIN = 0.2


@dataclass(frozen=True)
class Origin:
    """Where a held-out split comes from.

    Attributes:
        words: How it was chosen, for `data.json`.
        absent: Why a label may be missing from it, as the end of a sentence.
        own: Whether the dataset came with it.
    """

    words: str
    absent: str
    own: bool = False


@dataclass
class Division:
    """The three splits, how they came about, and how many texts were left out on the way, by reason."""

    splits: dict[SplitName, Split]
    origins: dict[SplitName, Origin]
    dropped: Counter[str] = field(default_factory=Counter)


def divide(found: Found, pools: Pools, settings: DataSettings) -> Division:
    """Keep or subsample the dataset's own splits, and hold the others out of train.

    Raises:
        DataError: A size is larger than the data can spare.
    """
    pool, own = pools.splits["train"], pools.splits
    if isinstance(settings.train_size, int) and settings.train_size > len(pool):
        raise DataError(f"--train-size {settings.train_size:,} is larger than the data: there are {len(pool):,} rows.")
    n_validation = 0 if "validation" in own else _validation_size(settings, pool)
    n_test = 0 if "test" in own else _test_size(settings, pool)
    division = Division({"train": pool}, {})
    if n_validation or n_test:
        partition, origin = _hold_out(found, pool, n_validation, n_test, settings)
        division = _parts(pool, partition, {"validation": n_validation, "test": n_test}, origin)
    sizes: dict[SplitName, float | None] = {"validation": settings.validation_size, "test": settings.test_size}
    for number, (name, size) in enumerate(sizes.items()):
        if name in own:
            division.splits[name], division.origins[name] = _own_split(
                own[name], name, size, settings.split_seed, number
            )
    return division


def hold_out_validation(whole: Split, settings: DataSettings, seed: int) -> tuple[Split, Split]:
    """Hold random texts out of a split to choose the best epoch by, as many as `load_dataset` would.

    Args:
        whole: What there is to learn from.
        settings: `validation_size`; where it is None, a tenth of the texts, and at least one of each class of three.
        seed: Seed of the choice.

    Returns:
        The train and the validation split, stratified.

    Raises:
        DataError: There are too few texts, or fewer than `validation_size` needs.
    """
    if not (np.bincount(whole.labels) >= ROWS_FOR_ALL_PARTS).any():
        raise DataError(
            f"{len(whole):,} texts are too few to hold some out for validation: no class has "
            f"{ROWS_FOR_ALL_PARTS} of them; give more."
        )
    rows = random_holdout(whole.labels, _validation_size(settings, whole), 0, seed)
    return whole.take(rows.train), whole.take(rows.validation)


def _parts(pool: Split, partition: Partition, sizes: dict[SplitName, int], origin: Origin) -> Division:
    parts = {"train": partition.train, "validation": partition.validation, "test": partition.test}
    held_out: list[SplitName] = [name for name, n in sizes.items() if n]
    splits: dict[SplitName, Split] = {name: pool.take(parts[name]) for name in ("train", *held_out)}
    division = Division(splits, dict.fromkeys(held_out, origin))
    left_out = len(pool) - sum(len(split) for split in splits.values())
    if left_out:
        division.dropped["next to a held-out block"] = left_out
    return division


def _hold_out(
    found: Found, pool: Split, n_validation: int, n_test: int, settings: DataSettings
) -> tuple[Partition, Origin]:
    """Return the rows of each part and how they were chosen."""
    seed, rare = settings.split_seed, "too few rows have it"
    if pool.groups is not None:
        partition = group_holdout(pool.labels, pool.groups, n_validation, n_test, seed)
        words = f"whole groups of {settings.group_column!r} from train"
        return partition, Origin(words, "all groups that have it are in other splits")
    if found.gap:
        words = f"contiguous blocks of each label's rows of train, {found.gap} rows around them left out"
        return block_holdout(pool.labels, n_validation, n_test, seed, found.gap), Origin(words, rare)
    words = "random rows of train, stratified"
    return random_holdout(pool.labels, n_validation, n_test, seed), Origin(words, rare)


def _own_split(split: Split, name: str, size: float | None, split_seed: int, number: int) -> tuple[Split, Origin]:
    """Return the dataset's own split, or a stratified sample of the asked size."""
    absent = f"the dataset's own {name} split has none"
    n = len(split) if size is None else asked_size(size, len(split), 1)
    if n == len(split):
        return split, Origin("the dataset's own split", absent, own=True)
    flag = f"--{name}-size"
    if n > len(split):
        raise DataError(f"{flag} {n:,} is larger than the dataset's own {name} split of {len(split):,} texts.")
    try:
        rows = stratified_sample(split.labels, n, np.random.default_rng([split_seed, 4 + number]))
    except DataError as error:
        raise DataError(f"{flag}: {error}") from error
    return split.take(rows), Origin("a stratified sample of the dataset's own split", absent, own=True)


def _validation_size(settings: DataSettings, pool: Split) -> int:
    if settings.validation_size is None and isinstance(settings.train_size, int):
        n = max(1, round(VALIDATION_PER_TRAIN * settings.train_size))
    else:
        n = asked_size(settings.validation_size, len(pool), VALIDATION_SHARE)
    return _at_least_classes(n, settings.validation_size, pool)


def _test_size(settings: DataSettings, pool: Split) -> int:
    return _at_least_classes(asked_size(settings.test_size, len(pool), TEST_SHARE), settings.test_size, pool)


def _at_least_classes(n: int, asked: float | None, pool: Split) -> int:
    """Return `n`, or the number of classes where that is more and the user asked for no size."""
    n_classes = int((np.bincount(pool.labels) >= ROWS_FOR_ALL_PARTS).sum())
    return max(n, n_classes) if asked is None else n
