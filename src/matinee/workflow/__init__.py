"""Level 5: one function per command, which is the Python API too. Heavy rooms are imported inside the functions."""

from __future__ import annotations

from matinee.workflow.advise import Advice, advise
from matinee.workflow.audit import DatasetAudit, audit, audit_dataset
from matinee.workflow.bench import Bench, bench
from matinee.workflow.compare import RunComparison, compare
from matinee.workflow.distill import distill
from matinee.workflow.encoders import encoders
from matinee.workflow.evaluate import Evaluation, evaluate
from matinee.workflow.explain import explain
from matinee.workflow.export import Exported, export
from matinee.workflow.fetch import fetch
from matinee.workflow.leaderboard import Board, leaderboard
from matinee.workflow.predict import Classifier, load, predict, predict_file
from matinee.workflow.report import Report, report
from matinee.workflow.score import Scored, score
from matinee.workflow.search import Study, search
from matinee.workflow.serve import serve
from matinee.workflow.stress import StressTest, stress
from matinee.workflow.train import Run, resume, train

__all__ = [
    "Advice",
    "Bench",
    "Board",
    "Classifier",
    "DatasetAudit",
    "Evaluation",
    "Exported",
    "Report",
    "Run",
    "RunComparison",
    "Scored",
    "StressTest",
    "Study",
    "advise",
    "audit",
    "audit_dataset",
    "bench",
    "compare",
    "distill",
    "encoders",
    "evaluate",
    "explain",
    "export",
    "fetch",
    "leaderboard",
    "load",
    "predict",
    "predict_file",
    "report",
    "resume",
    "score",
    "search",
    "serve",
    "stress",
    "train",
]
