from __future__ import annotations

import numpy as np
import pytest

from matinee.data.audit import TokenLengths
from matinee.data.audit.duplicates import group_same
from matinee.data.audit.lengths import count_words, distribution, length_findings, truncation_facts, truncation_finding


@pytest.mark.parametrize(
    ("text", "n_words"),
    [("", 0), ("one two", 2), ("a  b\nc", 3), ("日本 語", 3), ("naïve café", 2), ("see 東京 now", 4), ("😂", 1)],
)
def test_words(text, n_words):
    assert count_words(text) == n_words


def findings_of(make_rows, by_code, *texts):
    rows = make_rows(*((text, "x", "all") for text in texts))
    words = np.array([count_words(text) for text in texts])
    return by_code(length_findings(rows, group_same(texts), words))


def test_usual_lengths_are_no_finding(make_rows, by_code):
    assert findings_of(make_rows, by_code, "one two three", "four five six " * 50) == {}


def test_empty_short_and_long_texts(make_rows, by_code):
    found = findings_of(
        make_rows, by_code, "one two three four", "", " <br /> ", "ok", "so good", "long " * 1000, "a " * 60_000
    )
    assert list(found["A301"].rows) == [1, 2]
    assert found["A301"].severity == "error"
    assert list(found["A302"].rows) == [3, 4]
    assert list(found["A303"].rows) == [6, 5]


def test_one_row_alone_is_long_only_if_it_is_a_book(make_rows, by_code):
    assert findings_of(make_rows, by_code, "word " * 10_000) == {}
    assert "A303" in findings_of(make_rows, by_code, "word " * 200_000)


def tokens(lengths, max_length=10, rows=None):
    rows = np.arange(len(lengths)) if rows is None else np.array(rows)
    return TokenLengths("tiny", max_length, np.array(lengths), 2, rows)


def test_truncation_in_shares_of_texts_and_tokens(make_rows):
    rows = make_rows(*((f"text {n}", "x", "all") for n in range(4)))
    measured = tokens([5, 10, 14, 21])
    facts = truncation_facts(measured, rows.texts)
    # Of 42 tokens that are not special, 4 + 11 are never seen.
    assert (facts["texts"], facts["tokens"]) == (0.5, pytest.approx(15 / 42))
    finding = truncation_finding(rows, measured, facts)
    assert (list(finding.rows), finding.n, finding.severity) == ([3, 2], 2, "warning")
    assert finding.examples[0]["tokens"] == 21


def test_a_sample_stands_for_all(make_rows):
    rows = make_rows(*((f"text {n}", "x", "all") for n in range(10)))
    measured = tokens([5, 14], rows=[3, 7])
    facts = truncation_facts(measured, rows.texts)
    finding = truncation_finding(rows, measured, facts)
    assert facts["sampled"]
    assert (finding.n, list(finding.rows)) == (5, [7])
    assert "judged by 2 random ones" in finding.title


def test_nothing_cut_is_no_finding(make_rows):
    rows = make_rows(("a", "x", "all"))
    measured = tokens([10])
    assert truncation_finding(rows, measured, truncation_facts(measured, rows.texts)) is None
    empty = truncation_facts(tokens([2]), rows.texts)
    assert (empty["texts"], empty["tokens"]) == (0.0, 0.0)


def test_a_distribution_of_nothing_is_nothing():
    assert distribution(np.array([], dtype=np.int64)) == {}
    assert distribution(np.array([1, 2, 9]))["median"] == 2.0
