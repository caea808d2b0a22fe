"""Cleaned characters and where they come from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from matinee.core.text import clean
from matinee.tokens import alignment
from matinee.tokens.alignment import align

# Pieces that cleaning changes, so that a random text has many of them.
ODD_PIECES = (
    *(
        "<br />",
        "</p>",
        "<3",
        "&amp;",
        "&eacute;",
        "&lt",
        "&ltfoo",
        "&nbsp;",
        "&#128077;",
        "&#x200b;",
        "&NotEqualTilde;",
        "&amp;lt;",
    ),
    *("\x00", "\u200b", "\ufeff", "\ud800", "\x1b[31m", "e\u0301", "u\u0308\u0301", "\u0301", "\u1100\u1161\u11a8"),
    *(
        "\u0958",
        "\u212b",
        "\u0130",
        "\u03a3",
        " ",
        "\t\n ",
        "\u00a0",
        "\u2003",
        "a",
        "B",
        ".",
        "\U0001f44d\U0001f3fd",
        "\u6620",
    ),
)
texts = st.lists(st.sampled_from(ODD_PIECES) | st.text(max_size=4), max_size=20).map("".join)


@settings(max_examples=400)
@given(text=texts, lowercase=st.booleans())
@example(text="&ltfoo e\u0301<br />x", lowercase=True)
@example(text="", lowercase=False)
def test_the_text_is_the_cleaned_one_and_places_are_in_order(text, lowercase):
    aligned = align(text, lowercase=lowercase)
    assert aligned.text == clean(text, lowercase=lowercase)
    assert aligned.given == text
    assert len(aligned.starts) == len(aligned.ends) == len(aligned.text)
    assert (np.diff(aligned.starts) >= 0).all()
    assert (np.diff(aligned.ends) >= 0).all()
    assert (aligned.starts < aligned.ends).all()
    assert aligned.ends.max(initial=0) <= len(text)


@settings(max_examples=200)
@given(text=texts)
def test_what_cleaning_leaves_alone_is_found_where_it_stood(text):
    aligned = align(text)
    for character, start, end in zip(aligned.text, aligned.starts, aligned.ends, strict=True):
        source = text[start:end]
        assert clean(source) in {"", character} or character in clean(source) or character in " \u0301"


@pytest.mark.parametrize(
    ("text", "shown", "source"),
    [
        ("Great<br /><br />film", "film", "film"),
        ("caf&eacute; noir", "café", "caf&eacute;"),
        ("cafe\u0301 noir", "café", "cafe\u0301"),
        ("won\u200bder  ful", "wonder", "won\u200bder"),
        ("\ud55c\u1100\u1161", "\ud55c\uac00", "\ud55c\u1100\u1161"),
        ("a &ltb c", "<", "&lt"),
        ("  spaced  ", "spaced", "spaced"),
        ("x\U0001f468\u200d\U0001f469 y", "\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
    ],
)
def test_a_piece_is_traced_back(text, shown, source):
    aligned = align(text)
    at = aligned.text.index(shown)
    ((start, end),) = aligned.spans(np.array([[at, at + len(shown)]])).tolist()
    assert text[start:end] == source


def test_a_letter_that_becomes_two_stays_one_place():
    aligned = align("x\u0130y", lowercase=True)
    assert aligned.text == "xi\u0307y"
    assert [*zip(aligned.starts.tolist(), aligned.ends.tolist(), strict=True)] == [(0, 1), (1, 2), (1, 2), (2, 3)]


def test_an_empty_span_is_a_place():
    assert align("a <i>b").spans(np.array([[2, 2], [3, 3], [0, 0]])).tolist() == [[5, 5], [6, 6], [0, 0]]
    assert align("").spans(np.empty((0, 2))).tolist() == []


def test_should_cleaning_ever_differ_places_are_in_the_cleaned_text(monkeypatch):
    monkeypatch.setattr(alignment, "clean", lambda text, lowercase: "something else")
    aligned = align("some text")
    assert (aligned.given, aligned.text) == ("something else", "something else")
    assert aligned.spans(np.array([[0, 9]])).tolist() == [[0, 9]]
