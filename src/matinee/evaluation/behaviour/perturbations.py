"""Changes to a text that must not change what it says: each returns the changed text, or None where it has nothing to change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matinee.evaluation.behaviour.templates import NEUTRAL
from matinee.evaluation.behaviour.words import NAME_KINDS, NEUTRAL_EMOJI, PLACE_KINDS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    Perturbation = Callable[[str, random.Random], "str | None"]


# -- names, places, numbers -------------------------------------------------------------------------------------------


def swap_names(text: str, chance: random.Random) -> str | None:
    """Replace every known first name by another of the same gender; one name always by the same one."""
    return _swap(text, NAME_KINDS, chance)


def swap_places(text: str, chance: random.Random) -> str | None:
    """Replace cities by cities and countries by countries."""
    return _swap(text, PLACE_KINDS, chance)


def _swap(text: str, kinds: Sequence[Sequence[str]], chance: random.Random) -> str | None:
    others: dict[str, str] = {}
    for kind in kinds:
        present = [word for word in kind if re.search(rf"\b{word}\b", text)]
        absent = [word for word in kind if word not in present]
        others.update(zip(present, chance.sample(absent, min(len(present), len(absent))), strict=False))
    if not others:
        return None
    # "New England" and "New Mexico" are not England and Mexico; New York is listed whole.
    known = re.compile(rf"(?<!New )\b({'|'.join(sorted(others, key=len, reverse=True))})\b")
    return _changed(text, known.sub(lambda found: others[found[1]], text))


# A count with a unit of time or of people, or a year after "in", "from" or "since": a rating ("4/10", "9 stars", "100 %") says
# what the writer thinks, and "watched it 5 times" does too.
_COUNT = re.compile(
    r"(?<![\d.,/:$£€#-])(?<!\bof )\b(?:[2-9]|[1-9]\d{1,2})(?= (?:minutes|hours|days|weeks|months|years|people)\b)|"
    r"(?:(?<=\b[Ii]n )|(?<=\b[Ff]rom )|(?<=\b[Ss]ince ))(?:19|20)\d\d\b(?![-:–])"
)


def shift_numbers(text: str, chance: random.Random) -> str | None:
    """Move counts of time and people by one to a tenth of themselves, and years by one to five; ratings stay as they are."""

    def shifted(found: re.Match[str]) -> str:
        number = int(found[0])
        step = chance.randint(1, 5 if number >= 1900 else max(1, number // 10))
        return str(number - step if number - step >= 2 and chance.random() < 0.5 else number + step)

    return _changed(text, _COUNT.sub(shifted, text))


# -- spelling ---------------------------------------------------------------------------------------------------------

_TAG_OR_WORD = re.compile(r"<[^<>]*>|&\w+;|\w+://\S+|[^\W\d_]+")
_WORDS_PER_TYPO = 30
_SHORTEST = 5
# Two inner letters the other way round make another word of these: of the words that stand in eight IMDB reviews or more, those
# that do, and a few rarer ones.
_OTHER_WORDS = frozenset(
    {"there", "three", "tired", "tried", "tires", "tries", "singing", "signing", "signs", "sings", "scared", "sacred", "trial", "trail",
     "trials", "trails", "fired", "fried", "field", "filed", "files", "flies", "angels", "angles", "brain", "brian", "burnt", "brunt",
     "carving", "craving", "farming", "framing", "pairs", "paris", "rogue", "rouge", "satin", "stain", "titled", "tilted", "martial",
     "marital", "throne", "thorne", "casual", "causal", "united", "untied", "silver", "sliver", "split", "spilt"}
)  # fmt: skip


def add_typos(text: str, chance: random.Random) -> str | None:
    """Let two neighbouring letters inside a word change places, once in thirty words and at least once.

    First and last letters stay, so that a reader still reads the word, as do tags, links, and words of fewer than five letters.
    """
    words = list(_TAG_OR_WORD.finditer(text))
    candidates = [word for word in words if _swappable(word[0])]
    if not candidates:
        return None
    n_typos = min(len(candidates), max(1, len(words) // _WORDS_PER_TYPO))
    for word in sorted(chance.sample(candidates, n_typos), key=lambda found: -found.start()):
        place = word.start() + chance.choice(_swappable(word[0]))
        text = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    return text


def _swappable(word: str) -> list[int]:
    """Return the places inside a word at which two different letters follow one another; none in scripts without capitals."""
    # A run of Chinese or Japanese signs is a clause, not a word; capitals tell the alphabets from them.
    if not word.isalpha() or len(word) < _SHORTEST or word.lower() in _OTHER_WORDS or word.lower() == word.upper():
        return []
    return [place for place in range(1, len(word) - 2) if word[place].lower() != word[place + 1].lower()]


def to_upper(text: str, chance: random.Random) -> str | None:  # noqa: ARG001 - the shape of a perturbation
    """Write everything in capitals."""
    return _changed(text, text.upper())


def to_lower(text: str, chance: random.Random) -> str | None:  # noqa: ARG001 - the shape of a perturbation
    """Write everything in small letters."""
    return _changed(text, text.lower())


# -- contractions -----------------------------------------------------------------------------------------------------

_APOSTROPHE = "['’]"
_NOT = {
    "ca": "cannot", "wo": "will not", "do": "do not", "does": "does not", "did": "did not", "is": "is not", "are": "are not",
    "was": "was not", "were": "were not", "has": "has not", "have": "have not", "had": "had not", "would": "would not",
    "could": "could not", "should": "should not",
}  # fmt: skip
_IS = {"'m": " am", "'re": " are", "'ve": " have", "'ll": " will"}
# In a question the subject follows ("don't you think"), and "do not you" is no English.
_NO_QUESTION = r"(?!\s+(?:I|you|he|she|it|we|they|there|this|that|these|those|anyone|everyone)\b)"
_VERBS = "does|did|do|is|are|was|were|has|have|had|would|could|should"
_CONTRACTED_NOT = re.compile(rf"(?<!why )\b(ca|wo|{_VERBS})n{_APOSTROPHE}t\b{_NO_QUESTION}")
_CONTRACTED_IS = re.compile(rf"\b(I|[Yy]ou|[Ww]e|[Tt]hey)({_APOSTROPHE}(?:m|re|ve|ll))\b(?!{_APOSTROPHE})")
_EXPANDED_NOT = re.compile(rf"\b({_VERBS}) not\b(?! only)")
# Only before words that show a clause going on: "as I am." and "tired as I am of it" cannot be contracted.
_EXPANDED_IS = re.compile(
    r"\b(?:I am|[Ww]e are|[Tt]hey are|[Yy]ou are)(?= (?:a|an|the|not|so|very|really|sure|going|glad|sorry|with|from)\b)|"
    r"\b(?:I|[Ww]e|[Tt]hey|[Yy]ou) will(?= (?:be|say|give|never|have|always|see)\b)"
)


def change_contractions(text: str, chance: random.Random) -> str | None:  # noqa: ARG001 - the shape of a perturbation
    """Write "don't" as "do not" and "I'm" as "I am"; where there is nothing to expand, contract instead.

    "it's" and "he'd" stay: they can stand for two things.
    """
    expanded = _CONTRACTED_IS.sub(lambda found: found[1] + _IS[found[2].replace("’", "'")], text)
    expanded = _CONTRACTED_NOT.sub(lambda found: _NOT[found[1]], expanded)
    if expanded != text:
        return expanded
    contracted = _EXPANDED_IS.sub(_contracted, _EXPANDED_NOT.sub(r"\1n't", text))
    return _changed(text, contracted)


def _contracted(found: re.Match[str]) -> str:
    subject, verb = found[0].split(" ")
    ending = next(short for short, long in _IS.items() if long == f" {verb}")
    return subject + ending


# -- additions --------------------------------------------------------------------------------------------------------


def add_neutral_sentence(text: str, chance: random.Random) -> str | None:
    """Put a sentence of fact before or after the text."""
    if not text.strip():
        return None
    fact = chance.choice([fact for fact in NEUTRAL if fact not in text] or NEUTRAL)
    return f"{fact} {text}" if chance.random() < 0.5 else f"{text} {fact}"


def add_emoji(text: str, chance: random.Random) -> str | None:
    """Put a picture of a thing after the text."""
    return f"{text} {chance.choice(NEUTRAL_EMOJI)}" if text.strip() else None


_SPACE = re.compile(r"(?<=\S) (?=\S)")
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=\S)")
_SPACES = ("  ", "\n", "\t", "   ")


def change_layout(text: str, chance: random.Random) -> str | None:
    """Put HTML line breaks between sentences and at the end, and widen some spaces."""
    if not text.strip():
        return None
    broken = _SENTENCE_END.sub(lambda _: chance.choice((" ", "<br /><br />")), text)
    widened = _SPACE.sub(lambda _: chance.choice(_SPACES) if chance.random() < 0.2 else " ", broken)
    return f"  {widened}<br />\n"


def _changed(text: str, other: str) -> str | None:
    return None if other == text else other
