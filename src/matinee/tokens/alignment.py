"""Where each character of a cleaned text stands in the text as it was given."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.text import _CONTROL, _SPACES, _TAG, clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    _Edit = tuple[int, int, str]

# What html.unescape looks at.
_ENTITY = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")
# The one letter that becomes two when it is lower-cased.
_DOTTED_I = re.compile("\u0130")
# Below this no character joins the one before it.
_FIRST_MARK = "\u0300"


@dataclass(frozen=True)
class Alignment:
    """A cleaned text beside the one it was made from.

    Attributes:
        given: The text that the positions are about.
        text: The cleaned text.
        starts: Where what became each character of `text` begins in `given`, shape (n_characters,).
        ends: Where it ends, exclusive; both never fall from one character to the next.
    """

    given: str
    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def spans(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where pieces of `text` stand in `given`.

        Args:
            places: Start and end, exclusive, of each piece in `text`, shape (n, 2); one without characters is a place.

        Returns:
            Shape (n, 2).
        """
        places = np.asarray(places, dtype=np.int64).reshape(-1, 2)
        starts = np.append(self.starts, len(self.given))[places[:, 0]]
        ends = np.append(self.ends, 0)[places[:, 1] - 1]
        return np.column_stack([starts, np.where(places[:, 0] < places[:, 1], ends, starts)])


def align(text: str, *, lowercase: bool = False) -> Alignment:
    """Clean a text as `matinee.core.text.clean` does, and keep track of its characters.

    Should the steps ever disagree with `clean`, positions are those in the cleaned text, and `given` is that text.
    """
    places = np.arange(len(text), dtype=np.int64)
    aligned = Alignment(text, text, places, places + 1)
    aligned = _edited(aligned, ((*match.span(), " ") for match in _TAG.finditer(text)))
    aligned = _edited(aligned, _entities(aligned.text))
    aligned = _edited(aligned, ((*match.span(), "") for match in _CONTROL.finditer(aligned.text)))
    aligned = _edited(aligned, _composed(aligned.text))
    aligned = _edited(aligned, _spaces(aligned.text))
    if lowercase:
        aligned = _edited(aligned, ((*match.span(), match[0].lower()) for match in _DOTTED_I.finditer(aligned.text)))
        aligned = replace(aligned, text=aligned.text.lower())
    expected = clean(text, lowercase=lowercase)
    if aligned.text == expected and len(aligned.starts) == len(expected):
        return aligned
    places = np.arange(len(expected), dtype=np.int64)
    return Alignment(expected, expected, places, places + 1)


def _edited(aligned: Alignment, edits: Iterator[_Edit]) -> Alignment:
    """Replace pieces of the text; what stands in for a piece stands where all of the piece stood."""
    texts: list[str] = []
    starts: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []
    at = 0
    for start, end, new in edits:
        texts += [aligned.text[at:start], new]
        starts += [aligned.starts[at:start], np.full(len(new), aligned.starts[start])]
        ends += [aligned.ends[at:start], np.full(len(new), aligned.ends[end - 1])]
        at = end
    if not texts:
        return aligned
    return Alignment(
        aligned.given,
        "".join([*texts, aligned.text[at:]]),
        np.concatenate([*starts, aligned.starts[at:]]),
        np.concatenate([*ends, aligned.ends[at:]]),
    )


def _entities(text: str) -> Iterator[_Edit]:
    for match in _ENTITY.finditer(text):
        shown = html.unescape(match[0])
        if shown == match[0]:
            continue
        # `&ltfoo` is a "<" and the word after it: what stays the same at the end is no part of the entity.
        n_same = 0
        while n_same < len(shown) - 1 and shown[-1 - n_same] == match[0][-1 - n_same]:
            n_same += 1
        yield match.start(), match.end() - n_same, shown[: len(shown) - n_same]


def _composed(text: str) -> Iterator[_Edit]:
    """Find the pieces that NFC changes: a letter and the marks after it."""
    if unicodedata.is_normalized("NFC", text):
        return
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and not _begins(text[end]):
            continue
        piece = text[start:end]
        if not piece.isascii() and (composed := unicodedata.normalize("NFC", piece)) != piece:
            yield start, end, composed
        start = end


def _begins(character: str) -> bool:
    """Return whether a character never composes with the one before it; Hangul vowels and finals do, though no marks."""
    if character < _FIRST_MARK:
        return True
    return not unicodedata.category(character).startswith("M") and not "\u1160" <= character <= "\u11ff"


def _spaces(text: str) -> Iterator[_Edit]:
    for match in _SPACES.finditer(text):
        at_an_end = match.start() == 0 or match.end() == len(text)
        if at_an_end or match[0] != " ":
            yield match.start(), match.end(), "" if at_an_end else " "
