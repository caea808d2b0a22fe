"""An explanation as a notebook shows it."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matinee.inference.explain import explain
from matinee.inference.explain.explanation import Explanation, as_sentences, as_words

_spec = importlib.util.spec_from_file_location("fragment", Path(__file__).parents[2] / "fragment.py")
fragment = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fragment)


def explained(words, text=None, joint=" ", **values):
    """Return an explanation of a text; words with their contributions, None for one that was not read."""
    text = joint.join(word for word, _ in words) if text is None else text
    places, at = [], 0
    for word, _ in words:
        start = text.index(word, at)
        at = start + len(word)
        places.append((start, at))
    where = np.array(places, dtype=np.int64).reshape(-1, 2)
    read = np.array([figure is not None for _, figure in words], dtype=bool)
    marked = as_words(text, where, np.array([figure or 0.0 for _, figure in words]), read)
    made = {
        "text": text,
        "label": "good",
        "predicted": "good",
        "probability": 0.75,
        "method": "integrated_gradients",
        "how": "16 steps",
        "words": marked,
        "sentences": as_sentences(text, where, marked),
        "base_value": 0.0,
        "value": 1.0,
    }
    return Explanation(**(made | values))


def shown(explanation):
    return fragment.Fragment(explanation._repr_html_())


def test_words_are_marked_by_which_side_they_are_on():
    page = shown(explained([("a", 0.01), ("warm", 2.0), ("but", -0.5), ("long", -1.5), ("film", 0.0)]))
    legend = [("for", "for"), ("against", "against")]
    assert page.marks == [("for", "warm"), ("against", "but"), ("against", "long"), *legend]
    assert page.text.startswith("good, 75.0% a warm but long film for good: solid line. against it: dotted line.")
    assert "Method: integrated gradients, 16 steps. The figures sum to +0.010;" in page.text


def test_without_colour_the_two_sides_differ_in_their_line():
    html = explained([("warm", 2.0), ("long", -1.5)])._repr_html_()
    for side, line in (("for", "solid"), ("against", "dotted")):
        assert f'<mark title="{side}"' in html
        assert html.count(f"border-bottom:2px {line}") == 2  # the word and the legend


def test_the_strongest_words_of_each_side_are_listed():
    words = [(f"w{n}", 10.0 - n) for n in range(9)] + [("bad", -3.0), ("worse", -4.0)]
    page = shown(explained(words))
    assert page.rows[0] == ["For good", "", "Against good", ""]
    assert page.rows[1] == ["w0", "+10.000", "worse", "\u22124.000"]
    assert page.rows[2] == ["w1", "+9.000", "bad", "\u22123.000"]
    assert page.rows[3] == ["w2", "+8.000", "", ""]
    assert len(page.rows) == 1 + 8


def test_sentences_of_a_text_that_has_several():
    page = shown(
        explained([("A", 0.0), ("warm", 2.0), ("film", 0.1), (".", 0.0), ("But", -0.5), ("cold", -1.0), (".", 0.0)])
    )
    assert page.rows[-3:] == [
        ["Sentence", "Sum of its words"],
        ["A warm film .", "+2.100"],
        ["But cold .", "\u22121.500"],
    ]
    many = shown(explained([word for n in range(1, 41) for word in ((f"Sentence{n}", float(n)), (".", 0.0))]))
    assert many.rows[-9][0] == "The strongest 8 of 40 sentences"
    assert [row[0] for row in many.rows[-8:]] == [f"Sentence{n} ." for n in range(33, 41)]


def test_another_label_than_the_answer():
    page = shown(explained([("warm", 2.0)], label="bad", probability=0.25))
    assert page.text.startswith("bad, 25.0%; the classifier’s answer is good")


@pytest.mark.parametrize("words", [[], [("warm", None), ("film", None)]], ids=["no words", "none read"])
def test_nothing_was_read(words):
    assert shown(explained(words)).text == "good, 75.0% The classifier read no word of this text."


def test_words_that_all_count_nothing():
    page = shown(explained([("warm", 0.0), ("film", 0.0)]))
    assert page.marks == [("for", "for"), ("against", "against")]


def test_what_was_not_read_is_struck_out_and_cut():
    words = [("first", 1.0), *((f"u{n}", None) for n in range(30)), ("last", -1.0)]
    explanation = explained(words)
    page = shown(explanation)
    assert "first u0 u1 u2" in page.text
    assert "u11 … (18 more, not read) last" in page.text
    assert "u12" not in page.text
    assert explanation._repr_html_().count("<s ") == 1


def test_a_long_text_stays_small():
    explanation = explained([(f"word{n}{'x' * 500}", (-1.0) ** n * (1 + n / 5_000)) for n in range(5_000)])
    page = shown(explanation)
    assert "(4,700 more)" in page.text
    assert len(page.marks) == 300 + 2
    assert len(explanation._repr_html_()) < 80_000
    assert len(repr(explanation)) < 100


def test_markup_stays_text_and_tags_are_not_shown():
    text = "A <b>warm</b> film<br /><br />with &lt;script&gt; and <script>alert(1)</script>"
    words = [("A", 0.1), ("warm", 2.0), ("film", 0.2), ("with", 0.1), ("&lt;script&gt;", 1.0), ("and", 0.1)]
    html = explained(words, text, label="<i>good</i>", how="<u>", predicted="</p>")._repr_html_()
    page = fragment.Fragment(html)
    assert page.text.startswith("<i>good</i>, 75.0%; the classifier’s answer is </p>")
    assert ("for", "<script>") in page.marks
    assert "film</mark><br>with" in html
    assert "alert(1)" not in page.marks[-1][1]


def test_of_a_classifier(lexicon):
    (found,) = explain(lexicon({"warm": 2.0, "cold": -1.0}), ["A warm film.<br />A cold one."], method="occlusion")
    page = shown(found)
    assert ("for", "warm") in page.marks
    assert ("against", "cold") in page.marks
    assert "when the word is left out" in page.text
    assert repr(found) == f"<Explanation: good, {found.probability:.3f}, {len(found.words)} words>"
    assert shown(replace(found, text=found.text, how="\ud800")).text.count("\ufffd") == 1
