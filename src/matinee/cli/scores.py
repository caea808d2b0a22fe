"""How scores look on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matinee.cli.terminal import print_table, say
from matinee.core.wording import score_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAMES = {
    "accuracy": "Accuracy",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "f1_weighted": "F1, weighted",
    "precision_weighted": "Precision, weighted",
    "recall_weighted": "Recall, weighted",
    "roc_auc": "ROC-AUC",
    "log_loss": "Log-loss (lower is better)",
    "brier": "Brier (lower is better)",
    "ece": "ECE (lower is better)",
}
_PREDICTORS = {"classifier": "Classifier", "frozen_features": "Frozen encoder", "tfidf": "tf-idf baseline"}


def print_scores(title: str, scores: Mapping[str, Mapping[str, Any]], label_names: Sequence[str]) -> None:
    """Print one column of scores with 95 % intervals per predictor."""
    names = [name for name in _NAMES if any(name in of for of in scores.values())]
    rows = [[_title(name, label_names), *(score_in_words(of.get(name)) for of in scores.values())] for name in names]
    print_table(title, ["", *(_PREDICTORS.get(name, name) for name in scores)], rows)


def _title(name: str, label_names: Sequence[str]) -> str:
    """Return a metric's name; of two labels, precision, recall and F1 are about the positive one, of more they are means."""
    if name not in {"precision", "recall", "f1"}:
        return _NAMES[name]
    return f"{_NAMES[name]} ({label_names[1]})" if len(label_names) == 2 else f"{_NAMES[name]}, macro"


def print_confusion(label_names: Sequence[str], counts: Sequence[Sequence[int]]) -> None:
    """Print the confusion matrix, rows true and columns predicted; too many labels for a terminal are left to the picture."""
    if len(label_names) > 8:
        return
    rows = [[f"true {name}", *(f"{count:,}" for count in row)] for name, row in zip(label_names, counts, strict=True)]
    print_table("Confusion matrix", ["", *(f"predicted {name}" for name in label_names)], rows, bold_first=False)


def print_labels(by_label: Sequence[Mapping[str, Any]]) -> None:
    """Print precision, recall, F1 and support of each label."""
    rows = [
        [
            str(row["label"]),
            *("–" if row[name] is None else f"{row[name]:.3f}" for name in ("precision", "recall", "f1")),
            f"{row['support']:,}",
        ]
        for row in by_label
    ]
    print_table("By label", ["", "Precision", "Recall", "F1", "Texts"], rows, bold_first=False)


def say_verdict(gain: Mapping[str, float]) -> None:
    """Say in one line how much more accurate the classifier is than the linear baseline, from the paired interval."""
    points = f"{100 * gain['value']:+.1f} points of accuracy [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
    if gain["low"] > 0:
        say(f"Against the linear baseline, on the same texts: {points}.")
    elif gain["high"] < 0:
        say(f"Against the linear baseline, on the same texts: {points}. Worse: take --encoder tfidf, or more labels.")
    else:
        say(f"Against the linear baseline, on the same texts: {points}. No clear difference.")
