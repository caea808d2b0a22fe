"""Cues: each fires on what it is for, and not on what looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.evaluation.cues import CUES, Reading
from matinee.evaluation.lexicon import BLAME, NEGATORS, PRAISE, SARCASTIC_PHRASES, STRONG_PRAISE

FIRES = {
    "negation": [
        "It is not bad.",
        "I didn't laugh.",
        "I didn’t laugh.",
        "NEVER again",
        "There is no plot.",
        "I cannot say",
        "no",
    ],
    "contrast": [
        "Long, but fine.",
        "However, it drags",
        "good although long",
        "Even though",
        "short,yet sweet",
        "(But why)",
    ],
    "question": ["Why?", "who knows ?"],
    "rating": [
        "4/10",
        "I give it 8 out of 10.",
        "8 out of ten",
        "3 stars",
        "three stars from me",
        "Four and a half stars",
        "2.5/5",
        "7,5 / 10",
        "★★☆",
        "One out of ten.",
        "a 10/10!",
        "0 stars",
    ],
    "mixed-sentiment": [
        "A wonderful cast and a terrible script.",
        "beautiful pictures <br /><br />boring story",
        f"{'word ' * 60} lovely superb awful dreadful",
    ],
    "sarcasm": [
        "Yeah, right.",
        "Oh great, another sequel!",
        "oh JOY",
        "Thanks for nothing.",
        'This "masterpiece" put me to sleep.',
        "This “brilliant” idea",
        "a so-called 'classic' and 'superb' film",
        "What a masterpiece of boredom.",
        "Such an awful bore, and such a brilliant waste of money.",
        "Truly inspired: the worst two hours of my life.",
        "I loved it /s",
        "best film ever (sarcasm)",
    ],
}

SILENT = {
    "negation": ["Nothing is known of it, knot or note.", "a piano", "cannon"],
    "contrast": ["A button.", "Butter and attribute", "thoughtful", "yeti"],
    "question": ["No doubt.", ""],
    "rating": [
        "a film of 2004",
        "on 10/10/2004",
        "24/7",
        "the stars shine",
        "nine out of a hundred",
        "2003/10",
        "1/10th of it",
        "film stars of two continents",
        "it starts at 5",
    ],
    "mixed-sentiment": [
        "A wonderful, superb and charming film.",
        "bad, awful and boring",
        "not bad at all: great",
        f"{'word ' * 60} lovely awful",
        "great great great great awful",
        "",
    ],
    "sarcasm": [
        "Great film.",
        "It is right, yeah.",
        "John great",
        'I saw "The Great Escape" and "Gorgeous".',
        "I don't think it's 'about' love; isn't it?",
        "What a masterpiece. I went home and told every friend of mine about it, all twelve of them, even the boring ones.",
        "Such a wonderful film.",
        'He said "we all know that this is the best that there is" and left.',
        "not such a great film, it is awful",
        "",
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FIRES.items() for text in texts])
def test_a_cue_is_seen(name, text):
    assert CUES[name].found(Reading.of(text))


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in SILENT.items() for text in texts])
def test_what_looks_like_it_is_not(name, text):
    assert not CUES[name].found(Reading.of(text))


def test_every_cue_is_tried_both_ways():
    assert set(FIRES) == set(SILENT) == set(CUES)


@pytest.mark.parametrize("phrase", SARCASTIC_PHRASES)
def test_every_phrase_is_found_whatever_its_case_and_punctuation(phrase):
    first, *rest = phrase.split()
    assert CUES["sarcasm"].found(Reading.of(f"Well... {first.upper()}, {' '.join(rest)}! Two hours."))


def test_no_word_stands_on_both_lists():
    assert not PRAISE & BLAME
    assert STRONG_PRAISE <= PRAISE
    assert not NEGATORS & (PRAISE | BLAME)
    assert 140 <= len(PRAISE) <= 200
    assert 140 <= len(BLAME) <= 200


@pytest.mark.parametrize("words", [PRAISE, BLAME, STRONG_PRAISE, NEGATORS])
def test_a_word_of_the_lists_is_one_word_as_texts_are_read(words):
    for word in words:
        assert Reading.of(f"({word.upper()})").words == [word]


def test_words_are_counted_without_punctuation_and_tags():
    assert Reading.of("Two -- hours...<br /><br />(too) long!").words == ["two", "hours", "too", "long"]


@given(st.text())
def test_any_text_can_be_read(text):
    reading = Reading.of(text)
    assert all(cue.found(reading) in {True, False} for cue in CUES.values())
