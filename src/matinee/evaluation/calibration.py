"""Temperature scaling, and how far probabilities can be believed before and after it.

Shape letters: n texts, l labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError
from matinee.evaluation.metrics import N_CALIBRATION_BINS, SMALLEST_PROBABILITY, LabelledTexts, confidence_bins
from matinee.evaluation.proportions import wilson
from matinee.evaluation.scores import score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matinee.core.types import Predictions

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.1, 10.0


def fit_temperature(probabilities: NDArray[np.float64], labels: NDArray[np.int64] | None) -> float:
    """Return the temperature T for which softmax(log p / T) fits the labels best (Guo et al. 2017, section 4.2).

    Above 1 the classifier was too sure of itself, below 1 not sure enough. What is minimised is the negative log
    likelihood of smoothed labels: a true label counts (n + 1) / (n + 2) and the others share the rest, as Platt
    (1999) does it, so that a few texts that all came out right do not ask for certainty. Log-loss on new texts above
    that of the best temperature, two labels, without and with smoothing (simulated, logits of sd 5 and true temperature 2):
    20 validation texts 0.204 and 0.033, 50 texts 0.045 and 0.013, 200 texts 0.0031 and 0.0027, 1,000 texts 0.0004 and 0.0005.

    The answer lies between 0.1 and 10; probabilities of 0 and 1 are moved inwards by float64's eps. In 1 / T the loss is
    convex, so what the search finds is the minimum.

    Args:
        probabilities: Of validation texts, which the classifier did not learn from; shape (n, l).
        labels: Their true labels, shape (n,).

    Raises:
        DataError: There are no texts or no labels, or a probability is not a number.
    """
    from scipy.optimize import minimize_scalar

    if labels is None or not len(labels):
        raise DataError("A temperature is fitted on validation texts with labels: there are none.")
    if not np.isfinite(probabilities).all():
        raise DataError("A temperature cannot be fitted: some probabilities are not numbers, the classifier diverged.")
    n_texts, n_labels = probabilities.shape
    logits = _log(probabilities)
    smoothed = np.full((n_texts, n_labels), 1 / (n_texts + 2) / max(1, n_labels - 1))
    smoothed[np.arange(n_texts), labels] = (n_texts + 1) / (n_texts + 2)

    def loss(log_temperature: float) -> float:
        return -float(np.sum(smoothed * _log_softmax(logits / np.exp(log_temperature))))

    bounds = (np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x).clip(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE))


def temper(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return softmax(log p / temperature): the probabilities that the classifier has once its logits are divided by it.

    The most probable label stays what it was, also where rounding would make a tie of a near tie.

    Args:
        probabilities: Shape (n, l); a 0 counts as float64's eps.
        temperature: Above 0.

    Raises:
        ValueError: The temperature is not a number above 0.

    Returns:
        Shape (n, l), rows sum to 1.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"a temperature is a number above 0, got {temperature}")
    tempered = np.exp(_log_softmax(_log(probabilities) / temperature))
    best, now = probabilities.argmax(axis=1), tempered.argmax(axis=1)
    for row in np.flatnonzero(best != now):
        # The two are equal but for rounding: the smallest step puts them back in order.
        tempered[row, best[row]] = np.nextafter(tempered[row, now[row]], 1.0)
    return tempered


def reliability(predictions: Predictions, n_bins: int = N_CALIBRATION_BINS) -> list[dict[str, float]]:
    """Return how often the classifier is right at each confidence: the reliability diagram, in figures.

    Confidence is the probability of the most probable label; the bins are those of the `ece` metric, which is the mean of
    |accuracy - confidence| over the bins, weighted by their `n`.

    Args:
        predictions: Predictions with labels.
        n_bins: Number of equal bins between 0 and 1, closed above.

    Returns:
        For every bin that has texts, from the least confident: its ends `low` and `high`, `n` texts, mean `confidence`,
        `accuracy`, and the ends `accuracy_low` and `accuracy_high` of its 95 % interval.

    Raises:
        DataError: There are no texts or no labels, or a probability is not a number.
    """
    texts = LabelledTexts.of(predictions)
    confidence = texts.probabilities.max(axis=1)
    right = texts.probabilities.argmax(axis=1) == texts.labels
    bins = confidence_bins(confidence, n_bins)
    return [_bin(index, n_bins, confidence[bins == index], right[bins == index]) for index in np.unique(bins).tolist()]


def calibration_p(predictions: Predictions, *, seed: int = 0, n_simulated: int = 1_000) -> float:
    """Return how often probabilities that are exactly right would look at least as wrong as these on so many texts.

    A calibration error is never 0 on a sample, and large on a small one. So the answers are drawn anew, right with the
    probability that is claimed, and their calibration errors compared with the one seen (Bröcker & Smith 2007, "Increasing the
    reliability of reliability diagrams", consistency resampling).

    Args:
        predictions: Predictions with labels.
        seed: Of the draws.
        n_simulated: Draws of all answers.

    Returns:
        A p-value, at least 1 / (n_simulated + 1).
    """
    texts = LabelledTexts.of(predictions)
    confidence = texts.probabilities.max(axis=1)
    right = texts.probabilities.argmax(axis=1) == texts.labels
    members = np.eye(N_CALIBRATION_BINS)[confidence_bins(confidence)]
    expected = confidence @ members
    error = np.abs(right @ members - expected).sum()
    generator, n_block = np.random.default_rng(seed), max(1, 4_000_000 // len(confidence))
    n_worse = 0
    for first in range(0, n_simulated, n_block):
        drawn = generator.random((min(n_block, n_simulated - first), len(confidence))) < confidence
        n_worse += int((np.abs(drawn.astype(np.float32) @ members - expected).sum(axis=1) >= error - 1e-6).sum())
    return (n_worse + 1) / (n_simulated + 1)


def calibration_section(
    before: Predictions, after: Predictions, *, temperature: float, n_validation: int, seed: int = 0
) -> dict[str, Any]:
    """Return the section `"calibration"` of analysis.json: what the temperature did to texts that it was not fitted on.

    `p` is that of `calibration_p`, with the temperature.

    Args:
        before: Test predictions as the classifier first made them (`temper(p, 1 / temperature)` undoes a temperature).
        after: The same, with the temperature.
        temperature: It, fitted on validation.
        n_validation: On how many texts.
        seed: Of the resamples.

    Raises:
        DataError: There are no test texts or no labels.
    """
    return {
        "temperature": temperature,
        "fitted_on": {"split": "validation", "n": n_validation},
        "before": _calibration_scores(before, seed),
        "after": _calibration_scores(after, seed),
        "p": calibration_p(after, seed=seed),
        "reliability": {"before": reliability(before), "after": reliability(after)},
    }


def _calibration_scores(predictions: Predictions, seed: int) -> dict[str, Any]:
    scores = score(predictions, only=("ece", "log_loss"), seed=seed)
    return {name: scores[name] for name in ("ece", "log_loss")}


def _bin(index: int, n_bins: int, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, float]:
    accuracy = wilson(int(right.sum()), len(right))
    return {
        "low": index / n_bins,
        "high": (index + 1) / n_bins,
        "n": len(right),
        "confidence": float(confidence.mean()),
        "accuracy": accuracy["value"],
        "accuracy_low": accuracy["low"],
        "accuracy_high": accuracy["high"],
    }


def _log(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.asarray(probabilities, dtype=np.float64).clip(SMALLEST_PROBABILITY, 1.0)))


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
