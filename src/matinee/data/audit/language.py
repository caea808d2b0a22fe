"""Texts unlike the rest: in another script, or in another language of the same script, as far as cheap signs tell."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Fewer letters of a text tell nothing of its script, fewer words nothing of its language.
_FEWEST_LETTERS = 3
_FEWEST_WORDS = 10

# Of running text the listed words are a fifth to a third in their own language and a few hundredths in the others.
_FOREIGN = 0.15
_OWN = 0.05

# A text is judged by its beginning.
_MOST_CHARACTERS = 2_000

_ASCII_LETTERS = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"[^\W\d_]+")
_JAPANESE = "Chinese or Japanese"
_SCRIPTS = {"CJK": _JAPANESE, "HIRAGANA": _JAPANESE, "KATAKANA": _JAPANESE, "FULLWIDTH": "Latin"}

# Very frequent words that are none in the other languages here.
_FREQUENT = {
    "English": "the of and to is that it was for with as his they this have from but not what were we when your said there "
    "which their if will about would been who has had are be you",
    "German": "der die und das nicht ist ein eine ich sie es mit sich auf dem den von zu für auch aber wie noch nur oder wird "
    "sind einen war haben",
    "French": "le les et des est une dans que qui pas pour sur au avec ce il sont plus cette mais nous vous du aux elle ont "
    "leur fait être",
    "Spanish": "el los las y por con para una su al lo como pero sus más este ya todo esta muy hay fue ser son película está "
    "porque",
    "Italian": "il di che è per una sono del della non con le gli alla questo anche più nel ma dei come ha delle molto "
    "essere si",
    "Portuguese": "o os não uma do da em um para com é as dos no na mais mas ao das foi ele tem seu sua ou ser quando muito "
    "há nos já",
    "Dutch": "de het een van en dat niet te zijn op voor met aan er maar om ook bij nog naar dan wordt heeft deze werd kan "
    "geen wel",
    "Swedish": "och att det som en på är av för med den till inte har jag ett om hade men vi kan från så när ut alla mycket",
}


def _exclusive(words: dict[str, str]) -> dict[str, str]:
    """Return the language of each word, without those that stand with another one too."""
    count = Counter(word for listed in words.values() for word in set(listed.split()))
    return {word: name for name, listed in words.items() for word in listed.split() if count[word] == 1}


_LANGUAGE_OF = _exclusive(_FREQUENT)


def script_of(text: str) -> str | None:
    """Return the script of most letters of a text (`Latin`, `Cyrillic`, …), None with fewer than three letters."""
    text = text[:_MOST_CHARACTERS]
    counts = Counter({"Latin": len(_ASCII_LETTERS.findall(text))})
    if not text.isascii():
        counts.update(_script(character) for character in text if character > "\x7f" and character.isalpha())
    script, n_letters = counts.most_common(1)[0]
    return script if n_letters >= _FEWEST_LETTERS else None


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "UNKNOWN").split()[0].partition("-")[0]
    return _SCRIPTS.get(name, name.capitalize())


def language_shares(text: str) -> dict[str, float] | None:
    """Return the share of each language's frequent words among a text's words, None where the text is too short to tell."""
    words = _WORD.findall(text[:_MOST_CHARACTERS].lower())
    if len(words) < _FEWEST_WORDS:
        return None
    counts = Counter(map(_LANGUAGE_OF.get, words))
    return {name: counts[name] / len(words) for name in _FREQUENT}


def usual_language(shares: Sequence[dict[str, float] | None]) -> str | None:
    """Return the language of most texts, None where they are of none of those known here."""
    best = Counter(_best(known) for known in shares if known is not None)
    language, _ = best.most_common(1)[0] if best else (None, 0)
    return language


def foreign_language(shares: dict[str, float] | None, usual: str) -> str | None:
    """Return the language of a text where it is clearly another than the usual one."""
    if shares is None or shares[usual] >= _OWN:
        return None
    best = _best(shares)
    return best if best != usual else None


def _best(shares: dict[str, float]) -> str | None:
    language = max(shares, key=shares.__getitem__)
    return language if shares[language] >= _FOREIGN else None
