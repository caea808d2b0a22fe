"""Hold-outs and samples: pure functions of labels, groups and a seed. They return row numbers, in ascending order.

Every class with three rows or more gets a row in every part; rarer ones stay in train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

# Below this many rows a class cannot be in train, validation and test.
ROWS_FOR_ALL_PARTS = 3


@dataclass(frozen=True)
class Partition:
    """Rows of each part, shape (n_rows_of_the_part,) each; rows in none of them were left out on purpose."""

    train: Rows
    validation: Rows
    test: Rows


def asked_size(size: int | float | None, n_rows: int, default: float) -> int:
    """Return how many rows a size means: a count as it is, a fraction of `n_rows`, `default` where it is None; at least 1."""
    if isinstance(size, int):
        return size
    return max(1, round((default if size is None else size) * n_rows))


def stratified_sample(labels: Rows, n: int, rng: np.random.Generator) -> Rows:
    """Return exactly `n` random rows in which every class has its share, and at least one row.

    Raises:
        DataError: `n` is larger than the data, or smaller than the number of classes.
    """
    counts = np.bincount(labels)
    shares = allocate(counts, n, low=np.minimum(counts, 1), high=counts)
    return _joined([rng.permutation(np.flatnonzero(labels == label))[:share] for label, share in enumerate(shares)])


def random_holdout(labels: Rows, n_validation: int, n_test: int, split_seed: int) -> Partition:
    """Hold out random rows, stratified: exactly `n_test` and `n_validation` (0 holds out none).

    Raises:
        DataError: The data is too small for the sizes.
    """
    rng = np.random.default_rng([split_seed, 1])
    per_test, per_validation = _shares(labels, n_validation, n_test)
    order = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(per_test))]
    return Partition(
        test=_joined([rows[:t] for rows, t in zip(order, per_test, strict=True)]),
        validation=_joined([rows[t : t + v] for rows, t, v in zip(order, per_test, per_validation, strict=True)]),
        train=_joined([rows[t + v :] for rows, t, v in zip(order, per_test, per_validation, strict=True)]),
    )


def block_holdout(labels: Rows, n_validation: int, n_test: int, split_seed: int, gap: int) -> Partition:
    """Hold out contiguous blocks of each label's rows, for data whose neighbouring rows are alike.

    Of each label the last rows are the test block; before it come `gap` rows that no part gets, the validation block,
    and another gap. Seeds other than 0 first rotate the rows; then the two ends, neighbours in truth, get a gap too.

    Args:
        labels: Label indices, shape (n_rows,), in the source's order.
        n_validation: Rows of the validation blocks together; 0 for none.
        n_test: Rows of the test blocks together; 0 for none.
        split_seed: Seed of the rotation.
        gap: Rows within which two rows may be alike.

    Raises:
        DataError: The data is too small for the sizes and gaps.
    """
    n_gaps = (n_test > 0) + (n_validation > 0) + (split_seed > 0)
    per_test, per_validation = _shares(labels, n_validation, n_test, spare=gap * n_gaps)
    parts: dict[str, list[Rows]] = {"train": [], "validation": [], "test": []}
    for label, (t, v) in enumerate(zip(per_test, per_validation, strict=True)):
        rows = np.flatnonzero(labels == label)
        if split_seed > 0 and t + v > 0:
            rows = np.roll(rows, np.random.default_rng([split_seed, 2, label]).integers(len(rows)))[gap:]
        for part, n in (("test", t), ("validation", v)):
            cut = len(rows) - n
            parts[part].append(rows[cut:])
            rows = rows[: max(0, cut - gap)] if n else rows
        parts["train"].append(rows)
    return Partition(**{part: _joined(rows) for part, rows in parts.items()})


def group_holdout(labels: Rows, groups: Sequence[str], n_validation: int, n_test: int, split_seed: int) -> Partition:
    """Hold out whole groups: about as many rows as asked, about stratified.

    Groups are taken in random order, each where it brings the counts per class nearer to what was asked.

    Args:
        labels: Label indices, shape (n_rows,).
        groups: Group name of each row.
        n_validation: Rows wanted in validation; 0 for none.
        n_test: Rows wanted in test; 0 for none.
        split_seed: Seed of the order.

    Raises:
        DataError: There are too few groups, or the sizes are larger than the data.
    """
    names, inverse = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    n_parts = 1 + (n_validation > 0) + (n_test > 0)
    if len(names) < n_parts:
        raise DataError(
            f"The group column has {len(names)} different values, and {n_parts} splits need at least {n_parts}."
        )
    if n_validation + n_test >= len(labels):
        raise DataError(
            f"{n_test:,} test and {n_validation:,} validation texts are more than the {len(labels):,} rows can spare."
        )
    counts = np.zeros((len(names), int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (inverse, labels), 1)
    order = np.random.default_rng([split_seed, 3]).permutation(len(names))
    test = _pick_groups(counts, order, n_test, keep=n_parts - 1)
    order = order[~np.isin(order, test)]
    validation = _pick_groups(counts, order, n_validation, keep=1)
    in_test, in_validation = np.isin(inverse, test), np.isin(inverse, validation)
    return Partition(
        train=np.flatnonzero(~in_test & ~in_validation),
        validation=np.flatnonzero(in_validation),
        test=np.flatnonzero(in_test),
    )


def _pick_groups(counts: NDArray[np.int64], order: Rows, n: int, keep: int) -> Rows:
    """Return groups with about `n` rows in about the proportions of all; at least one, all but `keep` at most."""
    if n == 0:
        return np.array([], dtype=np.int64)
    missing = n * counts.sum(axis=0) / counts.sum()
    picked: list[int] = []
    for group in order:
        if len(picked) == len(order) - keep:
            break
        if np.abs(missing - counts[group]).sum() < np.abs(missing).sum():
            picked.append(int(group))
            missing = missing - counts[group]
    if not picked:
        picked = [int(order[np.abs(missing - counts[order]).sum(axis=1).argmin()])]
    return np.array(picked, dtype=np.int64)


def allocate(counts: Rows, n: int, low: Rows, high: Rows) -> Rows:
    """Return how many of `n` each class gets: its share by largest remainder, within `low` and `high`.

    Args:
        counts: Rows of each class, shape (n_labels,).
        n: Rows to give out; the result sums to it.
        low: Fewest rows of each class.
        high: Most rows of each class.

    Raises:
        DataError: No such numbers exist.
    """
    if n > high.sum():
        raise DataError(f"{n:,} texts were asked for, but only {high.sum():,} of {counts.sum():,} can be had.")
    if n < low.sum():
        raise DataError(
            f"{n:,} texts were asked for, but every one of {int((low > 0).sum()):,} classes needs at least one."
        )
    shares, free = low.copy(), high > 0
    while free.any():
        quota = (n - shares[~free].sum()) * counts / counts[free].sum()
        over, under = np.where(free, quota - high, 0).clip(0), np.where(free, low - quota, 0).clip(0)
        if over.sum() == under.sum() == 0:
            return _largest_remainder(shares, quota, free, n)
        # Where classes hit both bounds, those that hit the harder side keep it whatever the others do.
        bound, hit = (high, over > 0) if over.sum() >= under.sum() else (low, under > 0)
        shares, free = np.where(hit, bound, shares), free & ~hit
    return shares


def _largest_remainder(shares: Rows, quota: NDArray[np.float64], free: NDArray[np.bool_], n: int) -> Rows:
    # Sums of fractions may fall a hair short of a whole number.
    whole = np.floor(quota + 1e-9).astype(np.int64)
    shares = np.where(free, whole, shares)
    remainder = np.where(free, quota - whole, -1.0)
    shares[np.argsort(-remainder, kind="stable")[: n - shares.sum()]] += 1
    return shares


def _shares(labels: Rows, n_validation: int, n_test: int, spare: int = 0) -> tuple[Rows, Rows]:
    """Return rows of each class in test and in validation; `spare` rows of each class must stay besides."""
    counts = np.bincount(labels)
    common = (counts >= ROWS_FOR_ALL_PARTS).astype(np.int64)
    per_test = per_validation = np.zeros_like(counts)
    try:
        if n_test:
            most = (counts - spare - 1 - (n_validation > 0)).clip(0) * common
            per_test = allocate(counts, n_test, low=np.minimum(common, most), high=most)
        if n_validation:
            most = (counts - per_test - spare - 1).clip(0) * common
            per_validation = allocate(counts, n_validation, low=np.minimum(common, most), high=most)
    except DataError as error:
        sizes = {"test": n_test, "validation": n_validation}
        asked = " and ".join(f"{n:,} {name}" for name, n in sizes.items() if n)
        raise DataError(f"{asked} texts cannot be held out of {len(labels):,} rows: {error}") from error
    return per_test, per_validation


def _joined(parts: list[Rows]) -> Rows:
    return np.sort(np.concatenate([np.array([], dtype=np.int64), *parts]))
