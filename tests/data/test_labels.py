from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.core.errors import DataError
from matinee.data.labels import (
    LabelCodes,
    check_labels,
    label_key,
    means_unlabelled,
    order_names,
    sorted_names,
    to_indices,
)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("pos", "pos"),
        (" pos ", "pos"),
        (1, "1"),
        (1.0, "1"),
        ("1", "1"),
        ("1.0", "1"),
        ("-1", "-1"),
        ("007", "007"),
        (True, "True"),
        ("True", "True"),
        (0.5, "0.5"),
        ("none", "none"),
        (None, None),
        (math.nan, None),
        ("", None),
        ("  ", None),
    ],
)
def test_label_key(value, key):
    assert label_key(value) == key


@pytest.mark.parametrize("word", ["NaN", " nan ", ""])
def test_a_missing_value_that_was_made_a_word_is_no_label(word):
    assert label_key(word) is None


def test_what_is_no_label():
    with pytest.raises(ValueError, match="a list"):
        label_key([1])


@given(st.integers())
def test_integers_of_every_spelling_are_one_label(number):
    keys = {label_key(number), label_key(str(number)), label_key(f"{number}.0")}
    assert keys == {str(number)}


def test_true_and_one_are_not_confused():
    codes = LabelCodes()
    assert [codes.code(value) for value in (1, True, "1", 1.0, "True", None)] == [0, 1, 0, 0, 1, None]
    assert codes.keys == ["1", "True"]


def test_known_names_replace_values():
    codes = LabelCodes({"0": "negative", "1": "positive"})
    assert [codes.code(value) for value in (1, "0", "positive")] == [0, 1, 0]
    assert codes.keys == ["positive", "negative"]


@pytest.mark.parametrize(
    ("labels", "names", "answer"),
    [
        (["0", "1"], {}, True),
        (["2", "0", "1"], {}, True),
        (["0", "1", "2", "-1"], {}, True),
        (["-1", "0", "1"], {}, False),  # a scale
        (["-1", "1"], {}, False),
        (["0", "-1"], {}, False),
        (["1", "2"], {}, False),
        (["bad", "good"], {}, False),
        (["bad", "good"], {"0": "bad", "1": "good"}, True),
        (["bad", "good", "-1"], {"0": "bad", "1": "good"}, True),
        (["bad", "good"], {"-1": "bad", "1": "good"}, False),
    ],
)
def test_where_minus_one_is_no_label(labels, names, answer):
    assert means_unlabelled(labels, names) is answer


def test_minus_one_of_every_spelling_is_skipped():
    codes = LabelCodes(skip_unlabelled=True)
    assert [codes.code(value) for value in (1, -1, "-1", -1.0, "-1.0", 0)] == [0, None, None, None, None, 1]
    assert codes.keys == ["1", "0"]


def test_order():
    assert sorted_names(["10", "9", "-1"]) == ("-1", "9", "10")
    assert sorted_names(["b", "B", "a"]) == ("B", "a", "b")
    assert sorted_names(["10", "9", "x"]) == ("10", "9", "x")


def test_the_positive_label_comes_last():
    assert order_names(("ham", "spam"), None) == ("ham", "spam")
    assert order_names(("ham", "spam"), "ham") == ("spam", "ham")
    with pytest.raises(DataError, match="Did you mean 'spam'"):
        order_names(("ham", "spam"), "spamm")
    with pytest.raises(DataError, match="two classes"):
        order_names(("a", "b", "c"), "a")


@pytest.mark.parametrize(
    ("keys", "n_rows", "said"),
    [
        (["pos"], 10, "every row has the label 'pos'"),
        ([], 0, "no rows"),
        (["0.12", "0.7"], 10, r"numbers such as 0\.12, not classes"),
        ([f"text {n}" for n in range(51)], 60, "51 different values in 60 rows"),
    ],
)
def test_columns_that_hold_no_classes(keys, n_rows, said):
    with pytest.raises(DataError, match=said):
        check_labels(keys, n_rows, "label")


def test_many_classes_are_fine_where_rows_repeat_them():
    check_labels([f"intent {n}" for n in range(77)], 10_000, "label")
    check_labels(["1", "2", "3"], 3, "label")


def test_indices():
    assert to_indices(np.array([0, 1, 0]), ["pos", "neg"], ("neg", "pos")).tolist() == [1, 0, 1]
