"""Words and sentences as a reader takes them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee.core.text import clean
from matinee.inference.explain.reading import Reading, share_out
from matinee.inference.explain.words import find_sentences, find_words


def words_of(text):
    given, places = find_words(text)
    return [given[start:end] for start, end in places]


def sentences_of(text):
    given, places = find_words(text)
    return [given[places[first][0] : places[last][1]] for first, last in find_sentences(given, places)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It isn't well-made, is it?", ["It", "isn't", "well-made", ",", "is", "it", "?"]),
        ("4/10, or 3.5 of 5...", ["4/10", ",", "or", "3.5", "of", "5", "..."]),
        ("Bad<br /><br />film", ["Bad", "film"]),
        ("caf&eacute; &amp; bar", ["caf&eacute;", "&amp;", "bar"]),
        ("cafe\u0301 na\u0131\u0308ve", ["cafe\u0301", "na\u0131\u0308ve"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("映画です great", ["映", "画", "で", "す", "great"]),
        ("\U0001f600\U0001f44d\U0001f3fd\u2764\ufe0f", ["\U0001f600", "\U0001f44d\U0001f3fd", "\u2764\ufe0f"]),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467!", ["\U0001f468\u200d", "\U0001f469\u200d", "\U0001f467", "!"]),
        ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", ["\U0001f1e9\U0001f1ea", "\U0001f1eb\U0001f1f7"]),
        ("<script>alert(1)</script>", ["alert", "(", "1", ")"]),
        ("won\u200bderful", ["won\u200bderful"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


@settings(max_examples=300)
@given(
    text=st.text(max_size=60)
    | st.lists(st.sampled_from(["&NotEqualTilde;", "&ltfoo", "a", "\u0301", "1/2", " "])).map("".join)
)
def test_words_hold_everything_that_is_read_once_and_in_order(text):
    given_text, places = find_words(text)
    assert (places[:, 0] < places[:, 1]).all()
    assert (places[1:, 0] >= places[:-1, 1]).all()
    shown = "".join(clean(given_text[start:end]) for start, end in places)
    if "&" not in text and "<" not in text:
        assert len(shown.replace(" ", "")) >= len(clean(text).replace(" ", "")) - text.count("\u0301")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Good. Bad! So-so?", ["Good.", "Bad!", "So-so?"]),
        ("Mr. Smith met J. R. there. He left.", ["Mr. Smith met J. R. there.", "He left."]),
        ("It costs 3.50 here.No space.", ["It costs 3.50 here.No space."]),
        ('He said "no." Then left', ['He said "no."', "Then left"]),
        ("one<br />two\n\nthree\nfour", ["one", "two", "three\nfour"]),
        ("良い。悪い。", ["良い。", "悪い。"]),
        ("... well", ["...", "well"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_sentences(text, sentences):
    assert sentences_of(text) == sentences


def test_pieces_are_shared_out_by_characters():
    words = np.array([[0, 4], [5, 8], [9, 12]])
    spans = np.array([[0, 2], [2, 4], [3, 6], [8, 9], [12, 13], [5, 5]])
    shared = share_out(spans, np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), words)
    assert shared.tolist() == [1 + 2 + 2, 2 + 32, 8 + 16]


@given(st.data())
def test_sharing_out_keeps_the_sum(data):
    _, words = find_words(data.draw(st.text(alphabet="ab .", min_size=1, max_size=30)))
    ends = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)
    spans = np.array(data.draw(st.lists(ends, max_size=10)), dtype=np.int64).reshape(-1, 2)
    values = np.array(data.draw(st.lists(st.floats(-5, 5), min_size=len(spans), max_size=len(spans))))
    total = share_out(spans, values, words).sum()
    assert total == pytest.approx(values.sum() if len(words) else 0, abs=1e-9)


def test_a_text_of_some_of_its_words():
    text, places = find_words("It was  not<br />bad, at all")
    reading = Reading(text, places, np.ones(len(places), dtype=bool))
    kept = np.array([word in {"It", "was", "bad", ",", "all"} for word in words_of(text)])
    assert reading.with_words(kept) == "It was bad, all"
    assert reading.with_words(~kept) == "not at"
    assert reading.with_words(np.zeros(len(places), dtype=bool)) == ""
