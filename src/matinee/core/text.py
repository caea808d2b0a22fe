"""Cleaning: the same function at training and at prediction, whatever the predictor."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from matinee.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

# A tag starts with a letter, or a slash and a letter: "a < b" and "<3" are not tags.
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
# C0 and C1 controls, zero-width and direction marks, the byte-order mark, lone surrogates; tab and line ends become spaces below.
# U+200D (zero-width joiner) stays: it holds emoji and Indic letters together.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff\ud800-\udfff]")
_SPACES = re.compile(r"\s+")


def clean(text: str, *, lowercase: bool = False) -> str:
    """Return `text` as a classifier reads it.

    HTML tags and entities become what they show (a line break is a space), control characters go, Unicode is
    brought to NFC, runs of white space become one space, and the ends are stripped. Applying it twice changes nothing
    unless the text held an escaped escape (`&amp;lt;`).

    Args:
        text: Any text.
        lowercase: Whether to lower-case; right where the encoder is uncased.

    Example:
        >>> clean("Great<br /><br />film &amp; cast ")
        'Great film & cast'
    """
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = html.unescape(text)
    text = unicodedata.normalize("NFC", _CONTROL.sub("", text))
    text = _SPACES.sub(" ", text).strip()
    return text.lower() if lowercase else text


def same_text_key(text: str) -> str:
    """Return a key under which texts count as the same: cleaned and case-folded."""
    return clean(text).casefold()


def as_texts(values: Sequence[str]) -> list[str]:
    """Return texts as a list: from a list, a tuple, an array of strings, or a pandas Series.

    Raises:
        DataError: They are not a one-dimensional run of strings.
    """
    if isinstance(values, str):
        raise DataError("texts must be a list of strings: wrap a single one, as in [text].")
    if getattr(values, "ndim", 1) != 1:
        raise DataError(f"texts must be one-dimensional: got shape {getattr(values, 'shape', None)}.")
    texts = list[Any](values)
    kinds = {type(text).__name__ for text in texts if not isinstance(text, str)}
    if kinds:
        raise DataError(f"texts must be strings: got {', '.join(sorted(kinds))}.")
    return [str(text) for text in texts]
