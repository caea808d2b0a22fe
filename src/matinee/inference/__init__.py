"""Level 3: predictors. Whatever turns texts into probabilities speaks one protocol."""

from matinee.inference.load import Chosen, choose_classifier, load_predictor
from matinee.inference.predictor import Predictor, predict
from matinee.inference.requirements import runtime_requirements

__all__ = ["Chosen", "Predictor", "choose_classifier", "load_predictor", "predict", "runtime_requirements"]
