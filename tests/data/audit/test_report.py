from __future__ import annotations

import json

import numpy as np
import pytest

from matinee.data.audit import Judged, TokenLengths, audit_rows


def audit(rows, judge=None, tokens="not measured", **more):
    return audit_rows(rows, "some data", judge=judge or (lambda rows, groups: "not judged"), tokens=tokens, **more)


def told(rows, groups, wrong=()):
    """Return a judge's sure answers: the labels themselves, but for some rows the other one of two."""
    judged = np.flatnonzero(rows.labels >= 0)
    answers = rows.labels[judged] ^ np.isin(judged, wrong)
    return Judged("a friend", judged, np.eye(2)[answers] * 0.8 + 0.1)


def test_it_is_plain_json_with_findings_in_order(make_rows):
    rows = make_rows(
        *((f"text number {n}", "xy"[n % 2], "train") for n in range(40)), ("", "x", "train"), ("a<br>b", "x", "train")
    )
    summary = audit(rows).to_json()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert [(finding["code"], finding["severity"]) for finding in summary["findings"]] == [
        ("A301", "error"),
        ("A302", "info"),
        ("A305", "info"),
    ]
    assert summary["findings"][0]["share"] == pytest.approx(1 / 42)
    assert (summary["n"], summary["splits"]) == (42, {"train": 42})
    assert summary["truncation"] == summary["lengths"]["tokens"] == {"reason": "not measured"}
    assert summary["label_errors"] == {"reason": "not judged"}


@pytest.mark.parametrize("ignored", ["A301", "empty-texts"])
def test_findings_can_be_ignored(ignored, make_rows):
    rows = make_rows(("", "x", "all"))
    assert [finding.code for finding in audit(rows, ignore=[ignored]).findings] == ["A104"]


def test_label_errors_are_ranked_and_are_rows_of_the_dataset(make_rows):
    rows = make_rows(("unlabelled", None, "all"), *((f"text number {n}", "xy"[n % 2], "all") for n in range(40)))
    found = audit(rows, lambda rows, groups: told(rows, groups, wrong=[5, 8]))
    (finding,) = (finding for finding in found.findings if finding.code == "A501")
    assert (sorted(finding.rows), finding.severity) == ([5, 8], "warning")
    assert finding.n_of == 40
    facts = found.facts["label_errors"]
    assert (facts["n"], facts["n_judged"], facts["agreement"]) == (2, 40, 0.95)
    assert {row["suggested"] for row in facts["ranked"]} == {"x", "y"}
    assert np.isnan(found.errors.quality[0])


def test_few_label_errors_are_worth_knowing_only(make_rows):
    rows = make_rows(*((f"text number {n}", "xy"[n % 2], "all") for n in range(100)))
    found = audit(rows, lambda rows, groups: told(rows, groups, wrong=[5]))
    assert [finding.severity for finding in found.findings if finding.code == "A501"] == ["info"]


def test_a_judge_no_better_than_chance_is_not_believed(make_rows):
    rows = make_rows(*((f"text number {n}", "xy"[n % 4 == 0], "all") for n in range(40)))
    found = audit(rows, lambda rows, groups: told(rows, groups, wrong=range(0, 40, 4)))
    assert found.errors is None
    assert "75% of the labels right" in found.facts["label_errors"]["reason"]


def test_the_judge_is_told_which_texts_are_nearly_the_same(make_rows):
    long = " ".join(f"word{n}" for n in range(60))
    rows = make_rows(
        (long, "x", "all"),
        (long + " more", "x", "all"),
        (long.upper(), "x", "all"),
        ("other", "y", "all"),
        ("", "y", "all"),
    )
    seen = []
    audit(rows, lambda rows, groups: seen.append(groups.tolist()) or "no")
    assert seen == [[0, 0, 0, 3, -1]]


def test_tokens_are_told(make_rows):
    rows = make_rows(("a", "x", "all"), ("b", "x", "all"))
    found = audit(rows, tokens=TokenLengths("tiny", 10, np.array([5, 20]), 2, np.arange(2))).to_json()
    assert found["lengths"]["tokens"]["max"] == 20
    assert found["truncation"]["texts"] == 0.5
