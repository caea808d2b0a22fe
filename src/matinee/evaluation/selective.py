"""Answering less to be right more often, and choosing where one label ends and the other begins.

Confidence here is the probability of the label that a text was given: what records call its score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError, SettingsError, did_you_mean
from matinee.evaluation.metrics import LabelledTexts, divide
from matinee.evaluation.proportions import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Predictions

TARGETS = (0.9, 0.95, 0.99)
MIN_KEPT = 20
"""Fewest validation texts that a target may rest on."""
_N_POINTS = 100


def confidence(predictions: Predictions) -> NDArray[np.float64]:
    """Return the probability of each text's answer, shape (n,)."""
    return np.asarray(predictions.probabilities[np.arange(len(predictions)), predictions.predicted], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Kept:
    """How many texts are kept, and how many of them are wrong, at every threshold that makes a difference.

    Attributes:
        thresholds: Distinct confidences, from the highest; shape (t,).
        n_kept: Texts at least as confident, shape (t,); the last is n.
        n_wrong: Wrong answers among them, shape (t,).
    """

    thresholds: NDArray[np.float64]
    n_kept: NDArray[np.int64]
    n_wrong: NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Predictions) -> _Kept:
        texts = LabelledTexts.of(predictions)
        confident = confidence(predictions)
        order = np.argsort(-confident, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(confident[order])), len(order) - 1)
        wrong = np.cumsum(texts.correct[order] == 0)
        return cls(confident[order][ends], ends + 1, wrong[ends])


def accuracy_coverage_curve(predictions: Predictions, n_points: int = _N_POINTS) -> list[dict[str, float]]:
    """Return how accurate the answers are when only the most confident are given.

    Texts of equal confidence are given or withheld together.

    Args:
        predictions: Predictions with labels.
        n_points: Number of points at most, evenly spaced in coverage.

    Returns:
        `coverage` (share of texts answered), `accuracy` of those, `threshold` (confidence of the least confident of them),
        from the lowest coverage to 1.

    Raises:
        DataError: There are no texts or no labels, or a probability is not a number.
    """
    kept, n_texts = _Kept.of(predictions), len(predictions)
    wanted = np.linspace(0, n_texts, min(n_points, n_texts) + 1)[1:]
    chosen = np.unique(np.searchsorted(kept.n_kept, wanted - 1e-9))
    return [
        {
            "coverage": float(kept.n_kept[i] / n_texts),
            "accuracy": float(1 - kept.n_wrong[i] / kept.n_kept[i]),
            "threshold": float(kept.thresholds[i]),
        }
        for i in chosen
    ]


def aurc(predictions: Predictions) -> float:
    """Return the area under the risk-coverage curve: the mean error rate over all numbers of answers given; lower is better.

    Mean over k = 1 ... n of the share of wrong ones among the k most confident answers (Geifman, Uziel and El-Yaniv
    2019). Where confidences tie, every order of the tied texts counts alike.

    Raises:
        DataError: There are no texts or no labels, or a probability is not a number.
    """
    kept = _Kept.of(predictions)
    n_answers = np.arange(1, len(predictions) + 1)
    # Within a tie, the expected number of wrong answers among the first few grows evenly.
    n_wrong = np.interp(n_answers, np.append(0, kept.n_kept), np.append(0, kept.n_wrong))
    return float(np.mean(n_wrong / n_answers))


def threshold_for_accuracy(validation: Predictions, target: float) -> float | None:
    """Return the lowest confidence at which answers to the validation texts are accurate enough, None where none is.

    The lowest of many thresholds that happens to reach the target has been lucky, so one more kept text is counted, as a
    wrong one (the correction of conformal risk control, Angelopoulos et al. 2024), and at least 20 must be kept.
    The target is then met on average over validation sets, not by each: in a simulated task of 87 % accuracy with 200
    validation texts and a target of 95 %, new answers were 95.4 % accurate on average (94.8 % without the correction), short
    of it by more than 2 points in 9 % of the validation sets (14 %). So a target of 99 % needs at least 99 validation texts,
    all kept and right.

    Args:
        validation: Predictions with labels, which the classifier did not learn from.
        target: The accuracy wanted, between 0 and 1.

    Returns:
        Answers whose confidence is at least this are to be kept; 0 where all may be.

    Raises:
        DataError: There are no texts or no labels, or a probability is not a number.
    """
    kept = _Kept.of(validation)
    reached = (kept.n_kept - kept.n_wrong >= target * (kept.n_kept + 1) - 1e-9) & (kept.n_kept >= MIN_KEPT)
    if not reached.any():
        return None
    last = int(np.flatnonzero(reached)[-1])
    return 0.0 if kept.n_kept[last] == len(validation) else float(kept.thresholds[last])


def coverage_section(
    validation: Predictions | None, test: Predictions, targets: Sequence[float] = TARGETS
) -> dict[str, Any]:
    """Return the section `"coverage"` of analysis.json: what abstaining buys, with thresholds chosen on validation.

    Args:
        validation: Predictions with labels; without them there are no thresholds, and the targets say so.
        test: Predictions with labels.
        targets: Accuracies to aim at.

    Raises:
        DataError: There are no test texts or no labels.
    """
    return {
        "aurc": aurc(test),
        "curve": accuracy_coverage_curve(test),
        "targets": [_target(validation, test, target) for target in targets],
    }


def _target(validation: Predictions | None, test: Predictions, target: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "target_accuracy": target,
        "threshold": None,
        "validation_coverage": None,
        "test_coverage": None,
        "test_accuracy": None,
    }
    if validation is None or validation.labels is None:
        return {**row, "reason": "there are no labelled validation texts to choose a threshold on"}
    threshold = threshold_for_accuracy(validation, target)
    if threshold is None:
        return {**row, "reason": _why_not(len(validation), target)}
    answered = confidence(test) >= threshold
    row["threshold"] = threshold
    row["validation_coverage"] = float(np.mean(confidence(validation) >= threshold))
    row["test_coverage"] = float(answered.mean())
    if not answered.any():
        return {**row, "reason": "no test text is answered with such confidence"}
    right = int(np.sum((test.predicted == test.labels)[answered]))
    return {**row, "test_accuracy": wilson(right, int(answered.sum()))}


def _why_not(n_validation: int, target: float) -> str:
    """Return why no threshold reaches a target."""
    # One wrong text counted on top: n right ones are n / (n + 1) accurate.
    needed = max(MIN_KEPT, math.ceil(target / (1 - target) - 1e-9)) if target < 1 else None
    if needed is None or n_validation < needed:
        at_least = "" if needed is None else f": it takes at least {needed:,}"
        return f"{n_validation:,} validation texts are too few to tell{at_least}"
    return f"{n_validation:,} validation texts do not show that the classifier is that accurate, however sure it is"


@dataclass(frozen=True)
class Objective:
    """What a decision threshold is chosen for.

    Attributes:
        name: `f1`, `balanced_accuracy` or `precision`.
        recall: Of `precision`: the recall that must be kept.
    """

    name: str
    recall: float = 0.0


def parse_objective(text: str) -> Objective:
    """Read an objective: `f1`, `balanced_accuracy`, or `precision@R` with a recall R between 0 and 1.

    Raises:
        SettingsError: It is none of these.
    """
    name, at, number = text.strip().partition("@")
    if name in ("f1", "balanced_accuracy") and not at:
        return Objective(name)
    try:
        recall = float(number)
    except ValueError:
        recall = -1.0
    if name == "precision" and 0 <= recall <= 1:
        return Objective(name, recall)
    near = did_you_mean(text, ("f1", "balanced_accuracy", "precision@0.9"))
    raise SettingsError(
        f"optimise must be f1, balanced_accuracy or precision@R with a recall R between 0 and 1, got {text!r}.{near}"
    )


def tune_threshold(validation: Predictions, objective: str) -> float:
    """Return the probability of the second label from which on it should be the answer, best on validation.

    Every threshold that makes a difference is tried; each lies half-way between two probabilities that occur, so that the
    last digits of a probability do not turn an answer. Of equally good ones the nearest to 0.5 is taken. Of several with the
    same precision, `precision@R` takes those with the highest recall.

    Args:
        validation: Predictions with two labels, of texts which the classifier did not learn from.
        objective: `f1` of the second label, `balanced_accuracy`, or `precision@R`: the highest precision of the second
            label among thresholds that find at least the share R of its texts.

    Raises:
        SettingsError: The objective is not known, or there are not two labels.
        DataError: There are no texts or labels, or no text has one of the two labels.
    """
    aim = parse_objective(objective)
    if len(validation.label_names) != 2:
        raise SettingsError(f"optimise {objective} needs two labels, got {len(validation.label_names)}.")
    texts = LabelledTexts.of(validation)
    positive, scores = texts.labels == 1, texts.probabilities[:, 1]
    if positive.all() or not positive.any():
        missing = validation.label_names[0 if positive.all() else 1]
        raise DataError(f"No threshold can be chosen for {objective}: no validation text has the label {missing!r}.")
    values, counts = np.unique(scores, return_counts=True)
    below = np.append(0.0, values[:-1])
    middle = (below + values) / 2
    # Between neighbouring floats there is no middle: it rounds to one of them.
    thresholds = np.where((middle > below) | (below == 0), middle, values)
    n_predicted = np.cumsum(counts[::-1])[::-1].astype(np.float64)
    n_right = positive.sum() - np.searchsorted(np.sort(scores[positive]), values, side="left").astype(np.float64)
    merits = _merits(aim, n_right, n_predicted, int(positive.sum()), len(validation))
    # The last key of a lexical sort is the first to count.
    best = np.lexsort((-np.abs(thresholds - 0.5), *reversed([merit.round(12) for merit in merits])))[-1]
    return float(thresholds[best])


def _merits(
    aim: Objective, n_right: NDArray[np.float64], n_predicted: NDArray[np.float64], n_positive: int, n_texts: int
) -> list[NDArray[np.float64]]:
    """Return what makes a threshold good, the first mattering most; each of shape (thresholds,)."""
    recall = n_right / n_positive
    if aim.name == "f1":
        return [2 * n_right / (n_positive + n_predicted)]
    if aim.name == "balanced_accuracy":
        specificity = 1 - (n_predicted - n_right) / (n_texts - n_positive)
        return [(recall + specificity) / 2]
    precision = divide(n_right, n_predicted, where_zero=0.0)
    return [np.where(recall >= aim.recall - 1e-12, precision, -1.0), recall]
