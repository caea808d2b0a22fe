"""Splits that share nothing: texts, or groups, that stand in two are dropped from the one that matters less.

Test keeps all it has, validation loses what stands in test, train loses what stands in either, and empty texts.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matinee.core.errors import DataError
from matinee.data.overlap import EMPTY, text_digests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Split, SplitName
    from matinee.data.division import Division
    from matinee.data.sources.found import Found

_log = logging.getLogger(__name__)


class _Reason(NamedTuple):
    """Why texts are dropped: as `data.json` counts them, and as the end of "all texts of the … split"."""

    counted: str
    said: str


_TEXT_IN_TEST = _Reason("validation text also in test", "stand in test too")
_GROUP_IN_TEST = _Reason("validation text of a group in test", "are of groups in test")
_EMPTY = _Reason("empty training text", "are empty")
_TEXT_HELD_OUT = _Reason("training text also in validation or test", "stand in validation or test too")
_GROUP_HELD_OUT = _Reason("training text of a group in validation or test", "are of groups in validation or test")


def drop_shared(division: Division, found: Found, label_names: Sequence[str], *, spare_train: bool = False) -> None:
    """Drop from validation what stands in test, and from train what stands in either or is empty.

    Args:
        division: The three splits; changed in place.
        found: Where they come from, for messages.
        label_names: Name of each label index.
        spare_train: Leave train as it is, for who wants the hold-outs alone.

    Raises:
        DataError: Nothing is left of a split, or of a label of train or of the dataset's own validation split.
    """
    in_test = _digests(division.splits["test"], "test")
    _drop_from_validation(division, in_test, found, label_names)
    if not spare_train:
        held_out = in_test | _digests(division.splits["validation"], "validation")
        _drop_from_train(division, held_out, found, label_names)


def _digests(split: Split, name: str) -> set[bytes]:
    return set(text_digests(split.texts, f"Comparing {name} texts")) - {EMPTY}


def _drop_from_validation(division: Division, in_test: set[bytes], found: Found, label_names: Sequence[str]) -> None:
    validation, test = division.splits["validation"], division.splits["test"]
    digests = text_digests(validation.texts, "Comparing validation texts")
    reasons = {
        _TEXT_IN_TEST: _mask(digest in in_test for digest in digests),
        _GROUP_IN_TEST: _of_groups(validation, [test]),
    }
    lost = _drop(division, "validation", reasons, label_names)
    own = division.origins["validation"].own
    if lost and (own or not len(division.splits["validation"])):
        raise DataError(f"{found.name}: {lost}: {_validation_remedy(found, own=own)}.")
    if lost:
        # Our own hold-out: an epoch can be chosen without a rare class, and no file is at fault.
        _log.warning("%s: %s.", found.name, lost)


def _drop_from_train(division: Division, held_out: set[bytes], found: Found, label_names: Sequence[str]) -> None:
    train = division.splits["train"]
    others = [division.splits["validation"], division.splits["test"]]
    digests = list(text_digests(train.texts, "Comparing training texts"))
    reasons = {
        _EMPTY: _mask(digest == EMPTY for digest in digests),
        _TEXT_HELD_OUT: _mask(digest in held_out for digest in digests),
        _GROUP_HELD_OUT: _of_groups(train, others),
    }
    lost = _drop(division, "train", reasons, label_names)
    if lost:
        raise DataError(f"{found.name}: {lost}: {_train_remedy(division, found)}.")


def _drop(
    division: Division, name: SplitName, reasons: dict[_Reason, NDArray[np.bool_]], label_names: Sequence[str]
) -> str | None:
    """Drop the rows of a split for which a reason holds, each counted under the first; return what was lost whole, in words."""
    split = division.splits[name]
    gone, held = np.zeros(len(split), dtype=bool), []
    for reason, holds in reasons.items():
        first = holds & ~gone
        if first.any():
            division.dropped[reason.counted] += int(first.sum())
            held.append(reason.said)
        gone |= holds
    if gone.any():
        division.splits[name] = split.take(np.flatnonzero(~gone))
    return _lost(split, gone, name, label_names, " or ".join(held))


def _lost(split: Split, gone: NDArray[np.bool_], name: str, label_names: Sequence[str], said: str) -> str | None:
    """Return which labels, or whether all texts, of a split are gone, and why; None where something of each is left."""
    if gone.all() and len(split):
        return f"all {_count(len(split))}texts of the {name} split {said}"
    before = np.bincount(split.labels, minlength=len(label_names))
    after = np.bincount(split.labels[~gone], minlength=len(label_names))
    lost = np.flatnonzero((before > 0) & (after == 0)).tolist()
    if not lost:
        return None
    names = ", ".join(repr(label_names[label]) for label in lost[:10])
    what = "label" if len(lost) == 1 else "labels"
    return f"all {_count(before[lost].sum())}texts with the {what} {names} of the {name} split {said}"


def _count(n: int) -> str:
    return f"{n:,} " if n > 1 else ""


def _validation_remedy(found: Found, *, own: bool) -> str:
    if not own:
        return "remove the repeated texts, or ask for a larger --validation-size"
    if found.source != "file":
        return "give a copy of the dataset without that split, so that one is held out of train"
    return f"give another, or remove {_files(found, ['validation'])} so that one is held out of train"


def _train_remedy(division: Division, found: Found) -> str:
    own: list[SplitName] = [name for name, origin in division.origins.items() if origin.own]
    if not own or found.source != "file":
        return "give more data, or remove the repeated texts"
    what = "they are" if len(own) > 1 else "it is"
    return f"give other texts to train on, or remove {_files(found, own)} so that {what} held out of train"


def _files(found: Found, names: Sequence[SplitName]) -> str:
    paths = [table.path.name for name in names for table in found.tables[name]]
    return " and ".join(paths) if len(paths) < 4 else f"the {' and '.join(names)} files"


def _of_groups(split: Split, others: Sequence[Split]) -> NDArray[np.bool_]:
    """Return which rows are of a group that stands in one of the others, shape (n_rows,)."""
    groups = {group for other in others for group in other.groups or ()}
    return _mask(group in groups for group in split.groups) if split.groups else np.zeros(len(split), dtype=bool)


def _mask(values: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(values, dtype=bool)
