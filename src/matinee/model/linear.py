"""Logistic regression with its regularisation chosen on the training texts: the fitted head and both baselines' last layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from matinee.model.logits import softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    # Of each text its label, shape (n_texts,), or how much it counts for each label, shape (n_texts, n_labels).
    Labels = NDArray[np.int64] | NDArray[np.float32]
    # Learns from features and labels what to do to features.
    Weighing = Callable[[Any, Labels], Callable[[Any], Any]]

# Beyond this many texts one fold is enough to tell the candidates apart.
_MANY_TEXTS = 5_000


@dataclass(frozen=True)
class LinearHead:
    """One linear layer whose softmax gives the probabilities.

    Attributes:
        weight: Shape (n_labels, n_features).
        bias: Shape (n_labels,).
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def probabilities(self, features: Any) -> NDArray[np.float64]:
        """Return softmax(features @ weight.T + bias), shape (n_texts, n_labels); features may be sparse."""
        return softmax(np.asarray(features @ self.weight.T) + self.bias)


def fit_linear_head(
    features: Any,
    labels: Labels,
    n_labels: int,
    candidates: Sequence[float],
    *,
    seed: int,
    gentle: bool = False,
    weigh: Weighing | None = None,
) -> LinearHead:
    """Fit a logistic regression, its inverse regularisation strength C chosen by cross-validated log-loss.

    Args:
        features: Shape (n_texts, n_features), dense or sparse.
        labels: Shape (n_texts,); a label may be absent, its probability is then next to nothing. Or how much each text
            counts for each label, shape (n_texts, n_labels), never negative: a text then stands once under each label, and
            its loss is weighted alike. Nothing else makes the cross-entropy with soft targets out of a logistic regression.
        n_labels: How many there are.
        candidates: Values of C to choose from, ascending.
        seed: Of the folds.
        gentle: Take the smallest C whose loss is within one standard error of the best (Hastie, Tibshirani & Friedman
            2009, "The Elements of Statistical Learning", section 7.10), and not the best itself.
        weigh: Given features and labels, returns what the features go through first. It is learned anew for each fold:
            what has seen a held-out text's label would flatter its loss.
    """
    # The solver's products of vectors are too small to divide: with a thread per core they take several times as long.
    with threadpool_limits(1, user_api="blas"):
        weigh = weigh or _as_they_are
        strength = _choose_strength(features, labels, candidates, seed, gentle, weigh)
        return _as_head(_fit(weigh(features, labels)(features), labels, strength), n_labels)


def fit_scaled_head(
    features: NDArray[np.float32], labels: NDArray[np.int64], n_labels: int, candidates: Sequence[float], *, seed: int
) -> LinearHead:
    """Fit gently on features brought to a common scale, and return the equal head for the raw ones.

    All features share one scale, so that C means the same for every encoder. A scale for each would blow up the weights
    of features that hardly vary, and large weights in the head are large gradients in the encoder (docs/lab.md).
    """
    mean, scale = features.mean(axis=0), float(features.std(axis=0).mean()) + 1e-6
    head = fit_linear_head((features - mean) / scale, labels, n_labels, candidates, seed=seed, gentle=True)
    weight = head.weight / scale
    return LinearHead(weight, head.bias - weight @ mean)


def _choose_strength(
    features: Any, labels: Labels, candidates: Sequence[float], seed: int, gentle: bool, weigh: Weighing
) -> float:
    likeliest = labels if labels.ndim == 1 else labels.argmax(axis=1)
    rarest = int(np.bincount(likeliest)[np.unique(likeliest)].min())
    n_folds = min(5, rarest)
    if len(candidates) == 1 or n_folds < 2:
        return candidates[len(candidates) // 2]
    folds = list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(len(labels)), likeliest))
    if len(labels) > _MANY_TEXTS:
        folds = folds[:1]
    losses = np.array([_held_out_losses(features, labels, folds, strength, weigh) for strength in candidates])
    means = losses.mean(axis=1)
    best = int(means.argmin())
    if not gentle:
        return candidates[best]
    error = losses[best].std() / np.sqrt(losses.shape[1])
    return candidates[int((means <= means[best] + error).argmax())]


def _held_out_losses(
    features: Any, labels: Labels, folds: Sequence[tuple[Any, Any]], strength: float, weigh: Weighing
) -> NDArray[np.float64]:
    """Return the log-loss of each held-out text."""
    losses = []
    for fit_rows, check_rows in folds:
        weighed = weigh(features[fit_rows], labels[fit_rows])
        model = _fit(weighed(features[fit_rows]), labels[fit_rows], strength)
        said = model.predict_proba(weighed(features[check_rows]))
        if labels.ndim == 1:
            column = np.searchsorted(model.classes_, labels[check_rows])
            losses.append(-_log(said[np.arange(len(check_rows)), column]))
        else:
            losses.append(-(labels[check_rows][:, model.classes_] * _log(said)).sum(axis=1))
    return np.concatenate(losses)


def _log(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return logs


def _as_they_are(features: Any, labels: Labels) -> Callable[[Any], Any]:  # noqa: ARG001 - a Weighing
    return lambda rows: rows


def _fit(features: Any, labels: Labels, strength: float) -> Any:
    model = LogisticRegression(C=strength, max_iter=2_000)
    if labels.ndim == 1:
        return model.fit(features, labels)
    rows, columns = np.nonzero(labels)
    return model.fit(features[rows], columns, sample_weight=labels[rows, columns])


def _as_head(model: Any, n_labels: int) -> LinearHead:
    """Return scikit-learn's coefficients as one row per label; two classes have a single row there."""
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    weight = np.zeros((n_labels, coefficients.shape[1]))
    bias = np.full(n_labels, -30.0)  # a label never seen: probability e^-30
    weight[model.classes_], bias[model.classes_] = coefficients, intercepts
    return LinearHead(weight, bias)
