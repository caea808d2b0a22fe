"""Explanations as a page: one self-contained HTML file, in the report's own style, readable without colour."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from matinee._version import __version__
from matinee.core.text import clean
from matinee.report.page import _asset, _hash, _templates
from matinee.report.wording import one_line, percent, plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Weaker words are not marked: a text in which everything is marked has nothing marked.
_LEAST_SHARE = 0.1
_MOST_ROWS = 15
_MOST_UNREAD = 600
# A text of a megabyte would be a page that no browser likes; --json has everything.
_MOST_WORDS, _MOST_SENTENCES = 3_000, 60
# The report's style leaves room for its list of sections on a wide screen; this page has none.
_NO_SECTIONS = "@media (min-width: 76rem) { body { display: block; } }\n"
_LINE_BREAK = re.compile(r"<\s*(?:br|p|/p|div|/div|li|/li)\b|\n", re.IGNORECASE)


def render_explanations(name: str, explanations: Sequence[Mapping[str, Any]]) -> str:
    """Return a page that shows explanations; whatever stands in the texts is escaped.

    Args:
        name: What was explained: the run.
        explanations: As `matinee.inference.explain.Explanation.to_json` gives them.
    """
    style = _asset("report.css") + _NO_SECTIONS
    page = (
        _templates()
        .get_template("explained.html")
        .render(
            name=one_line(name, 120),
            explanations=[_view(each) for each in explanations],
            style=style,
            style_hash=_hash(style),
            version=__version__,
        )
    )
    return printable(page)


def _view(explanation: Mapping[str, Any]) -> dict[str, Any]:
    words, sentences = ([each for each in explanation[part] if each["read"]] for part in ("words", "sentences"))
    n_unread = len(explanation["words"]) - len(words)
    n_left_out = max(0, len(words) - _MOST_WORDS)
    return {
        "label": one_line(explanation["label"], 80),
        "predicted": one_line(explanation["predicted"], 80),
        "probability": percent(explanation["probability"], 1),
        "method": str(explanation["method"]).replace("_", " "),
        "how": explanation["how"],
        "promise": explanation["promise"],
        "pieces": list(_pieces(explanation)),
        "unread": plural(n_unread, "word") if n_unread else "",
        "left_out": plural(n_left_out, "more word") if n_left_out else "",
        "for": _strongest(words, 1),
        "against": _strongest(words, -1),
        "of_sentences": f"{len(sentences):,}" if len(sentences) > _MOST_SENTENCES else "",
        "sentences": [
            {"text": one_line(clean(each["text"]), 300), "value": _signed(each["contribution"])}
            for each in _most_telling(sentences)
        ],
    }


def _most_telling(sentences: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the strongest sentences, as many as the page shows, in the order of the text."""
    strongest = sorted(sentences, key=lambda each: -abs(each["contribution"]))[:_MOST_SENTENCES]
    return sorted(strongest, key=lambda each: int(each["start"]))


def _strongest(words: Sequence[Mapping[str, Any]], sign: int) -> list[tuple[str, str]]:
    found = sorted(
        (word for word in words if sign * word["contribution"] > 0), key=lambda word: -sign * word["contribution"]
    )
    return [(one_line(clean(word["text"]), 60), _signed(word["contribution"])) for word in found[:_MOST_ROWS]]


def _pieces(explanation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Divide a text into marked words, plain runs, and runs that were not read; tags are not shown, as they are not read."""
    text, words = explanation["text"], explanation["words"]
    read = [place for place, word in enumerate(words) if word["read"]]
    words = words[: read[_MOST_WORDS]] if len(read) > _MOST_WORDS else words
    largest = max((abs(word["contribution"]) for word in words), default=0.0)
    run, kind, at = "", "", 0
    for word in words:
        run += _gap(text[at : word["start"]])
        at = word["end"]
        of = _kind(word, largest)
        if of != kind or of in {"for", "against"}:
            if run:
                yield _piece(run, kind)
            run, kind = "", of if of == "unread" else ""
        if of in {"for", "against"}:
            level = 1 + sum(abs(word["contribution"]) >= share * largest for share in (0.33, 0.66))
            yield {"text": clean(word["text"]), "kind": of, "level": level, "title": _signed(word["contribution"])}
        else:
            run += clean(word["text"])
    if run:
        yield _piece(run, kind)


def _kind(word: Mapping[str, Any], largest: float) -> str:
    if not word["read"]:
        return "unread"
    if not largest or abs(word["contribution"]) < _LEAST_SHARE * largest:
        return ""
    return "for" if word["contribution"] > 0 else "against"


def _piece(text: str, kind: str) -> dict[str, Any]:
    if kind == "unread" and len(text) > _MOST_UNREAD:
        text = f"{text[: _MOST_UNREAD // 2]} … {text[-_MOST_UNREAD // 2 :]}"
    return {"text": text, "kind": kind, "level": 0, "title": ""}


def _gap(between: str) -> str:
    if _LINE_BREAK.search(between):
        return "\n"
    return " " if between.strip() != between or "<" in between else ""


def _signed(value: float) -> str:
    figure = f"{value:+.3f}" if not value or abs(value) >= 0.0005 else f"{value:+.0e}"
    return figure.replace("-", "\u2212")
