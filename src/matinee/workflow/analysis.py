"""What a run's predictions tell beyond their scores: `analysis.json`, which the report is made from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.workflow.calibrating import FEWEST_TO_CALIBRATE
from matinee.workflow.fitting import CLASSIFIER, TFIDF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matinee.core.settings import Settings
    from matinee.core.types import Dataset, Predictions, SplitName

N_NEIGHBOURS = 3
_LONGEST_NEIGHBOUR = 600
_NO_LABELS = {"reason": "Nobody knows the true labels of these texts."}


def analyse(said: Mapping[tuple[str, str], Predictions], settings: Settings, *, temperature: float) -> dict[str, Any]:
    """Return calibration, coverage, prediction sets, slices, what causes mistakes, and the mistakes, as plain values.

    What cannot be known without labels, or without a validation split, is `{"reason": why}`.

    Args:
        said: Predictions by (split, predictor): the classifier's of test, and of validation and the baseline's where there are any.
        settings: The run's.
        temperature: What the classifier's logits were divided by.
    """
    from matinee.evaluation import conformal_section, coverage_section
    from matinee.evaluation.claims import causes
    from matinee.evaluation.mistakes import mistakes
    from matinee.evaluation.slices import find_slices, slice_scores

    validation, test = said.get(("validation", CLASSIFIER)), said["test", CLASSIFIER]
    has_labels = test.labels is not None and len(test) > 0
    slices = find_slices(
        test.texts,
        token_lengths=None if test.token_lengths is None else test.token_lengths.tolist(),
        max_length=None if test.token_lengths is None else settings.text.tokens_read(),
        groups=test.groups,
        patterns=settings.evaluation.slices,
    )
    baseline = said.get(("test", TFIDF))
    if baseline is not None and np.array_equal(baseline.probabilities, test.probabilities):
        baseline = None  # it is the classifier itself
    return {
        "calibration": _calibration(validation, test, settings, temperature) if has_labels else dict(_NO_LABELS),
        "coverage": coverage_section(validation, test) if has_labels else dict(_NO_LABELS),
        "conformal": conformal_section(validation, test) if has_labels and validation is not None else [],
        "slices": slice_scores(test, slices) if has_labels else dict(_NO_LABELS),
        "causes": causes(test, slices),
        "mistakes": mistakes(test, slices=slices, tfidf=baseline),
    }


def _calibration(
    validation: Predictions | None, test: Predictions, settings: Settings, temperature: float
) -> dict[str, Any]:
    from matinee.evaluation import calibration_p, calibration_section, temper

    if settings.training.calibration == "none":
        reason = "Calibration was switched off: --calibration none."
    elif validation is None:
        reason = "There is no validation split: nothing to calibrate on."
    elif len(validation) < FEWEST_TO_CALIBRATE:
        reason = f"{len(validation)} validation texts are too few to calibrate on."
    else:
        before = replace(test, probabilities=temper(test.probabilities, 1 / temperature))
        return calibration_section(before, test, temperature=temperature, n_validation=len(validation))
    return {"reason": reason, "p": calibration_p(test)}


def detailed_mistakes(analysis: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the mistakes that are shown whole; a text of two kinds has two."""
    return [row for rows in analysis["mistakes"]["kinds"].values() for row in rows]


def add_neighbours(analysis: Mapping[str, Any], dataset: Dataset, vectors: Mapping[SplitName, Any]) -> None:
    """Give each detailed mistake the training texts that are most like it, as `neighbours`: id, text, label, similarity.

    Args:
        analysis: Its rows are changed.
        dataset: The mistakes are of its test split.
        vectors: Of train and test, shape (n_texts, width), dense or sparse.
    """
    from matinee.evaluation.mistakes import nearest_texts

    rows = detailed_mistakes(analysis)
    if not rows:
        return
    train = dataset.splits["train"]
    place_of = {name: place for place, name in enumerate(dataset.splits["test"].ids)}
    queries = vectors["test"][[place_of[row["id"]] for row in rows]]
    places, similarities = nearest_texts(queries, vectors["train"], k=N_NEIGHBOURS)
    for row, near, alike in zip(rows, places.tolist(), similarities.tolist(), strict=True):
        row["neighbours"] = [
            {
                "id": train.ids[place],
                "text": train.texts[place][:_LONGEST_NEIGHBOUR],
                "label": dataset.label_names[train.labels[place]],
                "similarity": similarity,
            }
            for place, similarity in zip(near, alike, strict=True)
        ]


def carry_over(old: Mapping[str, Any], new: dict[str, Any]) -> None:
    """Give a new analysis of the same run what an older one knew from the classifier and the training texts."""
    found = {row["id"]: row for row in detailed_mistakes(old)}
    for row in detailed_mistakes(new):
        row |= {key: value for key, value in found.get(row["id"], {}).items() if key in {"words", "neighbours"}}
    new |= {section: old[section] for section in ("explanations", "augmentation", "distillation") if section in old}
