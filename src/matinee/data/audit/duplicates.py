"""Texts that stand in a dataset more than once: inside a split, in two splits, and with different labels.

Texts count as the same where `matinee.core.text.same_text_key` says so: cleaned, and capitals aside.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from matinee.data.audit.findings import Finding, texts_that
from matinee.data.audit.rows import NO_LABEL
from matinee.data.overlap import EMPTY, text_digests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from matinee.data.audit.rows import Rows

# The group of texts with nothing in them: they are no copies of one another.
NO_TEXT = -1

_EXAMPLES = 5


def group_same(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return for each text the number of the first one that is the same, `NO_TEXT` where it is empty; shape (n_texts,)."""
    first: dict[bytes, int] = {EMPTY: NO_TEXT}
    digests = text_digests(texts, "Comparing texts")
    return np.fromiter((first.setdefault(digest, row) for row, digest in enumerate(digests)), np.int64, len(texts))


def duplicate_findings(rows: Rows, groups: NDArray[np.int64]) -> list[Finding]:
    """Return what stands more than once.

    Args:
        rows: What is audited.
        groups: What `group_same` says of it.
    """
    found = [_inside(rows, groups), _across(rows, groups), _conflicts(rows, groups)]
    return [finding for finding in found if finding is not None]


def repeats(rows: Rows, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows whose text stands in their own split already, above them."""
    keys = groups * len(rows.split_names) + rows.splits
    first = np.unique(keys, return_index=True)[1]
    repeated = groups != NO_TEXT
    repeated[first] = False
    return np.flatnonzero(repeated)


def conflicting(rows: Rows, groups: NDArray[np.int64], *, within_split: bool = False) -> list[list[int]]:
    """Return the rows of each text that stands with two labels; rows without a label play no part.

    Args:
        rows: What is audited.
        groups: Which texts are the same.
        within_split: Only count labels of one split against each other.
    """
    labelled = (groups != NO_TEXT) & (rows.labels != NO_LABEL)
    keys = groups * len(rows.split_names) + rows.splits if within_split else groups
    return [
        members.tolist()
        for members in _groups(np.flatnonzero(labelled), keys)
        if len(set(rows.labels[members].tolist())) > 1
    ]


def _groups(among: NDArray[np.int64], keys: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each key that stands more than once, in the order of their first rows."""
    order = among[np.argsort(keys[among], kind="stable")]
    starts = np.flatnonzero(np.diff(keys[order], prepend=NO_TEXT - 1))
    members = [part for part in np.split(order, starts[1:]) if len(part) > 1]
    return iter(sorted(members, key=lambda part: int(part[0])))


def _inside(rows: Rows, groups: NDArray[np.int64]) -> Finding | None:
    again = repeats(rows, groups).tolist()
    if not again:
        return None
    earlier = {(int(groups[row]), int(rows.splits[row])): row for row in range(len(rows) - 1, -1, -1)}
    examples = [
        rows.example(row, same_as=rows.name(earlier[int(groups[row]), int(rows.splits[row])]))
        for row in again[:_EXAMPLES]
    ]
    where = "" if len(rows.split_names) == 1 else " of the same split"
    title = texts_that(len(again), f"repeats an earlier one{where}", f"repeat an earlier one{where}")
    return Finding("A201", "warning", title, len(again), len(rows), again, examples)


def _across(rows: Rows, groups: NDArray[np.int64]) -> Finding | None:
    """Find texts that stand in two splits; each text counts once, however often it stands in either."""
    if len(rows.split_names) < 2:
        return None
    standing = [set(groups[rows.splits == split].tolist()) - {NO_TEXT} for split in range(len(rows.split_names))]
    shared = {pair: standing[pair[0]] & standing[pair[1]] for pair in combinations(range(len(standing)), 2)}
    texts = set().union(*shared.values())
    if not texts:
        return None
    names = rows.split_names
    pairs = ", ".join(f"{len(both):,} in {names[a]} and {names[b]}" for (a, b), both in shared.items() if both)
    concerned = np.flatnonzero(np.isin(groups, list(texts))).tolist()
    examples = []
    for first in sorted(texts)[:_EXAMPLES]:
        copies = np.flatnonzero(groups == first).tolist()
        other = next(row for row in copies if rows.splits[row] != rows.splits[copies[0]])
        examples.append(rows.example(copies[0], same_as=rows.name(other)))
    title = f"{texts_that(len(texts), 'stands', 'stand')} in two splits ({pairs})"
    return Finding("A202", "error", title, len(texts), len(rows), concerned, examples)


def _conflicts(rows: Rows, groups: NDArray[np.int64]) -> Finding | None:
    """Find texts that stand with two labels, in any splits; each text counts once."""
    texts = conflicting(rows, groups)
    if not texts:
        return None
    examples = []
    for copies in texts[:_EXAMPLES]:
        other = next(row for row in copies if rows.labels[row] != rows.labels[copies[0]])
        examples.append(rows.example(copies[0], same_as=rows.name(other)))
    title = texts_that(len(texts), "stands with different labels", "stand with different labels")
    return Finding("A203", "error", title, len(texts), len(rows), [row for copies in texts for row in copies], examples)
