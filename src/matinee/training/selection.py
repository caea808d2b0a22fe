"""Which validation score chooses the epoch whose weights are kept, and whether it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matinee.core.errors import SettingsError
from matinee.core.types import Predictions
from matinee.evaluation import METRICS, point_scores
from matinee.evaluation.metrics import no_share

if TYPE_CHECKING:
    from numpy.typing import NDArray


def logged_name(metric: str) -> str:
    """Return what the Trainer calls a metric: log-loss is the loss that it computes anyway."""
    return "loss" if metric == "log_loss" else metric


def n_counted(metric: str, labels: NDArray[np.int64], n_labels: int) -> int | None:
    """Return of how many texts a score is a share; None for one that is none, and has no standard error of a share.

    F1 counts as a share of all texts; precision of two labels as one of as many texts as are positive.

    Args:
        metric: Its name.
        labels: Of the validation texts, shape (n_texts,).
        n_labels: How many labels there are.
    """
    if METRICS[metric].share is no_share:
        return None
    is_of_positives = n_labels == 2 and metric in {"precision", "recall"}
    return int((labels == 1).sum()) if is_of_positives else len(labels)


def check_selection(metric: str, labels: NDArray[np.int64], label_names: tuple[str, ...]) -> None:
    """Raise SettingsError if the validation texts leave the metric undefined: no epoch would be better than another."""
    said = np.full((len(labels), len(label_names)), 1 / len(label_names))
    names = [str(row) for row in range(len(labels))]
    if metric in point_scores(Predictions(names, [""] * len(names), said, label_names, labels)):
        return
    if METRICS[metric].only_above_two_labels and len(label_names) == 2:
        raise SettingsError(
            f"--selection-metric {metric} is for more than two labels: take {metric.removesuffix('_weighted')}."
        )
    absent = [name for index, name in enumerate(label_names) if not (labels == index).any()]
    which = f"the positive label {absent[-1]!r}" if label_names[-1] in absent else f"the label {absent[0]!r}"
    raise SettingsError(
        f"--selection-metric {metric} needs validation texts of {which}, and there are none: "
        "take another metric, or more validation texts."
    )
