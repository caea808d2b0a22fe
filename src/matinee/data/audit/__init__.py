"""What is wrong with a dataset: each module looks for one kind of thing, `report` puts the findings together, `fix` removes some."""

from __future__ import annotations

from matinee.data.audit.findings import CHECKS, SEVERITIES, Finding
from matinee.data.audit.fix import Fixed, Request, check_free, write_fixed
from matinee.data.audit.label_noise import LabelErrors, find_label_errors, label_quality
from matinee.data.audit.lengths import TokenLengths
from matinee.data.audit.raw import Raw, read_raw
from matinee.data.audit.report import Audit, Judged, audit_rows
from matinee.data.audit.rows import NO_LABEL, Rows

__all__ = [
    "CHECKS",
    "NO_LABEL",
    "SEVERITIES",
    "Audit",
    "Finding",
    "Fixed",
    "Judged",
    "LabelErrors",
    "Raw",
    "Request",
    "Rows",
    "TokenLengths",
    "audit_rows",
    "check_free",
    "find_label_errors",
    "label_quality",
    "read_raw",
    "write_fixed",
]
