"""Odd texts: HTML, control characters, broken encodings, other scripts and languages, emoji alone."""

from __future__ import annotations

import html
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matinee.core.progress import progress
from matinee.core.text import clean
from matinee.data.audit.findings import Finding, texts_that
from matinee.data.audit.language import foreign_language, language_shares, script_of, usual_language
from matinee.data.audit.mojibake import find_mojibake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matinee.data.audit.findings import Severity
    from matinee.data.audit.rows import Rows

_EXAMPLES = 5

# Elements that pages are made of, so that <3 and <insert name> are not among them.
_ELEMENTS = (
    "a|abbr|address|article|aside|b|big|blockquote|body|br|button|center|cite|code|dd|del|div|dl|dt|em|font|footer|form|"
    "h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|meta|nav|noscript|ol|option|p|pre|q|s|script|"
    "section|select|small|span|strike|strong|style|sub|sup|svg|table|tbody|td|textarea|tfoot|th|thead|time|title|tr|tt|u|"
    "ul|video"
)
_TAG = re.compile(rf"</?(?:{_ELEMENTS})(?:\s[^<>]{{0,200}})?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# All but tab and line ends; with byte-order marks, zero-width and direction marks, lone surrogates.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff\ud800-\udfff]")
# Windows-1252 read as Latin-1: quotes and dashes became these. 0x85 is a line end too, and stays.
_QUOTES = {byte: bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0) if byte != 0x85}
_LETTER = re.compile(r"[^\W_]")


@dataclass
class Oddities:
    """Where something odd is.

    Attributes:
        html: Rows with tags or entities, and the place of the first.
        control: Rows with control characters, likewise.
        mojibake: Rows with broken characters, likewise.
        replaced: Rows with U+FFFD, likewise.
        no_words: Rows without a letter or digit.
        scripts: Rows whose letters are of another script than most texts', and which.
        languages: Rows that are in another language than most texts, and which.
        repaired: The repaired texts of the rows of `mojibake`.
        usual: Script and language of most texts, where they are clear.
    """

    html: dict[int, int] = field(default_factory=dict)
    control: dict[int, int] = field(default_factory=dict)
    mojibake: dict[int, int] = field(default_factory=dict)
    replaced: dict[int, int] = field(default_factory=dict)
    no_words: list[int] = field(default_factory=list)
    scripts: dict[int, str] = field(default_factory=dict)
    languages: dict[int, str] = field(default_factory=dict)
    repaired: dict[int, str] = field(default_factory=dict)
    usual: tuple[str | None, str | None] = (None, None)


def look_for_oddities(texts: Sequence[str]) -> Oddities:
    """Return what is odd about some texts, in one pass."""
    found = Oddities()
    scripts: list[str | None] = []
    shares: list[dict[str, float] | None] = []
    with progress("Looking at each text", total=len(texts), unit="texts") as bar:
        for row, text in enumerate(texts):
            if row % 1000 == 0:
                bar.update(row)
            _look_at(text, row, found)
            scripts.append(script_of(text))
            shares.append(language_shares(text) if scripts[-1] == "Latin" else None)
    _compare(found, scripts, shares)
    return found


def repair(text: str) -> str:
    """Return a text without HTML and control characters: each of its lines as `clean` leaves it.

    Control characters that were quotes and dashes in Windows-1252 become these again.
    """
    return "\n".join(clean(line) for line in text.translate(_QUOTES).splitlines()).strip()


def oddity_findings(rows: Rows, found: Oddities) -> list[Finding]:
    """Return what is odd as findings."""
    repaired = {row: {"repaired": _around(text, found.mojibake[row])} for row, text in found.repaired.items()}
    findings = [
        _finding(rows, "A304", "warning", found.no_words, "holds no letter or digit", "hold no letter or digit"),
        _finding(rows, "A305", "info", found.html, "holds HTML tags or entities", "hold HTML tags or entities"),
        _finding(rows, "A306", "info", found.control, "holds control characters", "hold control characters"),
        _finding(rows, "A307", "warning", found.mojibake, "holds mojibake", "hold mojibake", repaired),
        _finding(rows, "A308", "warning", found.replaced, "holds lost characters (�)", "hold lost characters (�)"),
        _unlike(rows, "A309", found.scripts, "script", found.usual[0]),
        _unlike(rows, "A310", found.languages, "language", found.usual[1]),
    ]
    return [finding for finding in findings if finding is not None]


def _look_at(text: str, row: int, found: Oddities) -> None:
    if place := ("<" in text and _TAG.search(text)) or ("&" in text and _entity(text)):
        found.html[row] = place.start()
    if not text.isprintable() and (place := _CONTROL.search(text)):
        found.control[row] = place.start()
    if broken := find_mojibake(text):
        found.mojibake[row], found.repaired[row] = broken.at, broken.repaired
    if (at := found.repaired.get(row, text).find("\ufffd")) >= 0:
        found.replaced[row] = at
    if not _LETTER.search(text) and text.strip():
        found.no_words.append(row)


def _entity(text: str) -> re.Match[str] | None:
    return next((match for match in _ENTITY.finditer(text) if html.unescape(match[0]) != match[0]), None)


def _compare(found: Oddities, scripts: Sequence[str | None], shares: Sequence[dict[str, float] | None]) -> None:
    """Find the texts that are unlike most."""
    known = Counter(script for script in scripts if script is not None)
    usual_script = known.most_common(1)[0][0] if known else None
    usual = usual_language(shares)
    found.usual = usual_script, usual
    for row, script in enumerate(scripts):
        if script not in (None, usual_script):
            found.scripts[row] = str(script)
        elif usual is not None and (language := foreign_language(shares[row], usual)):
            found.languages[row] = language


def _around(text: str, at: int) -> str:
    """Return the piece of a text about a place."""
    return " ".join(text[max(0, at - 30) : at + 60].split())


def _finding(
    rows: Rows,
    code: str,
    severity: Severity,
    places: dict[int, int] | Sequence[int],
    one: str,
    many: str,
    more: dict[int, dict[str, Any]] | None = None,
) -> Finding | None:
    if not places:
        return None
    concerned = list(places)
    at = places if isinstance(places, dict) else dict.fromkeys(places, 0)
    examples = [rows.example(row, at[row], **(more or {}).get(row, {})) for row in concerned[:_EXAMPLES]]
    return Finding(
        code, severity, texts_that(len(concerned), one, many), len(concerned), len(rows), concerned, examples
    )


def _unlike(rows: Rows, code: str, other: dict[int, str], what: str, usual: str | None) -> Finding | None:
    """Return the finding on texts in another script or language, the rarest ones last."""
    if not other:
        return None
    by_kind: dict[str, list[int]] = defaultdict(list)
    for row, kind in other.items():
        by_kind[kind].append(row)
    kinds = sorted(by_kind, key=lambda kind: -len(by_kind[kind]))
    concerned = [row for kind in kinds for row in by_kind[kind]]
    named = ", ".join(f"{kind} {len(by_kind[kind]):,}" for kind in kinds[:8])
    verb = (f"is in another {what}", f"are in another {what}")
    title = f"{texts_that(len(concerned), *verb)} than the rest ({named}; the rest: {usual})"
    examples = [{**rows.example(row), what: other[row]} for row in concerned[:_EXAMPLES]]
    return Finding(code, "warning", title, len(concerned), len(rows), concerned, examples)
