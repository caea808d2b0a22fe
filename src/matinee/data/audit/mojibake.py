"""Mojibake: UTF-8 that was read as Windows-1252 or Latin-1, found and undone.

One character became two, three or four: a lead byte and its continuation bytes, shown as letters (`é` as `Ã©`). Each
such run is decoded by itself, so that a text may hold sound characters beside broken ones. Pairs that sound text may
hold as well count only where they are many.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Windows-1252 shows bytes 0x80-0x9f as these; the five that it leaves open come through as control characters.
_CHARACTER = {byte: bytes([byte]).decode("latin-1") for byte in range(0x80, 0x100)}
for _byte in range(0x80, 0xA0):
    _CHARACTER[_byte] = bytes([_byte]).decode("cp1252", "ignore") or _CHARACTER[_byte]
_BYTE = {character: byte for byte, character in _CHARACTER.items()} | {chr(byte): byte for byte in range(0x80, 0x100)}

_TAIL = f"[{re.escape(''.join(character for character, byte in _BYTE.items() if 0x80 <= byte < 0xC0))}]"
_RUN = re.compile(f"[\u00c2-\u00df]{_TAIL}|[\u00e0-\u00ef]{_TAIL}{{2}}|[\u00f0-\u00f4]{_TAIL}{{3}}")

# A capital before a quote, a dash or dots is sound: CAFÉ’S, «SÍ».
_PUNCTUATION = set("‘’“”«»–—…‚„‹›")

# Of the code points that runs decode to, those that are plain evidence (letters of western Europe, typography, currency
# signs, emoji, the byte-order and replacement marks) ...
_PLAIN = ((0xA0, 0x17F), (0x2000, 0x22FF), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFFD, 0xFFFD), (0x1F000, 0x1FAFF))
# ... and those that make a text of another alphabet: so many runs at least.
_MANY = 3

# `â€™` may itself have been broken again.
_MOST_ROUNDS = 3


@dataclass(frozen=True)
class Mojibake:
    """Broken characters in a text.

    Attributes:
        at: Where the first one is.
        repaired: The text without them.
    """

    at: int
    repaired: str


def find_mojibake(text: str) -> Mojibake | None:
    """Return what is broken in a text, None where nothing is."""
    if text.isascii():
        return None
    at, repaired = _repair(text)
    if at is None:
        return None
    for _ in range(_MOST_ROUNDS - 1):
        again, next_ = _repair(repaired)
        if again is None:
            break
        repaired = next_
    return Mojibake(at, repaired)


def _repair(text: str) -> tuple[int | None, str]:
    """Return where the first broken character is, None without one, and the text after one round of decoding."""
    runs, end = [], 0
    for match in _RUN.finditer(text):
        before = text[match.start() - 1 : match.start()] if match.start() > end else ""
        if (decoded := _decoded(match[0], before)) is not None:
            runs.append((match, decoded))
            end = match.end()
    if sum(not _is_plain(decoded) for _, decoded in runs) < _MANY:
        runs = [(match, decoded) for match, decoded in runs if _is_plain(decoded)]
    parts, end = [], 0
    for match, decoded in runs:
        parts += [text[end : match.start()], decoded]
        end = match.end()
    return (runs[0][0].start() if runs else None), "".join([*parts, text[end:]])


def _decoded(run: str, before: str) -> str | None:
    """Return the character that a run was, None where the run is sound or no UTF-8; `before` stands before it."""
    if len(run) == 2 and run[1] in _PUNCTUATION and before.isupper():
        return None
    try:
        decoded = bytes(_BYTE[character] for character in run).decode("utf-8")
    except UnicodeDecodeError:
        return None
    # Extended Latin, phonetic letters and combining marks are rarer than the capitals and quotes that look like them.
    return None if 0x180 <= ord(decoded) < 0x370 else decoded


def _is_plain(decoded: str) -> bool:
    return any(low <= ord(decoded) <= high for low, high in _PLAIN)
