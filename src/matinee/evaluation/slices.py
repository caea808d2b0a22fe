"""Slices: sets of texts that share something, and whether the classifier does better or worse on them than elsewhere.

The cues are those of English reviews, and rough: a slice says "texts with the word 'but'", not "texts with a contrast".
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import SettingsError
from matinee.evaluation.cues import CUES, Reading
from matinee.evaluation.proportions import SIGNIFICANT, fisher_exact, holm, newcombe, wilson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Predictions

FEWEST_TEXTS = 10
"""A slice with fewer texts, in it or outside it, is not tested: its interval would span half of all accuracies."""

FEWEST_TEXTS_OF_A_GROUP = 30
MOST_GROUPS = 20
"""Only groups large enough to show a gap of some 15 points, and of those the largest: each slice looked at hides the others a little."""


@dataclass(frozen=True, eq=False)
class Slice:
    """Some of the texts.

    Attributes:
        title: What they share, to follow "texts": `"with a question mark"`.
        group: The kind of slice: `length`, `cue`, `group`, `label` or `own`.
        mask: Which texts, shape (n_texts,).
    """

    title: str
    group: str
    mask: NDArray[np.bool_]


def find_slices(
    texts: Sequence[str],
    *,
    token_lengths: Sequence[int] | None = None,
    max_length: int | None = None,
    groups: Sequence[str] | None = None,
    patterns: Mapping[str, str] | None = None,
) -> dict[str, Slice]:
    """Return the slices of some texts by name: length bands, cues, groups, and the user's own.

    Args:
        texts: The texts, as they were given.
        token_lengths: Tokens of each text before truncation, special tokens included, shape (n_texts,).
        max_length: Tokens that the encoder sees of a text.
        groups: One group name per text, shape (n_texts,).
        patterns: Regular expressions by name; a text is in the slice where one is found in it as it is.

    Raises:
        SettingsError: A pattern is not a regular expression.
        ValueError: Lengths or groups are not one per text.

    Example:
        >>> slices = find_slices(["Good, but long.", "Bad?"], patterns={"long": "long"})
        >>> slices["contrast"].mask.tolist(), slices_of(slices, 0), slices_of(slices, 1)
        ([True, False], ['words:2', 'contrast', 'own:long'], ['words:1', 'question'])
    """
    for given in (token_lengths, groups):
        if given is not None and len(given) != len(texts):
            raise ValueError(f"{len(given)} lengths or groups for {len(texts)} texts")
    compiled = {name: _compiled(name, pattern) for name, pattern in (patterns or {}).items()}
    found = np.zeros((len(texts), len(CUES)), dtype=np.bool_)
    n_words = np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        reading = Reading.of(text)
        n_words[row] = len(reading.words)
        found[row] = [cue.found(reading) for cue in CUES.values()]
    slices = _bands(n_words, "word")
    if token_lengths is not None:
        slices |= _token_slices(np.asarray(token_lengths), max_length)
    slices |= {name: Slice(cue.title, "cue", found[:, k]) for k, (name, cue) in enumerate(CUES.items())}
    slices |= _group_slices(groups or [])
    for name, pattern in compiled.items():
        slices[f"own:{name}"] = Slice(
            f"in {name!r}", "own", np.array([bool(pattern.search(t)) for t in texts], dtype=np.bool_)
        )
    return slices


def slices_of(slices: Mapping[str, Slice], row: int) -> list[str]:
    """Return the names of the slices that a text is in."""
    return [name for name, each in slices.items() if each.mask[row]]


def slice_scores(predictions: Predictions, slices: Mapping[str, Slice]) -> dict[str, Any]:
    """Return the accuracy of each slice beside that of all other texts, and whether the difference is more than chance.

    One slice per true label comes on top. Intervals are Wilson's, those of a difference Newcombe's; p is Fisher's exact test,
    adjusted by Holm for all comparisons made. Two slices that divide the texts in the same way (truncated and not) are one
    comparison.

    Returns:
        `{"n_looked_at": comparisons, "rows": [{"name", "title", "group", "n", "accuracy": I, "rest": v, "difference": I,
        "p", "p_adjusted", "significant"}]}`, with I an interval `{"value", "low", "high"}`. A slice that was not tested has
        nulls and a `"reason"`. Without labels: no rows, and a `"reason"`.
    """
    if predictions.labels is None:
        return {"n_looked_at": 0, "rows": [], "reason": "nobody knows the true labels of these texts"}
    correct = predictions.predicted == predictions.labels
    slices = {**slices, **_label_slices(predictions.labels, predictions.label_names)}
    rows = [
        {"name": name, "title": each.title, "group": each.group, **compare(correct, each.mask)}
        for name, each in slices.items()
    ]
    divisions = {name: _division(each.mask) for name, each in slices.items()}
    p_values = {divisions[row["name"]]: row["p"] for row in rows if row["p"] is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    for row in rows:
        row["p_adjusted"] = None if row["p"] is None else adjusted[divisions[row["name"]]]
        row["significant"] = row["p"] is not None and row["p_adjusted"] < SIGNIFICANT
    return {"n_looked_at": len(p_values), "rows": rows}


def compare(correct: NDArray[np.bool_], mask: NDArray[np.bool_], fewest: int = FEWEST_TEXTS) -> dict[str, Any]:
    """Return how often a classifier is right on some texts, and on the rest.

    Args:
        correct: Whether each answer is right, shape (n_texts,).
        mask: Which texts, shape (n_texts,).
        fewest: Texts that there must be on either side for a test.

    Returns:
        `n`, `accuracy` (interval), `rest`, `difference` (interval), `p`; what cannot be had is null, with a `reason`.
    """
    n, n_rest = int(mask.sum()), int((~mask).sum())
    right, right_rest = int(correct[mask].sum()), int(correct[~mask].sum())
    nothing = {"value": None, "low": None, "high": None}
    row = {
        "n": n,
        "accuracy": wilson(right, n) if n else nothing,
        "rest": right_rest / n_rest if n_rest else None,
        "difference": nothing,
        "p": None,
    }
    if min(n, n_rest) < fewest:
        return {**row, "reason": _too_few(n, n_rest)}
    counts = (right, n, right_rest, n_rest)
    return {**row, "difference": newcombe(*counts), "p": fisher_exact(*counts)}


def _too_few(n: int, n_rest: int) -> str:
    if not n or not n_rest:
        return "no texts" if not n else "all texts"
    few = min(n, n_rest)
    return f"{'only' if n == few else 'all but'} {few} {'text' if few == 1 else 'texts'}"


def _division(mask: NDArray[np.bool_]) -> bytes:
    """Return the same bytes for a mask and for its opposite."""
    return (mask ^ mask[0]).tobytes() if len(mask) else b""


def _bands(counts: NDArray[np.int64], unit: str) -> dict[str, Slice]:
    """Return the quarters of the texts by length; fewer where many are equally long."""
    if not len(counts):
        return {}
    edges = np.unique(np.quantile(counts, [0.25, 0.5, 0.75, 1.0], method="lower")).tolist()
    slices, above = {}, -1
    for number, edge in enumerate(edges, start=1):
        mask = (counts > above) & (counts <= edge)
        slices[f"{unit}s:{number}"] = Slice(_range(int(counts[mask].min()), edge, unit), "length", mask)
        above = edge
    return slices


def _range(low: int, high: int, unit: str) -> str:
    numbers = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"of {numbers} {unit if high == 1 else unit + 's'}"


def _token_slices(lengths: NDArray[np.int64], max_length: int | None) -> dict[str, Slice]:
    slices = _bands(lengths, "token")
    if max_length is not None:
        cut = lengths > max_length
        slices["truncated"] = Slice(f"cut to {max_length:,} tokens", "length", cut)
        slices["not-truncated"] = Slice("read whole", "length", ~cut)
    return slices


def _group_slices(groups: Sequence[str]) -> dict[str, Slice]:
    largest = [name for name, n in Counter(groups).most_common(MOST_GROUPS) if n >= FEWEST_TEXTS_OF_A_GROUP]
    return {
        f"group:{name}": Slice(f"of group {name!r}", "group", np.array([one == name for one in groups], dtype=np.bool_))
        for name in largest
    }


def _label_slices(labels: NDArray[np.int64], label_names: Sequence[str]) -> dict[str, Slice]:
    return {
        f"label:{name}": Slice(f"labelled {name!r}", "label", labels == index) for index, name in enumerate(label_names)
    }


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingsError(
            f"Slice {name!r} needs a regular expression, and {pattern!r} is not one: {error}."
        ) from error
