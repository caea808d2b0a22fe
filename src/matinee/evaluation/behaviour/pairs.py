"""Originals and their edits: contrast sets (Gardner et al. 2020) and counterfactual edits (Kaushik et al. 2020).

Each pair holds a text and a small edit of it, as a rule with another label. A classifier that goes by what stands beside the
point gets the originals right and the edits wrong; consistency, the share of pairs with both right, shows it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError
from matinee.evaluation.behaviour.scoring import N_WORST
from matinee.evaluation.intervals import LEVEL
from matinee.evaluation.proportions import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Predictions

_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


@dataclass(frozen=True)
class MatchedPairs:
    """Which rows belong together.

    Attributes:
        originals: Row of each pair's original, shape (n_pairs,).
        edits: Row of its edit, shape (n_pairs,).
    """

    originals: NDArray[np.int64]
    edits: NDArray[np.int64]


def match_pairs(pairs: Sequence[str], is_edit: Sequence[bool] | None = None) -> MatchedPairs:
    """Return which rows are originals and which are their edits, pairs in the order of their first row.

    Args:
        pairs: Name of each row's pair.
        is_edit: Whether each row is the edit; None where the first row of a pair is its original.

    Raises:
        DataError: There are no rows, a pair has other than two, or not one original and one edit.
    """
    if not len(pairs):
        raise DataError("There are no pairs.")
    _check_twos(pairs)
    rows: dict[str, list[int]] = {}
    for row, pair in enumerate(pairs):
        rows.setdefault(pair, []).append(row)
    if is_edit is not None:
        wrong = [pair for pair, (a, b) in rows.items() if is_edit[a] == is_edit[b]]
        if wrong:
            what = "edits" if is_edit[rows[wrong[0]][0]] else "originals"
            raise DataError(
                f"Pair {wrong[0]!r} holds two {what}{_more(wrong)}: each pair needs one original and one edit."
            )
        rows = {pair: sorted(both, key=lambda row: is_edit[row]) for pair, both in rows.items()}
    table = np.array(list(rows.values()), dtype=np.int64)
    return MatchedPairs(table[:, 0], table[:, 1])


def score_pairs(predictions: Predictions, matched: MatchedPairs) -> dict[str, Any]:
    """Return accuracy on originals and on edits, and consistency, as plain JSON values.

    Args:
        predictions: Answers to all rows, with labels.
        matched: From `match_pairs`.

    Returns:
        `n` (pairs), `same_label` (pairs whose two texts have one label), `originals`, `edits` and `consistency`, each a share
        with Wilson's 95 % interval over pairs; `fall`, the accuracy on originals less that on edits, with the interval of
        Agresti and Min (2005, "Simple improved confidence intervals for comparing matched proportions"); and `worst`: up to
        three edits that were got wrong though the original was right, the surest first.

    Raises:
        DataError: There are no labels, or a probability is not a number.
    """
    if predictions.labels is None:
        raise DataError("Pairs need labels.")
    if not np.isfinite(predictions.probabilities).all():
        raise DataError("The probabilities of some texts are not numbers: the classifier diverged.")
    right = predictions.predicted == predictions.labels
    originals, edits = right[matched.originals], right[matched.edits]
    same = predictions.labels[matched.originals] == predictions.labels[matched.edits]
    return {
        "n": len(originals),
        "same_label": int(same.sum()),
        "originals": _share(originals),
        "edits": _share(edits),
        "consistency": _share(originals & edits),
        "fall": _fall(originals, edits),
        "worst": _worst(predictions, matched, originals & ~edits),
    }


def _check_twos(pairs: Sequence[str]) -> None:
    counts = Counter(pairs)
    wrong = [pair for pair, count in counts.items() if count != 2]
    if wrong:
        n = counts[wrong[0]]
        raise DataError(
            f"Pair {wrong[0]!r} has {n} {'row' if n == 1 else 'rows'}{_more(wrong)}: a pair is an original and its edit, two rows "
            "with the same name in the pair column."
        )


def _more(wrong: Sequence[str]) -> str:
    return f" (and {len(wrong) - 1:,} more pairs like it)" if len(wrong) > 1 else ""


def _share(right: NDArray[np.bool_]) -> dict[str, float]:
    return wilson(int(right.sum()), len(right))


def _fall(originals: NDArray[np.bool_], edits: NDArray[np.bool_]) -> dict[str, float]:
    """Return the difference of two accuracies on the same pairs; half a pair is added to each of the four outcomes."""
    lost, won = int((originals & ~edits).sum()) + 0.5, int((~originals & edits).sum()) + 0.5
    n = len(originals) + 2
    centre = (lost - won) / n
    half = _Z * math.sqrt(lost + won - (lost - won) ** 2 / n) / n
    value = float(originals.mean() - edits.mean())
    return {"value": value, "low": min(value, max(-1.0, centre - half)), "high": max(value, min(1.0, centre + half))}


def _worst(predictions: Predictions, matched: MatchedPairs, lost: NDArray[np.bool_]) -> list[dict[str, Any]]:
    assert predictions.labels is not None  # noqa: S101 - narrows a type
    answers = [
        {
            "text": predictions.texts[edit],
            "expected": predictions.label_names[predictions.labels[edit]],
            "predicted": predictions[edit]["label"],
            "score": predictions[edit]["score"],
            "changed_from": predictions.texts[original],
        }
        for original, edit in zip(matched.originals[lost], matched.edits[lost], strict=True)
    ]
    return sorted(answers, key=lambda answer: (-answer["score"], answer["text"]))[:N_WORST]
