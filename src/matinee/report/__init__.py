"""Level 4: what a person reads of a run: figures and the model card. Works on `Predictions` and plain values, never on a model."""

from matinee.report.card import model_card
from matinee.report.figures import write_figures

__all__ = ["model_card", "write_figures"]
