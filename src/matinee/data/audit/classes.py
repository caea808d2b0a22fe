"""Classes: how many rows each has, and which are too rare, too common, missing or written in two ways."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.data.audit.findings import Finding, texts_that
from matinee.data.audit.rows import NO_LABEL
from matinee.data.split import ROWS_FOR_ALL_PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.data.audit.rows import Rows

# Below this a class has at most 2 rows to validate on and 4 to test on, with the usual shares.
FEW_ROWS = 20

# The largest class over the smallest from which accuracy misleads: 80 % to 20 % of two classes.
_IMBALANCE = 4.0

_EXAMPLES = 5

# Between two words; the minus of -1 is none.
_JOINTS = re.compile(r"(?<=\w)[-_\s]+(?=\w)")


def class_table(rows: Rows) -> dict[str, Any]:
    """Return the rows of each class, by split and in all, as plain values."""
    counts = np.array([_counts(rows, rows.splits == split) for split in range(len(rows.split_names))])
    total = counts.sum(axis=0)
    labelled = int(total.sum())
    present = total[total > 0]
    return {
        "labels": [
            {
                "label": name,
                "n": int(total[index]),
                "share": total[index] / labelled if labelled else None,
                "splits": dict(zip(rows.split_names, counts[:, index].tolist(), strict=True)),
            }
            for index, name in enumerate(rows.label_names)
        ],
        "unlabelled": len(rows) - labelled,
        "majority_share": float(present.max() / labelled) if labelled else None,
        "imbalance": float(present.max() / present.min()) if labelled else None,
    }


def class_findings(rows: Rows) -> list[Finding]:
    """Return what is wrong with labels and classes; nothing where no row has a label."""
    counts = _counts(rows)
    if not counts.any():
        return []
    found = [
        _missing(rows),
        _few_rows(rows, counts),
        _imbalance(rows, counts),
        _train_lacks(rows),
        _alike(rows, counts),
    ]
    return [finding for finding in found if finding is not None]


def _counts(rows: Rows, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    labels = rows.labels if among is None else rows.labels[among]
    return np.bincount(labels[labels != NO_LABEL], minlength=len(rows.label_names))


def _missing(rows: Rows) -> Finding | None:
    missing = np.flatnonzero(rows.labels == NO_LABEL).tolist()
    if not missing:
        return None
    return Finding(
        "A101",
        "warning",
        texts_that(len(missing), "has no label", "have no label"),
        len(missing),
        len(rows),
        missing,
        [rows.example(row) for row in missing[:_EXAMPLES]],
    )


def _few_rows(rows: Rows, counts: NDArray[np.int64]) -> Finding | None:
    """Find classes too small to be learned or scored."""
    few = [label for label in np.argsort(counts, kind="stable").tolist() if 0 < counts[label] < FEW_ROWS]
    if not few:
        return None
    concerned = np.flatnonzero(np.isin(rows.labels, few)).tolist()
    rarest = int(counts[few].min())
    named = _listed([f"{rows.label_names[label]!r} ({counts[label]:,})" for label in few])
    return Finding(
        "A104",
        "error" if rarest < ROWS_FOR_ALL_PARTS else "warning",
        f"{len(few):,} {'class has' if len(few) == 1 else 'classes have'} fewer than {FEW_ROWS} texts: {named}",
        len(concerned),
        len(rows),
        concerned,
        [rows.example(int(np.flatnonzero(rows.labels == label)[0])) for label in few[:_EXAMPLES]],
    )


def _imbalance(rows: Rows, counts: NDArray[np.int64]) -> Finding | None:
    present = np.flatnonzero(counts)
    largest, smallest = present[counts[present].argmax()], present[counts[present].argmin()]
    ratio = counts[largest] / counts[smallest]
    if ratio < _IMBALANCE:
        return None
    share = counts[largest] / counts.sum()
    return Finding(
        "A105",
        "warning",
        f"Class {rows.label_names[largest]!r} has {share:.0%} of the texts, {ratio:,.1f} times as many as "
        f"{rows.label_names[smallest]!r}",
        int(counts[largest]),
        len(rows),
    )


def _train_lacks(rows: Rows) -> Finding | None:
    """Find labels that stand in a held-out split alone."""
    if "train" not in rows.split_names:
        return None
    in_train = rows.splits == rows.split_names.index("train")
    learned = _counts(rows, in_train) > 0
    alone = np.flatnonzero((_counts(rows) > 0) & ~learned)
    if not len(alone):
        return None
    concerned = np.flatnonzero(np.isin(rows.labels, alone)).tolist()
    named = _listed([repr(rows.label_names[label]) for label in alone])
    return Finding(
        "A106",
        "error",
        f"{texts_that(len(concerned), 'has', 'have')} a label that train lacks: {named}",
        len(concerned),
        len(rows),
        concerned,
        [rows.example(row) for row in concerned[:_EXAMPLES]],
    )


def _alike(rows: Rows, counts: NDArray[np.int64]) -> Finding | None:
    """Find labels that differ in capitals, or in what joins their words, alone."""
    spelled: dict[str, list[int]] = {}
    for label in np.flatnonzero(counts).tolist():
        spelled.setdefault(_JOINTS.sub(" ", rows.label_names[label].casefold()), []).append(label)
    alike = [labels for labels in spelled.values() if len(labels) > 1]
    if not alike:
        return None
    concerned = [row for labels in alike for row in np.flatnonzero(np.isin(rows.labels, labels)).tolist()]
    named = "; ".join(" and ".join(repr(rows.label_names[label]) for label in labels) for labels in alike[:_EXAMPLES])
    return Finding("A107", "warning", f"Labels that look the same: {named}", len(concerned), len(rows), concerned)


def _listed(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
