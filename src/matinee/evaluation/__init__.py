"""Level 1: metrics with intervals, per-label reports and the predictions file. Works on `Predictions`, never on a model."""

from matinee.evaluation.calibration import calibration_p, calibration_section, fit_temperature, reliability, temper
from matinee.evaluation.comparison import Comparison, Pair, compare_predictions
from matinee.evaluation.conformal import conformal_quantile, conformal_section, prediction_sets
from matinee.evaluation.metrics import METRICS, Metric, metrics_for
from matinee.evaluation.scores import accuracy_gain, class_report, confusion_matrix, gain, point_scores, score
from matinee.evaluation.selective import (
    accuracy_coverage_curve,
    aurc,
    coverage_section,
    parse_objective,
    threshold_for_accuracy,
    tune_threshold,
)
from matinee.evaluation.store import read_predictions, write_predictions

__all__ = [
    "METRICS",
    "Comparison",
    "Metric",
    "Pair",
    "accuracy_coverage_curve",
    "accuracy_gain",
    "aurc",
    "calibration_p",
    "calibration_section",
    "class_report",
    "compare_predictions",
    "conformal_quantile",
    "conformal_section",
    "confusion_matrix",
    "coverage_section",
    "fit_temperature",
    "gain",
    "metrics_for",
    "parse_objective",
    "point_scores",
    "prediction_sets",
    "read_predictions",
    "reliability",
    "score",
    "temper",
    "threshold_for_accuracy",
    "tune_threshold",
    "write_predictions",
]
