from __future__ import annotations

import pytest

from matinee.core.text import clean
from matinee.data.audit.language import foreign_language, language_shares, script_of, usual_language
from matinee.data.audit.oddities import _CONTROL, look_for_oddities, oddity_findings, repair

ENGLISH = "The film was better than we expected and it is one of those that you will not forget."
GERMAN = "Der Film war besser als erwartet und ist einer von denen, die man nicht mehr vergisst, auch wenn er lang ist."
FRENCH = (
    "Le film est bien meilleur que ce que nous pensions et il est de ceux qui ne sont pas vite oubliés par les gens."
)
SPANISH = "La película es mucho mejor de lo que esperaba y una de las que no se olvidan, por más que pase el tiempo."


def findings_of(make_rows, by_code, *texts):
    rows = make_rows(*((text, "x", "all") for text in texts))
    return by_code(oddity_findings(rows, look_for_oddities(rows.texts)))


def test_plain_texts_are_no_finding(make_rows, by_code):
    texts = [
        ENGLISH,
        "I <3 it & you",
        "a < b > c",
        "AT&T; really",
        "<name of the film>",
        "",
        "naïve “café”",
        "line\nend\ttab",
    ]
    assert findings_of(make_rows, by_code, *texts) == {}


@pytest.mark.parametrize(
    "text", ["one<br />two", "<p class='x'>one", "</I>", "fish &amp; chips", "&#39;", "&nbsp;", "<A HREF=x>"]
)
def test_html_is_found_and_removed(text, make_rows, by_code):
    finding = findings_of(make_rows, by_code, ENGLISH, text)["A305"]
    assert list(finding.rows) == [1]
    assert "A305" not in findings_of(make_rows, by_code, repair(text))


def test_an_example_shows_the_odd_place(make_rows, by_code):
    finding = findings_of(make_rows, by_code, "word " * 200 + "<br /> here")["A305"]
    assert "<br /> here" in finding.examples[0]["text"]
    assert len(finding.examples[0]["text"]) <= 162


def test_every_control_character_is_one_that_cleaning_removes():
    found = [chr(point) for point in range(0x10000) if _CONTROL.fullmatch(chr(point))]
    assert len(found) > 2000
    assert {clean(character) for character in found} == {""}


def test_control_characters_are_found_and_quotes_come_back(make_rows, by_code):
    finding = findings_of(make_rows, by_code, "it\x92s fun \x96 really\x00", "zero\u200bwidth", "fine\r\n")["A306"]
    assert list(finding.rows) == [0, 1]
    assert repair("it\x92s fun \x96 really\x00") == "it’s fun – really"


def test_lone_surrogates_do_not_break_an_example(make_rows, by_code):
    finding = findings_of(make_rows, by_code, "bad \ud83d half")["A306"]
    assert finding.examples[0]["text"].encode() == "bad \ufffd half".encode()


def test_mojibake_shows_what_it_would_be(make_rows, by_code):
    finding = findings_of(make_rows, by_code, ENGLISH, "a cafÃ© in town")["A307"]
    assert (list(finding.rows), finding.examples[0]["repaired"]) == ([1], "a café in town")


def test_lost_characters_are_found_also_where_they_are_mojibake(make_rows, by_code):
    assert list(findings_of(make_rows, by_code, "caf\ufffd", "cafï¿½", "café")["A308"].rows) == [0, 1]


def test_texts_without_a_word_are_found(make_rows, by_code):
    assert list(findings_of(make_rows, by_code, "😂😂😂", "...", "5", "", "日本")["A304"].rows) == [0, 1]


def test_another_script_is_found(make_rows, by_code):
    texts = [ENGLISH, ENGLISH + "!", "Очень хороший фильм", "日本の映画が好き", "a", "Müller’s привет and more English"]
    finding = findings_of(make_rows, by_code, *texts)["A309"]
    assert list(finding.rows) == [2, 3]
    assert "Cyrillic 1" in finding.title
    assert finding.examples[0]["script"] == "Cyrillic"


def test_another_language_is_found(make_rows, by_code):
    finding = findings_of(
        make_rows, by_code, *([ENGLISH] * 5), GERMAN, FRENCH, SPANISH, "El cine", "Das Boot is a film"
    )["A310"]
    assert {row: example["language"] for row, example in zip(finding.rows, finding.examples, strict=True)} == {
        5: "German",
        6: "French",
        7: "Spanish",
    }


def test_the_rest_may_be_in_any_language(make_rows, by_code):
    finding = findings_of(make_rows, by_code, *([GERMAN] * 3), ENGLISH)["A310"]
    assert (list(finding.rows), finding.examples[0]["language"]) == ([3], "English")


def test_unknown_languages_and_short_texts_are_not_judged():
    assert language_shares("too short to tell") is None
    assert (
        usual_language([None, language_shares("lorem ipsum dolor sit consectetur adipiscing elit sed eiusmod tempor")])
        is None
    )
    assert foreign_language(None, "English") is None


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("abc", "Latin"),
        ("ab", None),
        ("Ελλάδα", "Greek"),
        ("שלום", "Hebrew"),
        ("हिन्दी", "Devanagari"),
        ("한국어", "Hangul"),
        ("123", None),
    ],
)
def test_scripts(text, script):
    assert script_of(text) == script


def test_repairing_keeps_lines():
    assert repair("one<br>two\r\n\r\n three &amp; four ") == "one two\n\nthree & four"
