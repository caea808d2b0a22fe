"""M3: what the course of the training says."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING, Any

from matinee.evaluation.checks.facts import Check, CheckFacts, Found, at, is_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Fine-tuned encoders know their training texts almost by heart: the default on 1,000 IMDB reviews has a gap of 14 points and is none the
# worse for it. Beyond 15 points, noise taken off, more texts help more than more training.
LARGE_GAP = 0.15

# A validation loss a fifth above its lowest: the probabilities have become clearly too sure.
LOSS_ROSE = 1.2

# A loss that falls by less than a twentieth from one epoch to the next has settled.
STILL_FALLING = 0.95

# Three points between seeds are what people report as progress.
WIDE_SPREAD = 0.03
FEWEST_SEEDS = 3


def overfit(facts: CheckFacts) -> Found | None:
    """Look whether the classifier learned its training texts rather than the task."""
    evaluated = _evaluated(facts)
    kept = _kept(facts, evaluated)
    if kept is None:
        return None
    train, validation = kept.get("train_accuracy"), kept.get("eval_accuracy")
    if is_number(train) and is_number(validation):
        gap = train - validation
        if gap > LARGE_GAP + _noise(validation, at(facts.metrics, "validation", "n")):
            return Found(
                f"While it trained it was right for {train:.3f} of its training texts; it is for {validation:.3f} of the "
                f"validation texts: {100 * gap:.0f} points less."
            )
    lowest = min(evaluated, key=lambda row: row["eval_loss"])
    if (
        kept["eval_loss"] <= LOSS_ROSE * lowest["eval_loss"]
        or kept["epoch"] <= lowest["epoch"]
        or not _training_falls(facts)
    ):
        return None
    words = (
        f"The validation loss rose from {lowest['eval_loss']:.3f} (epoch {lowest['epoch']:.3g}) to {kept['eval_loss']:.3f} "
        f"(epoch {kept['epoch']:.3g}, which was kept), while the training loss fell."
    )
    before = lowest.get("eval_accuracy")
    if not (is_number(validation) and is_number(before)):
        return Found(words)
    if validation > before:
        return Found(f"{words} It became surer, and more accurate too.", "info")
    is_calibrated = facts.settings.get("calibration") == "temperature"
    if is_calibrated and validation >= before - _noise(before, at(facts.metrics, "validation", "n")):
        return Found(f"{words} It became surer and no less accurate, and calibration took the sureness back.", "info")
    return Found(words)


def under_trained(facts: CheckFacts) -> Found | None:
    """Look whether training stopped while it still paid."""
    evaluated = _evaluated(facts)
    kept = _kept(facts, evaluated)
    if kept is None or len(evaluated) < 2 or kept is not evaluated[-1] or not _training_falls(facts):
        return None
    before, last = _before_last_epoch(evaluated), evaluated[-1]
    got_worse = (last.get("eval_accuracy") or 0.0) < (before.get("eval_accuracy") or 0.0)
    if last["eval_loss"] > STILL_FALLING * before["eval_loss"] or got_worse:
        return None
    return Found(
        f"The validation loss still fell from {before['eval_loss']:.3f} to {last['eval_loss']:.3f} in the last epoch "
        f"({last['epoch']:.3g}), which is the one that was kept, and so did the training loss."
    )


def unstable_seeds(facts: CheckFacts) -> Found | None:
    """Look how much the score depends on the seed."""
    scores = facts.seed_accuracies
    if len(scores) < FEWEST_SEEDS:
        return None
    spread = max(scores) - min(scores)
    if spread <= max(WIDE_SPREAD, math.sqrt(2) * _noise(fmean(scores), facts.n_test)):
        return None
    return Found(
        f"{len(scores)} seeds gave accuracies between {min(scores):.3f} and {max(scores):.3f}: {100 * spread:.1f} points apart."
    )


def _evaluated(facts: CheckFacts) -> list[Mapping[str, Any]]:
    """Return the history's rows that have a validation loss, in order."""
    rows = [row for row in facts.history if is_number(row.get("eval_loss")) and is_number(row.get("epoch"))]
    return sorted(rows, key=lambda row: row["epoch"])


def _before_last_epoch(evaluated: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the row of the evaluation that the last epoch began with; of the one before the last where that is not there."""
    begun = math.ceil(evaluated[-1]["epoch"]) - 1
    return next((row for row in reversed(evaluated[:-1]) if row["epoch"] <= begun), evaluated[-2])


def _kept(facts: CheckFacts, evaluated: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the row of the epoch whose weights were kept."""
    epoch = facts.metrics.get("kept_epoch")
    if not is_number(epoch) or not evaluated:
        return None
    return min(evaluated, key=lambda row: abs(row["epoch"] - epoch))


def _training_falls(facts: CheckFacts) -> bool:
    """Return whether the mean training loss of the last epoch is clearly below that of the one before (or within a single one)."""
    losses = [
        (row["epoch"], row["loss"])
        for row in facts.history
        if is_number(row.get("loss")) and is_number(row.get("epoch"))
    ]
    if not losses:
        return False
    end = max(epoch for epoch, _ in losses)
    length = min(1.0, end / 2)
    last = [loss for epoch, loss in losses if epoch > end - length]
    before = [loss for epoch, loss in losses if end - 2 * length < epoch <= end - length]
    return bool(before) and fmean(last) < STILL_FALLING * fmean(before)


def _noise(accuracy: float, n: Any) -> float:
    """Return two standard errors of an accuracy on n texts; none where n is not known."""
    return 2 * math.sqrt(accuracy * (1 - accuracy) / n) if is_number(n) and n > 0 else 0.0


CHECKS = (
    Check(
        "M301",
        "overfit",
        "warning",
        "It knows its training texts better than the task",
        "Looks at the epoch that was kept. Reported where accuracy on the training texts is more than 15 points "
        "above that on validation, noise taken off, or where the validation loss rose by a fifth above its lowest "
        "while the training loss fell; worth knowing only, where accuracy did not suffer: then the probabilities "
        "are too sure, which calibration mends.",
        "Add training texts; or train fewer --epochs, with a lower --learning-rate or more --dropout.",
        overfit,
    ),
    Check(
        "M302",
        "under-trained",
        "warning",
        "Training stopped too early",
        "Reported where the last epoch was kept, and both the training and the validation loss still fell by more "
        "than a twentieth in it, with no loss of accuracy.",
        "Train more --epochs, or with a higher --learning-rate.",
        under_trained,
    ),
    Check(
        "M303",
        "unstable-seeds",
        "warning",
        "Another seed gives another score",
        "Looks at runs that differ by their seed alone, at least three. Reported where their test accuracies lie "
        "more than three points apart, and further than so many test texts explain.",
        "Report the mean over the seeds; a lower --learning-rate, more --epochs or more training texts make it "
        "steadier.",
        unstable_seeds,
    ),
)
