"""Level 4: what a person reads of a run: the page, figures, the model card. Works on `Predictions` and plain values, never on a model."""

from matinee.report.card import model_card
from matinee.report.figures import write_figures
from matinee.report.page import PageContents, render_page
from matinee.report.verdict import Verdict, verdict

__all__ = ["PageContents", "Verdict", "model_card", "render_page", "verdict", "write_figures"]
