"""Cues of English reviews: rough signs, read off the words, of what may make a text hard.

Every pattern is bounded: what it costs grows with the length of the text and no faster, so that a text of a megabyte is read in a
fraction of a second.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from matinee.evaluation.lexicon import BLAME, NEGATORS, PRAISE, SARCASTIC_PHRASES, STRONG_PRAISE

if TYPE_CHECKING:
    from collections.abc import Callable

# As in `core.text.clean`, whose whole work would cost as much as all cues together.
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_EDGES = string.punctuation + "“”‘’…–—"
_SIGNS = {**dict.fromkeys(PRAISE, 1), **dict.fromkeys(BLAME, -1)}
_WORDS_A_NEGATOR_REACHES = 3
_WORDS_OF_ONE_THOUGHT = 10

_NEGATION = re.compile(r"n't\b|\b(?:not|no|never|cannot)\b")
_CONTRAST = re.compile(r"\b(?:but|however|although|though|yet)\b")
# It starts with the digit, and looks behind it afterwards, since a search for a digit skips through a text far faster than any other.
_RATING = re.compile(
    r"\d(?<![\w/.,]\d)\d{0,2}(?:[.,]\d{1,2})?\s?"
    r"(?:/\s?(?:5|10|100)(?![\w/]|[.,]\d)|out of (?:5|10|100|four|five|ten)\b|(?:and a half )?stars?\b)"
)
_RATING_IN_WORDS = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten) "
    r"(?:out of (?:5|10|four|five|ten)|(?:and a half )?stars?)\b"
)
_QUOTED = (
    re.compile(r"[\"“”]([^\"“”\n]{1,40})[\"“”]"),
    re.compile(r"'(?<![\w']')([^'\n]{1,40})'(?!\w)"),
)
_MOST_WORDS_IN_SCARE_QUOTES = 3
_SARCASTIC_PHRASES = tuple(f" {phrase} " for phrase in SARCASTIC_PHRASES)
_EXAGGERATING = frozenset(
    {"absolute", "absolutely", "how", "oh", "pure", "simply", "so", "such", "totally", "truly", "utterly", "what"}
)


@dataclass(frozen=True)
class Reading:
    """A text as the cues read it.

    Attributes:
        text: The text without HTML tags.
        lower: The same in lower case, with straight apostrophes.
        words: Its words in lower case, in order; what stands between white space, without the punctuation around it.
    """

    text: str
    lower: str
    words: list[str]

    @classmethod
    def of(cls, text: str) -> Reading:
        """Read a text."""
        if "<" in text:
            text = _TAG.sub(" ", text)
        lower = text.lower().replace("’", "'")
        # Splitting at white space and stripping takes a third of the time of a regular expression for words.
        return cls(text, lower, [word for word in (part.strip(_EDGES) for part in lower.split()) if word])

    @cached_property
    def joined(self) -> str:
        """The words with a space before and after each, to find phrases in."""
        return f" {' '.join(self.words)} "

    @cached_property
    def opinions(self) -> list[tuple[int, int]]:
        """Place and sign of each word of praise (1) or blame (-1); "not good" counts as blame, "never boring" as praise."""
        words = self.words
        return [
            (place, -_SIGNS[word] if self._negated(place) else _SIGNS[word])
            for place, word in enumerate(words)
            if word in _SIGNS
        ]

    def _negated(self, place: int) -> bool:
        before = self.words[max(0, place - _WORDS_A_NEGATOR_REACHES) : place]
        return any(word in NEGATORS or word.endswith("n't") for word in before)


@dataclass(frozen=True)
class Cue:
    """A sign that a text shows or does not.

    Attributes:
        title: What texts that show it share, to follow "texts".
        found: Whether a text shows it.
    """

    title: str
    found: Callable[[Reading], bool]


def has_negation(reading: Reading) -> bool:
    """Return whether a text has "not", "n't", "never", "no" or "cannot"."""
    return _NEGATION.search(reading.lower) is not None


def has_contrast(reading: Reading) -> bool:
    """Return whether a text has "but", "however", "although", "though" or "yet"."""
    return _CONTRAST.search(reading.lower) is not None


def has_question(reading: Reading) -> bool:
    """Return whether a text has a question mark."""
    return "?" in reading.text


def has_rating(reading: Reading) -> bool:
    """Return whether a text has a rating: "4/10", "8 out of 10", "three stars", "★★"."""
    lower = reading.lower
    if _RATING.search(lower) is not None or any(star in lower for star in "★☆⭐"):
        return True
    in_words = "out of" in lower or " stars" in lower or " star " in lower
    return in_words and _RATING_IN_WORDS.search(lower) is not None


def has_mixed_sentiment(reading: Reading) -> bool:
    """Return whether a text both praises and blames: the rarer sign makes up at least 30 % of its words of praise and blame.

    One such word is enough in a text of up to 50 words; a longer one needs two.
    """
    n_praise = sum(sign > 0 for _, sign in reading.opinions)
    rarer, both = min(n_praise, len(reading.opinions) - n_praise), len(reading.opinions)
    return rarer >= (1 if len(reading.words) <= 50 else 2) and rarer >= 0.3 * both


def has_sarcasm(reading: Reading) -> bool:
    """Return whether a text shows a sign of sarcasm or irony.

    A set phrase ("yeah right", "oh great", "thanks for nothing"), a word of praise in quotes of at most three words (a "masterpiece"), or
    exaggerated praise ("such a masterpiece", "so brilliant") within ten words of a word of blame.
    """
    return (
        any(phrase in reading.joined for phrase in _SARCASTIC_PHRASES)
        or "(sarcasm)" in reading.lower
        or reading.lower.rstrip().endswith(" /s")
        or _praises_in_quotes(reading.text)
        or _praises_too_much(reading)
    )


def _praises_in_quotes(text: str) -> bool:
    for quoted in (inner for pattern in _QUOTED for inner in pattern.findall(text)):
        words = [word.strip(_EDGES) for word in quoted.split()]
        # "The Great Escape" is a title.
        plain = [word.lower() for word in words if word.islower() or word.isupper()]
        if len(words) <= _MOST_WORDS_IN_SCARE_QUOTES and not PRAISE.isdisjoint(plain):
            return True
    return False


def _praises_too_much(reading: Reading) -> bool:
    blamed_at = -_WORDS_OF_ONE_THOUGHT - 1
    exaggerated_at = blamed_at
    for place, sign in reading.opinions:
        if sign < 0:
            blamed_at = place
        elif _is_exaggerated(reading.words, place):
            exaggerated_at = place
        if abs(blamed_at - exaggerated_at) <= _WORDS_OF_ONE_THOUGHT and min(blamed_at, exaggerated_at) >= 0:
            return True
    return False


def _is_exaggerated(words: list[str], place: int) -> bool:
    before = [word for word in words[max(0, place - 2) : place] if word not in {"a", "an"}]
    return words[place] in STRONG_PRAISE and bool(before) and before[-1] in _EXAGGERATING


CUES: dict[str, Cue] = {
    "negation": Cue("with a negation (not, n't, never, no)", has_negation),
    "contrast": Cue("with a contrast (but, however, although, though, yet)", has_contrast),
    "sarcasm": Cue("with a cue of sarcasm or irony", has_sarcasm),
    "mixed-sentiment": Cue("with words of both praise and blame", has_mixed_sentiment),
    "question": Cue("with a question mark", has_question),
    "rating": Cue("with a rating (4/10, 8 out of 10, 3 stars)", has_rating),
}
"""Every cue by the name of its slice."""
