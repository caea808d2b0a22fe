"""Words and sentences of a text, by their places in it. Whatever the tokenizer does, this is what a person sees."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matinee.tokens.alignment import align

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Scripts whose words no space divides; each of these characters is a word here. Of Thai, Lao and Khmer a run is one.
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_FLAG = "\U0001f1e6-\U0001f1ff"
_EMOJI = "\u00a9\u00ae\u203c\u2049\u2122\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\U0001f000-\U0001faff"
_SKIN = "\U0001f3fb-\U0001f3ff"
# Joiners hold emoji and Indic letters together; they are no marks to Unicode.
_JOINERS = "\u200c\u200d"

_STOP = re.compile(r"[.!?…。！？][.!?…。！？\"'”’»)\]]*")
_ALWAYS_STOP = re.compile(r"[。！？]")
_PARAGRAPH = re.compile(r"<\s*(?:br|p|/p|div|/div|li|/li)\b|\n\s*\n", re.IGNORECASE)
_ABBREVIATIONS = {"mr", "mrs", "ms", "dr", "prof", "st", "vs", "jr", "sr", "etc", "no", "vol", "dept"}


def find_words(text: str) -> tuple[str, NDArray[np.int64]]:
    """Return the words of a text as a reader takes them: HTML tags are not read, entities are what they show.

    Words are runs of letters and digits with the apostrophes and hyphens inside them, numbers ("4/10"), single
    ideographs, single emoji, and runs of other signs ("...").

    Returns:
        The text that the places are about (as given; see `matinee.tokens.alignment.align` for the exception), and start
        and end, exclusive, of each word, shape (n_words, 2), ascending, none inside another.
    """
    aligned = align(text)
    places = aligned.spans(np.array([match.span() for match in _pattern().finditer(aligned.text)]))
    # An entity can show two signs: they are one word, with whatever goes on after them.
    firsts = np.flatnonzero(np.append(True, places[1:, 0] >= np.maximum.accumulate(places[:, 1])[:-1])[: len(places)])
    lasts = np.append(firsts[1:], len(places))[: len(firsts)] - 1
    return aligned.given, np.column_stack([places[firsts, 0], places[lasts, 1]])


def find_sentences(text: str, words: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the first and last word, inclusive, of each sentence.

    A sentence ends at a full stop, question or exclamation mark before a space, unless after a single letter or a usual
    abbreviation, and at a line break in HTML or an empty line.
    """
    sentences, first = [], 0
    for word in range(len(words)):
        if word == len(words) - 1 or _ends(text, words, word):
            sentences.append((first, word))
            first = word + 1
    return sentences


def _ends(text: str, words: NDArray[np.int64], word: int) -> bool:
    (start, end), after = words[word], words[word + 1][0]
    gap = text[end:after]
    if _PARAGRAPH.search(gap):
        return True
    stop = text[start:end]
    if not _STOP.fullmatch(stop) or not (gap or _ALWAYS_STOP.search(stop)):
        return False
    before = text[words[word - 1][0] : words[word - 1][1]].lower() if word else ""
    return not (stop == "." and (before in _ABBREVIATIONS or (len(before) == 1 and before.isalpha())))


@cache
def _pattern() -> re.Pattern[str]:
    letter = rf"(?![{_IDEOGRAPH}])[\w{_marks()}]"
    mark = f"[{_marks()}]"
    emoji = rf"[{_EMOJI}](?:[{_SKIN}]|{mark})*"
    alternatives = (
        r"\d+(?:[.,:/]\d+)+",
        rf"[{_IDEOGRAPH}]{mark}*",
        rf"(?:{letter})+(?:['’\-\u2010\u2011](?:{letter})+)*",
        rf"[{_FLAG}]{{2}}",
        emoji,
        rf"[^\w\s{_marks()}{_EMOJI}]+{mark}*",
        r"\S",
    )
    return re.compile("|".join(alternatives))


@cache
def _marks() -> str:
    """Return the accents and vowel signs, for the inside of a character class: the word class of `re` knows letters alone."""
    ranges: list[list[int]] = []
    for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)):
        if code <= sys.maxunicode and unicodedata.category(chr(code)).startswith("M"):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return _JOINERS + "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
