"""Prediction sets with a stated coverage: split-conformal prediction.

Shape letters: n texts, l labels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import SettingsError
from matinee.evaluation.intervals import LEVEL
from matinee.evaluation.metrics import LabelledTexts
from matinee.evaluation.proportions import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Predictions

COVERAGES = (0.9, 0.95)
# 1 - (1 - p) is not always p: without this, rounding could leave out the very label that sits on the quantile.
_ROUNDING = 1e-12


def conformal_quantile(validation: Predictions, coverage: float) -> float:
    """Return the largest 1 - p at which a label must stay in the set, for sets that hold the true label this often.

    The score of a text is 1 less the probability of its true label (LAC: Sadinle, Lei and Wasserman 2019); of n scores the
    k-th smallest is taken, k = ceil((n + 1) coverage) (Vovk, Gammerman and Shafer 2005; Angelopoulos and Bates 2023,
    section 1). Sets made with it hold the true label of a new text of the same kind with at least that
    probability, on average over validation sets; see `expected_range` for how much one validation set can be off.

    A temperature fitted on the same texts does not spoil this for two labels: it leaves the order of the scores alone.
    With more labels it is one number chosen for n texts, and what it changes is far below 1 / n.

    Args:
        validation: Predictions with labels, of texts which the classifier did not learn from.
        coverage: Between 0 and 1, for example 0.9.

    Returns:
        The quantile; infinity where so few texts cannot vouch for such a coverage: each set must hold all labels then.

    Raises:
        SettingsError: The coverage does not lie between 0 and 1.
        DataError: There are no texts or no labels, or a probability is not a number.
    """
    texts = LabelledTexts.of(validation)
    rank = _rank(len(texts.labels), coverage)
    if rank > len(texts.labels):
        return math.inf
    scores = 1 - texts.probabilities[np.arange(len(texts.labels)), texts.labels]
    return float(np.partition(scores, rank - 1)[rank - 1]) + _ROUNDING


def prediction_sets(probabilities: NDArray[np.float64], quantile: float) -> NDArray[np.bool_]:
    """Return which labels cannot be excluded: those with a probability of at least 1 - quantile; (n, l) from (n, l).

    A set can be empty: no label was probable enough.
    """
    return np.asarray(probabilities >= 1 - quantile)


def expected_range(n_validation: int, coverage: float) -> tuple[float, float]:
    """Return between which values the true coverage lies for 95 % of validation sets of this size.

    Given the validation set, the coverage follows Beta(k, n + 1 - k), k = ceil((n + 1) coverage) (Vovk 2012; Angelopoulos and Bates
    2023, section 3.2).
    """
    from scipy.special import betaincinv

    rank = _rank(n_validation, coverage)
    if rank > n_validation:
        return 1.0, 1.0
    low, high = betaincinv(rank, n_validation + 1 - rank, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)


def conformal_section(
    validation: Predictions | None, test: Predictions, coverages: Sequence[float] = COVERAGES
) -> list[dict[str, Any]]:
    """Return the section `"conformal"` of analysis.json: a row per coverage.

    Args:
        validation: Predictions with labels; without them rows hold nulls and a reason.
        test: Predictions; without labels their coverage stays unknown.
        coverages: What to promise.

    Returns:
        Per row: `coverage`, `quantile` (null: every set holds all labels), `expected` (`low` and `high` of the coverage to
        expect with so many validation texts), `test_coverage` with its interval, `mean_size`, `share_single`, `share_empty`,
        and a `reason` for nulls.
    """
    return [_row(validation, test, coverage) for coverage in coverages]


def _row(validation: Predictions | None, test: Predictions, coverage: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "coverage": coverage,
        "quantile": None,
        "expected": None,
        "test_coverage": None,
        "mean_size": None,
        "share_single": None,
        "share_empty": None,
    }
    if validation is None or validation.labels is None:
        return {**row, "reason": "there are no labelled validation texts to choose the sets by"}
    quantile = conformal_quantile(validation, coverage)
    low, high = expected_range(len(validation), coverage)
    sets = prediction_sets(test.probabilities, quantile)
    sizes = sets.sum(axis=1)
    row |= {
        "expected": {"low": low, "high": high},
        "mean_size": float(sizes.mean()),
        "share_single": float(np.mean(sizes == 1)),
        "share_empty": float(np.mean(sizes == 0)),
    }
    if test.labels is None:
        row["reason"] = "the labels of the test texts are not known"
    else:
        row["test_coverage"] = wilson(int(sets[np.arange(len(test)), test.labels].sum()), len(test))
    if math.isinf(quantile):
        needed = math.ceil(coverage / (1 - coverage) - 1e-9)
        reason = f"{len(validation):,} validation texts are too few: it takes at least {needed:,}, so every set holds all labels"
        return {**row, "reason": reason}
    return {**row, "quantile": quantile}


def _rank(n_validation: int, coverage: float) -> int:
    """Return which of the scores in ascending order is the quantile, from 1; above n where none is."""
    if not 0 < coverage < 1:
        raise SettingsError(f"coverage must lie between 0 and 1, got {coverage:g}.")
    # (99 + 1) * 0.55 is 55.00000000000001 to a computer: without the margin it would be one too many.
    return math.ceil((n_validation + 1) * coverage - 1e-9)
