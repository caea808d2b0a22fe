"""Level 5: one function per command, which is the Python API too. Heavy rooms are imported inside the functions."""

from __future__ import annotations

from matinee.workflow.encoders import encoders
from matinee.workflow.evaluate import Evaluation, evaluate
from matinee.workflow.fetch import fetch
from matinee.workflow.predict import Classifier, load, predict, predict_file
from matinee.workflow.train import Run, resume, train

__all__ = [
    "Classifier",
    "Evaluation",
    "Run",
    "encoders",
    "evaluate",
    "fetch",
    "load",
    "predict",
    "predict_file",
    "resume",
    "train",
]
