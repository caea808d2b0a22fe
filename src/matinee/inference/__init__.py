"""Level 3: predictors. Whatever turns texts into probabilities speaks one protocol."""

from matinee.inference.load import load_predictor
from matinee.inference.predictor import Predictor, predict

__all__ = ["Predictor", "load_predictor", "predict"]
