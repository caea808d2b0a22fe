"""Scores of predictions as plain values: what metrics.json, tables and training's history hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import DataError
from matinee.evaluation.comparison import bootstrap_differences, mcnemar_p, same_texts
from matinee.evaluation.intervals import resample_weights, widened_point
from matinee.evaluation.metrics import METRICS, LabelledTexts, Metric, Share, Weighted, metrics_for
from matinee.evaluation.proportions import SIGNIFICANT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from matinee.core.types import Predictions


def score(
    predictions: Predictions, *, only: Collection[str] | None = None, seed: int = 0, n_resamples: int = 1000
) -> dict[str, Any]:
    """Return every metric with a 95 % interval, as plain JSON values.

    The interval says how the value would move with other test texts of the same kind; not how it would with another
    training seed. Accuracy, and precision, recall and F1 of two labels, are shares of texts: Wilson's interval
    (`Metric.share`). All others get the percentile bootstrap interval, with two exceptions. Where every
    resample gives the same value (all right, all wrong, all ties) the bootstrap would answer with a point: Wilson's bound
    widens it (`widened_point`). And the calibration error, which noise can only raise, gets the basic interval, which
    takes that bias back (`basic_interval`). Resamples on which a metric is undefined are left out of its interval.
    How often they hold the true value is measured by `benchmarks/intervals.py`: accuracy and F1 in 93 to 96 % of cases with
    200 texts and with 2,000; ROC-AUC and log-loss in 93 % with 200, 94 % with 2,000; the calibration error in 92 %.

    Args:
        predictions: Predictions with labels.
        only: Names of the metrics to return; all where not given.
        seed: Seed of the resamples; one set serves all metrics, and all predictors on the same texts.
        n_resamples: Number of resamples.

    Returns:
        `{"n": texts, "<metric>": {"value": v, "low": l, "high": h}, ...}` for `accuracy`, `f1`, `precision`, `recall`,
        `roc_auc`, `log_loss`, `brier` and `ece`. Two labels: precision, recall and F1 of the second. More: their plain means
        over the labels, and `f1_weighted`, `precision_weighted` and `recall_weighted` too. An undefined metric has
        three nulls and a `"reason"`.

    Raises:
        DataError: There are no texts or no labels, or a probability is not a number.
        ValueError: `n_resamples` is below 1, or `only` names no metric of such a task.

    Example:
        >>> from matinee.core.types import Predictions
        >>> sure = np.array([[0.9, 0.1], [0.2, 0.8]])
        >>> predictions = Predictions(["a", "b"], ["bad", "good"], sure, ("negative", "positive"), np.array([0, 1]))
        >>> round(score(predictions)["brier"]["value"], 3)
        0.025
    """
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}")
    texts = LabelledTexts.of(predictions)
    plain, metrics = _unweighted(texts), metrics_for(texts.n_labels)
    if only is not None:
        if unknown := set(only) - set(metrics):
            raise ValueError(f"unknown metrics {sorted(unknown)}; known are {', '.join(metrics)}")
        metrics = {name: metric for name, metric in metrics.items() if name in only}
    shares = {name: share for name, metric in metrics.items() if (share := metric.share(plain)) is not None}
    others = {name: metric for name, metric in metrics.items() if name not in shares}
    resampled = _resampled(texts, others, n_resamples, seed) if others else {}
    absent = _absent_labels(plain, predictions.label_names)
    scores = {
        name: _with_interval(metric, plain, shares.get(name), resampled.get(name), absent)
        for name, metric in metrics.items()
    }
    return {"n": len(predictions), **scores}


def point_scores(predictions: Predictions) -> dict[str, float]:
    """Return every metric without its interval, for use after each epoch; an undefined one is left out.

    Raises:
        DataError: As in `score`.
    """
    texts = LabelledTexts.of(predictions)
    plain = _unweighted(texts)
    values = {name: float(metric.compute(plain)[0]) for name, metric in metrics_for(texts.n_labels).items()}
    return {name: value for name, value in values.items() if not np.isnan(value)}


def class_report(predictions: Predictions) -> list[dict[str, Any]]:
    """Return one row per label: `label`, `precision`, `recall`, `f1` and `support` (its number of texts).

    A label that no text has gets nulls; one that was never predicted has precision 0.

    Raises:
        DataError: As in `score`.
    """
    plain = _unweighted(LabelledTexts.of(predictions))
    table = np.column_stack([plain.precisions, plain.recalls, plain.f1s])
    return [
        {
            "label": name,
            **{key: float(v) if support else None for key, v in zip(("precision", "recall", "f1"), row, strict=True)},
            "support": int(support),
        }
        for name, row, support in zip(predictions.label_names, table, plain.n_true[:, 0], strict=True)
    ]


def accuracy_gain(
    predictions: Predictions, baseline: Predictions, *, seed: int = 0, n_resamples: int = 1000
) -> dict[str, float]:
    """Return how much more accurate one classifier is than another on the same texts, with a 95 % interval.

    Paired bootstrap (Efron & Tibshirani 1993, ch. 16; Berg-Kirkpatrick et al. 2012): texts are drawn with both answers,
    so what both find hard does not blur the difference. Of few texts the bootstrap is too sure: where McNemar's test (mid-p) sees
    no difference, the interval is widened to hold 0.

    Returns:
        `value`, `low`, `high`, as shares: 0.04 is four points.

    Raises:
        DataError: The two are not about the same texts, or there are no labels.
    """
    if predictions.ids != baseline.ids or predictions.labels is None:
        raise DataError("two classifiers can be compared on the same labelled texts only.")
    gain = (predictions.predicted == predictions.labels).astype(float) - (baseline.predicted == predictions.labels)
    resampled = np.concatenate(
        [gain @ weights / len(gain) for weights in resample_weights(len(gain), n_resamples, seed)]
    )
    low, high = np.quantile(resampled, [0.025, 0.975])
    if mcnemar_p(int((gain > 0).sum()), int((gain < 0).sum())) >= SIGNIFICANT:
        low, high = min(low, 0.0), max(high, 0.0)
    return {"value": float(gain.mean()), "low": float(low), "high": float(high)}


def gain(
    metric: str, predictions: Predictions, other: Predictions, *, seed: int = 0, n_resamples: int = 1000
) -> dict[str, Any]:
    """Return how much better one classifier is than another on the same texts by a metric, with a 95 % interval.

    As `accuracy_gain`, whose interval that of accuracy is; others have the paired bootstrap's alone. The calibration error has none:
    drawing texts twice raises it, the more the smaller it is, so that the bootstrap's interval would miss the truth more often than not.

    Returns:
        `value`, `low`, `high` in the metric's unit, above 0 where the first is the better one, of a loss too. Three nulls and a
        `reason` where the metric is undefined.

    Raises:
        DataError: The two are not about the same texts, or there are no labels.
    """
    if metric == "accuracy":
        return accuracy_gain(predictions, other, seed=seed, n_resamples=n_resamples)
    if metric == "ece":
        return {"value": None, "low": None, "high": None, "reason": "of two calibration errors it has no interval"}
    texts = {name: LabelledTexts.of(of) for name, of in same_texts({"one": predictions, "other": other}).items()}
    (of_pair,) = bootstrap_differences(texts, (metric,), seed, n_resamples).values()
    found = of_pair[metric]
    if found["value"] is None or METRICS[metric].higher_is_better:
        return found
    return {"value": -found["value"], "low": -found["high"], "high": -found["low"]}


def confusion_matrix(predictions: Predictions) -> NDArray[np.int64]:
    """Return how many texts of each true label (rows) were predicted as each label (columns), shape (l, l).

    Raises:
        DataError: As in `score`.
    """
    texts = LabelledTexts.of(predictions)
    cells = texts.labels * texts.n_labels + predictions.predicted
    counts = np.bincount(cells, minlength=texts.n_labels**2).reshape(texts.n_labels, texts.n_labels)
    return counts.astype(np.int64)


def _unweighted(texts: LabelledTexts) -> Weighted:
    return Weighted(texts, np.ones((len(texts.labels), 1)))


def _resampled(
    texts: LabelledTexts, metrics: dict[str, Metric], n_resamples: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Return each metric on each resample, shape (n_resamples,)."""
    blocks: dict[str, list[NDArray[np.float64]]] = {name: [] for name in metrics}
    for weights in resample_weights(len(texts.labels), n_resamples, seed):
        weighted = Weighted(texts, weights)
        for name, metric in metrics.items():
            blocks[name].append(metric.compute(weighted))
    return {name: np.concatenate(values) for name, values in blocks.items()}


def _with_interval(
    metric: Metric, plain: Weighted, share: Share | None, resampled: NDArray[np.float64] | None, absent: str
) -> dict[str, Any]:
    """Return a metric's value with the interval of its share of texts or, where it is none, of its resamples."""
    value = float(metric.compute(plain)[0])
    if np.isnan(value):
        return {"value": None, "low": None, "high": None, "reason": f"no text has the label {absent}"}
    if share is not None:
        low, high = share.interval()
        return {"value": value, "low": min(low, value), "high": max(high, value)}
    defined = np.empty(0) if resampled is None else resampled[~np.isnan(resampled)]
    if not len(defined):
        return {"value": value, "low": None, "high": None, "reason": "too few texts of a label for an interval"}
    largest = metric.largest(plain.texts.n_labels)
    if np.ptp(defined) > 1e-12:
        low, high = metric.interval(value, defined, largest)
    else:
        low, high = widened_point(value, largest, metric.rests_on(plain))
    return {"value": value, "low": low, "high": high}


def _absent_labels(plain: Weighted, label_names: Sequence[str]) -> str:
    names = [repr(name) for name, n_true in zip(label_names, plain.n_true[:, 0], strict=True) if not n_true]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
