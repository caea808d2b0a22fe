"""Between fine-tuning and the first answer: a temperature and a decision threshold, chosen on validation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from matinee.inference import Predictor, predict

if TYPE_CHECKING:
    from matinee.core.settings import TrainingSettings
    from matinee.core.types import Predictions, Split

logger = logging.getLogger(__name__)


FEWEST_TO_CALIBRATE = 10
"""On fewer validation texts a temperature is arbitrary: of two right answers it makes certainty, of two wrong ones nothing."""


class Calibratable(Predictor, Protocol):
    """A predictor whose logits can be scaled for good."""

    def divide_logits(self, temperature: float) -> None:
        """Divide all logits by the temperature."""


@dataclass(frozen=True)
class Calibrated:
    """What calibration did.

    Attributes:
        temperature: What the logits were divided by; 1 where calibration is off.
        validation: What the classifier says of its validation texts since.
    """

    temperature: float
    validation: Predictions


def calibrate(predictor: Calibratable, validation: Split, settings: TrainingSettings) -> Calibrated:
    """Fit temperature and threshold on validation, in that order, and give both to the predictor.

    The validation texts have chosen the epoch already, so they flatter the classifier a little; the test texts, which
    nothing was chosen by, tell how much.

    Raises:
        SettingsError: `optimise` cannot be had, as with more than two labels.
    """
    from matinee.evaluation import fit_temperature, temper, tune_threshold

    said = predict(predictor, validation.texts, ids=validation.ids, labels=validation.labels)
    temperature = 1.0
    if settings.calibration == "temperature" and len(said) < FEWEST_TO_CALIBRATE:
        logger.info(f"Not calibrated: {len(said):,} validation texts are too few for a temperature")
    elif settings.calibration == "temperature":
        temperature = fit_temperature(said.probabilities, validation.labels)
        predictor.divide_logits(temperature)
        said = replace(said, probabilities=temper(said.probabilities, temperature))
        logger.info(f"Temperature {temperature:.2f}, fitted on {len(said):,} validation texts")
    if settings.optimise is not None:
        predictor.threshold = tune_threshold(said, settings.optimise)
        said = replace(said, threshold=predictor.threshold)
        logger.info(f"Threshold {predictor.threshold:.3f} of {said.label_names[1]!r}, chosen for {settings.optimise}")
    return Calibrated(temperature, said)
