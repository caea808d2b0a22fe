from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from matinee.core.text import same_text_key
from matinee.data.audit import NO_LABEL, Rows
from matinee.data.audit.duplicates import NO_TEXT, conflicting, duplicate_findings, group_same, repeats


def findings_of(rows, by_code):
    return by_code(duplicate_findings(rows, group_same(rows.texts)))


def test_texts_are_the_same_when_cleaned_and_capitals_aside():
    groups = group_same(["Good film", "bad", "GOOD<br />film ", "", "<br>", "bad"])
    assert groups.tolist() == [0, 1, 0, NO_TEXT, NO_TEXT, 1]


def test_distinct_texts_are_no_finding(make_rows, by_code):
    assert (
        findings_of(make_rows(("a", "x", "train"), ("b", "y", "test"), ("", "x", "train"), ("", "y", "train")), by_code)
        == {}
    )


def test_repeats_inside_a_split(make_rows, by_code):
    rows = make_rows(
        ("a", "x", "train"), ("b", "y", "train"), ("A", "x", "train"), ("a ", "x", "train"), ("a", "x", "test")
    )
    finding = findings_of(rows, by_code)["A201"]
    assert list(finding.rows) == [2, 3]
    assert finding.title == "2 texts repeat an earlier one of the same split"
    assert finding.examples[1]["same_as"] == {"id": "train-1", "split": "train", "label": "x"}


def test_texts_in_two_splits_count_once_each(make_rows, by_code):
    rows = make_rows(
        *(("a", "x", "train"), ("a", "x", "train"), ("b", "y", "train"), ("c", "y", "train")),
        *(("a", "x", "test"), ("B", "y", "test"), ("b", "y", "validation"), ("d", "x", "validation")),
    )
    finding = findings_of(rows, by_code)["A202"]
    assert (
        finding.title
        == "2 texts stand in two splits (1 in train and validation, 2 in train and test, 1 in validation and test)"
    )
    assert (finding.n, finding.severity) == (2, "error")
    assert finding.examples[0]["split"] != finding.examples[0]["same_as"]["split"]


def test_texts_with_two_labels(make_rows, by_code):
    rows = make_rows(
        ("a", "x", "train"), ("a", "y", "test"), ("b", "x", "train"), ("b", "x", "train"), ("b", None, "train")
    )
    finding = findings_of(rows, by_code)["A203"]
    assert (finding.n, list(finding.rows)) == (1, [0, 4])
    assert conflicting(rows, group_same(rows.texts), within_split=True) == []


@given(
    st.lists(st.tuples(st.sampled_from(["a", "A ", "b", "c", ""]), st.integers(-1, 2), st.integers(0, 1)), max_size=12)
)
def test_as_a_count_by_hand(rows):
    table = Rows(
        [str(n) for n in range(len(rows))],
        [text for text, _, _ in rows],
        np.array([label for _, label, _ in rows], dtype=np.int64),
        np.array([split for _, _, split in rows], dtype=np.int64),
        ("train", "test"),
        ("x", "y", "z"),
    )
    groups = group_same(table.texts)
    keyed = [(same_text_key(text), label, split) for text, label, split in rows]
    per_split = Counter((key, split) for key, _, split in keyed if key)
    assert len(repeats(table, groups)) == sum(per_split.values()) - len(per_split)
    labels = {
        key: {label for other, label, _ in keyed if other == key and label != NO_LABEL} for key, _, _ in keyed if key
    }
    assert len(conflicting(table, groups)) == sum(len(found) > 1 for found in labels.values())
