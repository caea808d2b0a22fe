"""Words that may stand for one another, by the labels of the texts that they stand in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from matinee.data.synonyms import synonyms


def test_words_of_other_labels_are_no_synonyms():
    texts = [*["good enough"] * 40, *["bad enough"] * 40, *["great enough"] * 20]
    labels = np.array([1] * 40 + [0] * 40 + [1] * 20)
    alike = {"good": ("bad", "great", "unseen"), "bad": ("good",), "great": ("good",)}
    assert synonyms(alike, texts, labels) == {"good": ("great", "unseen"), "great": ("good",)}


def test_function_words_stay():
    alike = {"never": ("ever", "rarely"), "rarely": ("never", "seldom")}
    assert synonyms(alike, ["never", "rarely"], np.array([0, 1])) == {"rarely": ("seldom",)}


@given(st.lists(st.integers(1, 30), min_size=4, max_size=4))
def test_two_labels_are_compared_as_by_a_chi_squared_test(counts):
    """The square of the two proportions' z is the chi-squared statistic of the table; 2 errors are 4 of it."""
    table = np.array(counts).reshape(2, 2)
    texts = [word for word, row in zip(("one1", "two2"), table, strict=True) for word in [word] * int(row.sum())]
    labels = np.concatenate([np.repeat([0, 1], row) for row in table])
    statistic = chi2_contingency(table, correction=False).statistic
    if abs(statistic - 4) > 1e-6:
        assert bool(synonyms({"one1": ("two2",)}, texts, labels)) == (statistic < 4)
