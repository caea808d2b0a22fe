"""Level 1: metrics with intervals, per-label reports and the predictions file. Works on `Predictions`, never on a model."""

from matinee.evaluation.metrics import METRICS, Metric, metrics_for
from matinee.evaluation.scores import accuracy_gain, class_report, confusion_matrix, point_scores, score
from matinee.evaluation.store import read_predictions, write_predictions

__all__ = [
    "METRICS",
    "Metric",
    "accuracy_gain",
    "class_report",
    "confusion_matrix",
    "metrics_for",
    "point_scores",
    "read_predictions",
    "score",
    "write_predictions",
]
