"""Chooses a method and explains texts with it."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.errors import SettingsError, did_you_mean
from matinee.core.progress import progress
from matinee.inference.explain.explanation import (
    INTEGRATED_GRADIENTS,
    LINEAR,
    OCCLUSION,
    Attribution,
    Explanation,
    as_sentences,
    as_words,
    log_odds,
)
from matinee.inference.explain.gradients import INSTALL, MOST_STEPS, integrated_gradients, is_installed
from matinee.inference.explain.linear import linear
from matinee.inference.explain.occlusion import MOST_PASSES, occlusion
from matinee.inference.explain.reading import read_text
from matinee.inference.predictor import predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.inference.explain.reading import Reading
    from matinee.inference.predictor import Predictor

AUTO = "auto"
METHODS = (AUTO, INTEGRATED_GRADIENTS, OCCLUSION, LINEAR)

logger = logging.getLogger(__name__)


def explain(
    predictor: Predictor,
    texts: Sequence[str],
    *,
    method: str = AUTO,
    label: str | None = None,
    most_steps: int = MOST_STEPS,
    most_passes: int = MOST_PASSES,
) -> list[Explanation]:
    """Return why the predictor says what it says of each text. The same texts give the same explanations.

    Args:
        predictor: Any.
        texts: Any, the empty one too.
        method: `"integrated_gradients"` (PyTorch classifiers), `"linear"` (tf-idf and nblr), `"occlusion"` (any), or
            `"auto"`: the first of these that can be had.
        label: Which label to explain; the one that each text is given where None.
        most_steps: Bound of integrated gradients; 8 are enough to order the words, but leave a larger gap.
        most_passes: Bound of occlusion.

    Raises:
        SettingsError: The method or label is unknown, or the method does not fit the predictor.
        NotAvailableError: captum is missing.
    """
    chosen = choose_method(predictor, method)
    if label is not None and label not in predictor.label_names:
        known = ", ".join(predictor.label_names)
        raise SettingsError(f"There is no label {label!r}.{did_you_mean(label, predictor.label_names)} Known: {known}.")
    predictions = predict(predictor, texts)
    explanations = []
    with progress("Explaining", len(predictions), "texts") as bar:
        for row, text in enumerate(predictions.texts):
            said = int(predictions.predicted[row])
            explained = said if label is None else predictor.label_names.index(label)
            reading = read_text(predictor, text)
            found = _attribute(predictor, reading, explained, chosen, most_steps, most_passes)
            words = as_words(reading.text, reading.words, found.contributions, reading.read)
            explanations.append(
                Explanation(
                    text=reading.text,
                    label=predictor.label_names[explained],
                    predicted=predictor.label_names[said],
                    probability=float(predictions.probabilities[row, explained]),
                    method=chosen,
                    how=found.how,
                    words=words,
                    sentences=as_sentences(reading.text, reading.words, words),
                    base_value=found.base_value,
                    value=found.value,
                )
            )
            bar.update(row + 1)
    return explanations


def choose_method(predictor: Predictor, method: str = AUTO) -> str:
    """Return the method to explain a predictor with.

    Raises:
        SettingsError: There is no such method, or it does not fit the predictor.
    """
    if method not in METHODS:
        raise SettingsError(f"Unknown --method {method!r}.{did_you_mean(method, METHODS)} Known: {', '.join(METHODS)}.")
    fitting = _fitting(predictor)
    if method == AUTO:
        if fitting == INTEGRATED_GRADIENTS and not is_installed():
            logger.info(f"Explaining by occlusion; for integrated gradients: {INSTALL}")
            return OCCLUSION
        return fitting
    if method not in {fitting, OCCLUSION}:
        if method == INTEGRATED_GRADIENTS and _reads_windows(predictor):
            raise SettingsError(
                f"--method {method} needs a classifier that reads a text at once, and this one reads windows; take "
                f"{OCCLUSION} or auto."
            )
        needed = {INTEGRATED_GRADIENTS: "a PyTorch classifier", LINEAR: "a linear classifier"}[method]
        raise SettingsError(f"--method {method} needs {needed}; for this classifier take {fitting} or auto.")
    return method


def _fitting(predictor: Predictor) -> str:
    """Return the method made for a predictor; a back end whose module nobody has imported made none."""
    for name, kind, method in (
        ("linear", "LinearPredictor", LINEAR),
        ("torch", "TorchPredictor", INTEGRATED_GRADIENTS),
    ):
        module = sys.modules.get(f"matinee.inference.backends.{name}")
        if module is not None and isinstance(predictor, getattr(module, kind)):
            return OCCLUSION if _reads_windows(predictor) else method
    return OCCLUSION


def _reads_windows(predictor: Any) -> bool:
    """Return whether long texts are several inputs, which no single line leads to from a masked text."""
    preparation = getattr(predictor, "preparation", None)
    return preparation is not None and preparation.settings.long == "windows"


def _attribute(
    predictor: Any, reading: Reading, label: int, method: str, most_steps: int, most_passes: int
) -> Attribution:
    if not reading.read.any():
        return _nothing_read(predictor, reading, label)
    if method == INTEGRATED_GRADIENTS:
        return integrated_gradients(predictor, reading, label, most_steps=most_steps)
    if method == LINEAR:
        return linear(predictor, reading, label)
    return occlusion(predictor, reading, label, most_passes=most_passes)


def _nothing_read(predictor: Predictor, reading: Reading, label: int) -> Attribution:
    """Return the explanation of a text without words: there is nothing to attribute anything to."""
    value = float(log_odds(predictor.probabilities([reading.text]), label)[0])
    return Attribution(np.zeros(len(reading.words)), value, value, "the classifier reads no word of the text")
