"""Level 4: what a person reads of a run: the page, figures, the model card. Works on `Predictions` and plain values, never on a model."""

from matinee.report.board import render_board
from matinee.report.board_figures import write_board_figures
from matinee.report.card import model_card
from matinee.report.figures import write_figures
from matinee.report.page import PageContents, render_page
from matinee.report.study import render_study
from matinee.report.verdict import Verdict, verdict

__all__ = [
    "PageContents",
    "Verdict",
    "model_card",
    "render_board",
    "render_page",
    "render_study",
    "verdict",
    "write_board_figures",
    "write_figures",
]
