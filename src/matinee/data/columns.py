"""Which column holds the texts, which the labels: as told, or guessed from their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matinee.core.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.core.settings import DataSettings
    from matinee.data.readers import Table

# In order of priority: a table with a title and a review is about the review.
TEXT_NAMES = (
    "text", "review", "sentence", "content", "comment", "body", "message", "document", "tweet", "post", "utterance", "feedback",
    "description", "summary", "question", "query", "headline", "title",
)  # fmt: skip
LABEL_NAMES = (
    "label", "sentiment", "target", "class", "category", "polarity", "stars", "star", "rating", "overall", "score", "intent", "topic",
    "emotion", "y",
)  # fmt: skip

_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")


@dataclass(frozen=True)
class Columns:
    """The columns to read; `label` is None where labels are not wanted, `group` where none was named."""

    text: str
    label: str | None = None
    group: str | None = None


def choose_columns(table: Table, settings: DataSettings, *, labelled: bool = True) -> Columns:
    """Return the columns of a table to read.

    Args:
        table: An opened table.
        settings: Names given by the user; they win.
        labelled: Whether a label column is wanted.

    Raises:
        DataError: A named column is not there, or none can be guessed.
    """
    text = _given(table, "text_column", settings.text_column) or guess(
        table.columns, TEXT_NAMES, but=settings.label_column
    )
    if text is None:
        raise _none_found(table, "texts", "--text-column")
    if not labelled:
        return Columns(text)
    label = _given(table, "label_column", settings.label_column) or guess(table.columns, LABEL_NAMES, but=text)
    if label is None:
        raise _none_found(table, "labels", "--label-column")
    if label == text:
        raise DataError(f"{table.path}: --text-column and --label-column both name {text!r}.")
    return Columns(text, label, _given(table, "group_column", settings.group_column))


def guess(columns: Sequence[str], names: Sequence[str], but: str | None = None) -> str | None:
    """Return the column with the likeliest of `names`: spelled so in any case or number, else ending so (`reviewText`)."""
    candidates = [column for column in columns if column != but]
    whole = {_singular(column.strip().lower()): column for column in reversed(candidates)}
    ending = {_singular(_last_word(column)): column for column in reversed(candidates)}
    for found in (whole, ending):
        for name in names:
            if _singular(name) in found:
                return found[_singular(name)]
    return None


def _last_word(column: str) -> str:
    words: list[str] = _PARTS.findall(column)
    return words[-1].lower() if words else ""


def _singular(word: str) -> str:
    return word.removesuffix("s")


def _given(table: Table, setting: str, name: str | None) -> str | None:
    if name is None or name in table.columns:
        return name
    flag = "--" + setting.replace("_", "-")
    raise DataError(
        f"{table.path} has no column {name!r} ({flag}).{did_you_mean(name, table.columns)} Its columns: {_listed(table.columns)}."
    )


def _none_found(table: Table, what: str, flag: str) -> DataError:
    if table.headerless:
        return DataError(
            f"{table.path}: its first line looks like data, not like column names ({_listed(table.columns)}); "
            "add a first line such as text,label."
        )
    return DataError(
        f"{table.path}: no column is named like one that holds {what}; name it with {flag}. Its columns: {_listed(table.columns)}."
    )


def _listed(columns: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(repr(name if len(name) <= 40 else name[:39] + "…") for name in columns[:most])
    return shown if len(columns) <= most else f"{shown} and {len(columns) - most} more"
