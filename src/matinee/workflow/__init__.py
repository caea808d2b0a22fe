"""Level 5: one function per command, which is the Python API too. Heavy rooms are imported inside the functions."""

from __future__ import annotations

from matinee.workflow.audit import DatasetAudit, audit, audit_dataset
from matinee.workflow.compare import RunComparison, compare
from matinee.workflow.encoders import encoders
from matinee.workflow.evaluate import Evaluation, evaluate
from matinee.workflow.explain import explain
from matinee.workflow.fetch import fetch
from matinee.workflow.predict import Classifier, load, predict, predict_file
from matinee.workflow.report import Report, report
from matinee.workflow.stress import StressTest, stress
from matinee.workflow.train import Run, resume, train

__all__ = [
    "Classifier",
    "DatasetAudit",
    "Evaluation",
    "Report",
    "Run",
    "RunComparison",
    "StressTest",
    "audit",
    "audit_dataset",
    "compare",
    "encoders",
    "evaluate",
    "explain",
    "fetch",
    "load",
    "predict",
    "predict_file",
    "report",
    "resume",
    "stress",
    "train",
]
