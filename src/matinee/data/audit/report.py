"""The whole audit: every check on the same rows, and what they say as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.data.audit.classes import class_findings, class_table
from matinee.data.audit.duplicates import duplicate_findings, group_same
from matinee.data.audit.findings import SEVERITIES, Finding, texts_that
from matinee.data.audit.label_noise import LabelErrors, find_label_errors
from matinee.data.audit.lengths import (
    TokenLengths,
    count_words,
    distribution,
    length_facts,
    length_findings,
    truncation_facts,
    truncation_finding,
)
from matinee.data.audit.near import NearPairs, join_near, near_findings, near_pairs
from matinee.data.audit.oddities import Oddities, look_for_oddities, oddity_findings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from matinee.data.audit.rows import Rows

# Likely label errors that are listed, most suspicious first, and those shown as examples.
_MOST_LISTED = 100
_EXAMPLES = 10

# Of 3,000 IMDB reviews, whose labels are clean, 3 % look wrong to the baseline; of those with 5 % flipped, 5 %.
_MANY_ERRORS = 0.05


@dataclass(frozen=True)
class Judged:
    """What a classifier says of texts that it has not learned from.

    Attributes:
        by: Which classifier, in words.
        rows: The rows that it judged, shape (n_judged,); all of them have labels.
        probabilities: Shape (n_judged, n_labels).
    """

    by: str
    rows: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Audit:
    """What is wrong with a dataset.

    Attributes:
        name: The dataset.
        rows: What was audited.
        groups: Which texts are the same: see `group_same`.
        near: Which are nearly the same.
        oddities: What is odd about single texts.
        errors: What confident learning says; its rows are rows of the dataset; None where it could not be asked.
        findings: Most severe first, then by code.
        facts: Classes, lengths, truncation, label errors, as plain values.
    """

    name: str
    rows: Rows
    groups: NDArray[np.int64]
    near: NearPairs
    oddities: Oddities
    errors: LabelErrors | None
    findings: list[Finding]
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the audit as plain values: what `audit.json` holds."""
        counts = np.bincount(self.rows.splits, minlength=len(self.rows.split_names))
        return {
            "name": self.name,
            "n": len(self.rows),
            "splits": dict(zip(self.rows.split_names, counts.tolist(), strict=True)),
            "findings": [finding.to_json() for finding in self.findings],
            **self.facts,
        }


def audit_rows(
    rows: Rows,
    name: str,
    *,
    judge: Callable[[Rows, NDArray[np.int64]], Judged | str],
    tokens: TokenLengths | str,
    problem: Finding | None = None,
    ignore: Collection[str] = (),
) -> Audit:
    """Look for everything that can be wrong with a dataset.

    Args:
        rows: Its rows.
        name: What it is called.
        judge: Gets the rows and which of them are nearly the same (equal numbers), and returns what a classifier says of
            the texts, or why none can say anything.
        tokens: How many tokens an encoder makes of the texts, or why that is not known.
        problem: Why the labels cannot be used, where they cannot.
        ignore: Codes or names of findings to leave out.
    """
    groups = group_same(rows.texts)
    words = np.fromiter(map(count_words, rows.texts), np.int64, len(rows))
    near = near_pairs(rows.texts, groups)
    oddities = look_for_oddities(rows.texts)
    errors, error_facts, error_findings = _label_errors(rows, judge(rows, join_near(groups, near)))
    truncation, cut = _truncation(rows, tokens)
    findings = [
        *([] if problem is None else [problem]),
        *class_findings(rows),
        *duplicate_findings(rows, groups),
        *near_findings(rows, groups, near),
        *length_findings(rows, groups, words),
        *oddity_findings(rows, oddities),
        *cut,
        *error_findings,
    ]
    lengths = length_facts(rows.texts, words)
    lengths["tokens"] = {"reason": tokens} if isinstance(tokens, str) else distribution(tokens.lengths)
    facts = {"classes": class_table(rows), "lengths": lengths, "truncation": truncation, "label_errors": error_facts}
    kept = [finding for finding in findings if not {finding.code, finding.name} & set(ignore)]
    kept.sort(key=lambda finding: (SEVERITIES.index(finding.severity), finding.code))
    return Audit(name, rows, groups, near, oddities, errors, kept, facts)


def _truncation(rows: Rows, tokens: TokenLengths | str) -> tuple[dict[str, Any], list[Finding]]:
    if isinstance(tokens, str):
        return {"reason": tokens}, []
    facts = truncation_facts(tokens, rows.texts)
    finding = truncation_finding(rows, tokens, facts)
    return facts, [] if finding is None else [finding]


def _label_errors(rows: Rows, judged: Judged | str) -> tuple[LabelErrors | None, dict[str, Any], list[Finding]]:
    """Return what confident learning says, in rows of the dataset, as plain values, and as a finding."""
    if isinstance(judged, str):
        return None, {"reason": judged}, []
    labels = rows.labels[judged.rows]
    agreement = float((judged.probabilities.argmax(axis=1) == labels).mean())
    majority = float(np.bincount(labels).max() / len(labels))
    if agreement <= majority:
        reason = (
            f"{judged.by} gets {agreement:.0%} of the labels right, and the largest class is {majority:.0%} of them: "
            "what it holds against a label means nothing."
        )
        return None, {"reason": reason}, []
    found = find_label_errors(labels, judged.probabilities)
    quality = np.full(len(rows), np.nan)
    quality[judged.rows] = found.quality
    errors = LabelErrors(judged.rows[found.rows], found.suggested, quality, found.thresholds)
    facts = {
        "judged_by": judged.by,
        "n_judged": len(judged.rows),
        "agreement": agreement,
        "n": len(errors.rows),
        "share": len(errors.rows) / len(judged.rows),
        "ranked": [_suspect(rows, errors, place) for place in range(min(len(errors.rows), _MOST_LISTED))],
    }
    return errors, facts, _error_finding(rows, errors, judged, agreement)


def _suspect(rows: Rows, errors: LabelErrors, place: int) -> dict[str, Any]:
    row = int(errors.rows[place])
    return {
        **rows.example(row),
        "suggested": rows.label_names[errors.suggested[place]],
        "quality": round(float(errors.quality[row]), 4),
    }


def _error_finding(rows: Rows, errors: LabelErrors, judged: Judged, agreement: float) -> list[Finding]:
    n = len(errors.rows)
    if not n:
        return []
    title = f"{texts_that(n, 'likely has', 'likely have')} a wrong label, says {judged.by}, which agrees with {agreement:.0%} of all"
    examples = [_suspect(rows, errors, place) for place in range(min(n, _EXAMPLES))]
    severity = SEVERITIES[1] if n / len(judged.rows) >= _MANY_ERRORS else SEVERITIES[2]
    return [Finding("A501", severity, title, n, len(judged.rows), errors.rows.tolist(), examples)]
