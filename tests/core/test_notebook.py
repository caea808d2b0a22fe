"""Predictions as a notebook shows them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matinee.core.notebook import MOST_ROWS, escaped, probability, table
from matinee.core.types import Predictions

_spec = importlib.util.spec_from_file_location("fragment", Path(__file__).parents[1] / "fragment.py")
fragment = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fragment)

HOSTILE = '</td><script>alert(1)</script> <img src=x onerror=alert(1)> & "quotes" \x00\x07\ud800 \u202e'


def predictions(texts=("a dull film", "a fine film", "a film"), names=("bad", "good"), **values):
    good = np.linspace(0.1, 0.9, len(texts))
    others = [(1 - good) / (len(names) - 1)] * (len(names) - 1)
    said = np.column_stack([*others, good])
    return Predictions([str(n) for n in range(len(texts))], list(texts), said, tuple(names), **values)


def shown(said):
    return fragment.Fragment(said._repr_html_())


class TestPredictions:
    def test_text_label_and_probability_of_each(self):
        page = shown(predictions())
        assert page.rows == [
            ["Text", "Label", "Probability"],
            ["a dull film", "bad", "0.900 "],
            ["a fine film", "bad", "0.500 "],
            ["a film", "good", "0.900 "],
        ]
        assert page.text.startswith("3 texts · bad 2, good 1")
        assert "right" not in page.text

    def test_true_labels_say_what_is_right(self):
        page = shown(predictions(labels=np.array([0, 1, 1])))
        assert [row[3] for row in page.rows] == ["True label", "✓\xa0bad", "✗\xa0good", "✓\xa0good"]
        assert page.text.endswith("2 of 3 texts right (66.7%).")

    def test_who_abstains_is_neither_right_nor_wrong(self):
        page = shown(predictions(labels=np.array([0, 1, 1]), abstain_below=0.6))
        assert page.rows[2][1] == "uncertain"
        assert page.rows[2][3] == "good"
        assert "bad 1, good 1, uncertain 1" in page.text
        assert page.text.endswith("2 of 2 answers right (100.0%).")

    def test_nothing_answered_is_no_division_by_zero(self):
        assert shown(predictions(labels=np.array([0, 1, 1]), abstain_below=0.99)).text.endswith("0 of 0 answers right.")

    def test_sets_of_labels(self):
        page = shown(predictions(set_above=0.3))
        assert [row[-1] for row in page.rows] == ["Cannot be excluded", "bad", "bad, good", "good"]
        assert shown(predictions(set_above=0.95)).rows[1][-1] == "–"

    def test_no_texts(self):
        page = shown(predictions(texts=()))
        assert page.text == "0 texts"
        assert page.rows == []

    def test_many_long_texts_stay_small(self):
        said = predictions(texts=["word " * 100_000] * 500, labels=np.zeros(500, dtype=np.int64))
        page = shown(said)
        assert len(page.rows) == 1 + MOST_ROWS
        assert "… and 480 more texts." in page.text
        assert len(said._repr_html_()) < 40_000
        assert len(repr(said)) < 100

    def test_many_long_label_names_stay_small(self):
        said = predictions(names=[f"label {n} {'long ' * 500}" for n in range(300)], set_above=0.0)
        assert shown(said).rows[1][-1].endswith(", …")
        assert len(said._repr_html_()) < 20_000

    def test_the_commonest_of_many_labels_are_named(self):
        said = predictions(texts=["a"] * 56, names=[f"label {n}" for n in range(20)])
        likeliest = [5] * 10 + [3] * 20 + [*range(10, 18)] * 2 + [0] * 10
        said = replace(said, probabilities=np.eye(20)[likeliest])
        assert shown(said).text.startswith(
            "56 texts · label 3 20, label 0 10, label 5 10, label 10 2, label 11 2, label 12 2, label 13 2, label 14 2, "
            "other labels 6 Text"
        )
        assert shown(replace(said, probabilities=np.eye(20)[[4] * 56])).text.startswith("56 texts · label 4 56 Text")

    def test_markup_stays_text(self):
        page = shown(predictions(texts=[HOSTILE, HOSTILE], names=(HOSTILE, "<b>good</b>")))
        assert "<script>alert(1)</script>" in page.rows[1][0]
        assert page.rows[2][1] == "<b>good</b>"
        assert "\ufffd" in page.rows[1][0]

    def test_probabilities_that_are_no_numbers(self):
        said = replace(predictions(), probabilities=np.full((3, 2), np.nan))
        assert shown(said).rows[1][2] == "–"

    def test_in_plain_text_too_they_are_short(self):
        assert repr(predictions()) == "<Predictions: 3 texts, labels bad, good>"
        assert repr(predictions(texts=("a",))) == "<Predictions: 1 text, labels bad, good>"
        assert repr(predictions(names="abcdefg")) == "<Predictions: 3 texts, labels a, b, c, d, e, …>"


class TestPieces:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a  b\nc", "a b c"),
            ("abcdefghij", "abcdefghij"),
            ("abcdefghijk", "abcdefghi…"),
            ("<&>", "&lt;&amp;&gt;"),
            ("a" + " " * 50 + "b", "a…"),
            (None, "None"),
        ],
    )
    def test_escaped(self, text, expected):
        assert escaped(text, 10) == expected

    @pytest.mark.parametrize(("value", "width"), [(0.0, "0%"), (0.5, "50%"), (1.0000001, "100%"), (-1e-9, "0%")])
    def test_a_bar_stays_in_its_frame(self, value, width):
        assert f"width:{width};" in probability(value)

    def test_a_caption(self):
        page = fragment.Fragment(table(["a<b"], [["<strong>1</strong>"]], caption="x & y"))
        assert page.text == "x & y a<b 1"
