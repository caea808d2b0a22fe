"""What a run's predictions tell beyond their scores: `analysis.json`, which the report is made from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from matinee.workflow.fitting import CLASSIFIER, TFIDF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matinee.core.settings import Settings
    from matinee.core.types import Predictions


def analyse(
    said: Mapping[tuple[str, str], Predictions],
    settings: Settings,
    *,
    temperature: float,
    token_lengths: Sequence[int] | None = None,
    groups: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return calibration, coverage, prediction sets, slices, what causes mistakes, and the mistakes, as plain values.

    Args:
        said: Predictions by (split, predictor): validation and test, the classifier and its baseline.
        settings: The run's.
        temperature: What the classifier's logits were divided by.
        token_lengths: Tokens of each test text before truncation, where it is known.
        groups: Group of each test text, where the data has groups.
    """
    from matinee.evaluation import calibration_section, conformal_section, coverage_section, temper
    from matinee.evaluation.claims import causes
    from matinee.evaluation.mistakes import mistakes
    from matinee.evaluation.slices import find_slices, slice_scores

    validation, test = said["validation", CLASSIFIER], said["test", CLASSIFIER]
    calibration: dict[str, Any] = {"reason": "Calibration was switched off: --calibration none."}
    if settings.training.calibration != "none":
        before = replace(test, probabilities=temper(test.probabilities, 1 / temperature))
        calibration = calibration_section(before, test, temperature=temperature, n_validation=len(validation))
    slices = find_slices(
        test.texts,
        token_lengths=token_lengths,
        max_length=None if token_lengths is None else settings.text.max_length,
        groups=groups,
        patterns=settings.evaluation.slices,
    )
    baseline = None if settings.model.encoder == "tfidf" else said["test", TFIDF]
    return {
        "calibration": calibration,
        "coverage": coverage_section(validation, test),
        "conformal": conformal_section(validation, test),
        "slices": slice_scores(test, slices),
        "causes": causes(test, slices),
        "mistakes": mistakes(test, slices=slices, tfidf=baseline),
    }
