from __future__ import annotations

import pytest

from matinee.data.audit.classes import FEW_ROWS, class_findings, class_table


def rows_of(make_rows, counts, split="all"):
    return make_rows(*((f"{label} {n}", label, split) for label, count in counts.items() for n in range(count)))


def test_the_table_counts_each_class_in_each_split(make_rows):
    table = class_table(make_rows(("a", "x", "train"), ("b", "x", "test"), ("c", "y", "train"), ("d", None, "test")))
    assert table["labels"] == [
        {"label": "x", "n": 2, "share": 2 / 3, "splits": {"train": 1, "test": 1}},
        {"label": "y", "n": 1, "share": 1 / 3, "splits": {"train": 1, "test": 0}},
    ]
    assert (table["unlabelled"], table["majority_share"], table["imbalance"]) == (1, 2 / 3, 2.0)


def test_no_label_at_all_is_no_class_finding(make_rows):
    rows = make_rows(("a", None, "all"), ("b", None, "all"))
    assert class_findings(rows) == []
    assert class_table(rows)["majority_share"] is None


def test_healthy_classes_are_no_finding(make_rows):
    assert class_findings(rows_of(make_rows, {"a": 30, "b": 40})) == []


@pytest.mark.parametrize(("n", "severity"), [(1, "error"), (2, "error"), (3, "warning"), (FEW_ROWS - 1, "warning")])
def test_a_rare_class_is_found(n, severity, make_rows, by_code):
    finding = by_code(class_findings(rows_of(make_rows, {"common": 30, "other": 30, "rare": n})))["A104"]
    assert (finding.n, finding.severity) == (n, severity)
    assert f"'rare' ({n})" in finding.title
    assert {rows["label"] for rows in finding.examples} == {"rare"}


def test_a_class_of_just_enough_rows_is_not_rare(make_rows, by_code):
    assert "A104" not in by_code(class_findings(rows_of(make_rows, {"a": FEW_ROWS, "b": 30})))


@pytest.mark.parametrize(("ratio", "found"), [(3, False), (4, True)])
def test_imbalance(ratio, found, make_rows, by_code):
    findings = by_code(class_findings(rows_of(make_rows, {"a": 25, "b": 25 * ratio})))
    assert ("A105" in findings) is found
    if found:
        assert "80% of the texts, 4.0 times as many as 'a'" in findings["A105"].title


def test_rows_without_a_label_are_found(make_rows, by_code):
    finding = by_code(class_findings(make_rows(("a", "x", "all"), ("b", None, "all"), ("c", "y", "all"))))["A101"]
    assert list(finding.rows) == [1]
    assert finding.examples[0]["label"] is None


def test_a_label_that_train_lacks_is_found(make_rows, by_code):
    rows = make_rows(("a", "x", "train"), ("b", "y", "train"), ("c", "z", "test"), ("d", "y", "test"))
    finding = by_code(class_findings(rows))["A106"]
    assert (list(finding.rows), finding.severity) == ([2], "error")


def test_labels_spelled_in_two_ways_are_found_and_minus_one_is_not_one(make_rows, by_code):
    alike = by_code(class_findings(rows_of(make_rows, {"Very good": 20, "very_good": 21, "bad": 30})))["A107"]
    assert alike.n == 41
    assert "A107" not in by_code(class_findings(rows_of(make_rows, {"-1": 30, "1": 30, "0": 30})))
