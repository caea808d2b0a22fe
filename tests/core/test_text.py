from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.core.text import clean, same_text_key


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Great<br /><br />film &amp; cast ", "Great film & cast"),
        ("a <b>bold</b> claim", "a bold claim"),
        ("I <3 it, 1 < 2 and 3 > 2", "I <3 it, 1 < 2 and 3 > 2"),
        ("tab\there\r\nand\u00a0there", "tab here and there"),
        ("nul\x00 zero\u200bwidth \ufeffmark", "nul zerowidth mark"),
        ("cafe\u0301", "café"),
        ("lone \ud83d surrogate", "lone surrogate"),
        ("family 👩\u200d👩\u200d👧", "family 👩\u200d👩\u200d👧"),
        ("  \n\t ", ""),
        ("<br />", ""),
    ],
)
def test_clean(text, cleaned):
    assert clean(text) == cleaned


def test_lowercase_only_where_asked():
    assert clean("GOOD") == "GOOD"
    assert clean("GOOD", lowercase=True) == "good"


@given(st.text(alphabet=st.characters(exclude_characters="&<>")))
def test_cleaning_twice_changes_nothing(text):
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip()


@given(st.text())
def test_a_cleaned_text_can_be_written(text):
    clean(text).encode("utf-8")


def test_the_same_text_in_other_clothes():
    assert same_text_key("A  Film<br />") == same_text_key("a film")
    assert same_text_key("a film") != same_text_key("a movie")
