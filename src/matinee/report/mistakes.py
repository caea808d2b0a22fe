"""The mistakes as the page lists them: bounded, with the words that counted, in pieces that are safe to write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from matinee.report.wording import NOTHING, known, mapping, one_line, percent, plural, reason_of, rows, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

View = dict[str, Any]

KINDS = {
    "confident": ("Sure and wrong", "The mistakes that it was surest of."),
    "uncertain": ("Nearly right", "The mistakes that were closest: it could hardly decide."),
    "mislabelled": (
        "Perhaps the label is wrong",
        "It may well be the classifier that is right here. Look at the label first.",
    ),
}
OTHERS = ("All other mistakes", "Shortened. Search and filters look at these too.")

# Together these keep a page of 25,000 predictions below 5 MB whatever stands in the texts: an escaped character takes up to 5 bytes.
_MOST_DETAILED, _MOST_OTHERS = 20, 400
_SHOWN, _REST, _SNIPPET, _NEIGHBOUR = 2_000, 2_000, 280, 300
_MOST_SLICES, _LONGEST_NAME = 6, 60
_MOST_OPTIONS = 60
# A text in which everything is highlighted has nothing highlighted.
_MOST_WORDS, _LEAST_SHARE = 40, 0.1
_LINE_BREAKS = re.compile(r"(?:<br\s{0,5}/?>\s{0,20})+", re.IGNORECASE)


def mistakes(section: Any, explanations: Any = None, slices: Any = None) -> View:
    """Return the groups of mistakes and what they can be filtered by.

    Args:
        section: As in `analysis.json`: `kinds` of detailed rows, `all` short rows, `n` of them in all.
        explanations: As in `analysis.json`; names the method behind the highlighted words.
        slices: As in `analysis.json`; says what the names of slices mean.

    Returns:
        `groups` of rows; the `labels`, `predicted` and `slices` that occur among them; how many there are and are shown. Rows
        refer to labels and slices by their place, so that nothing of the user's stands in an attribute that code reads.
    """
    parts = mapping(section)
    titles = {str(row.get("name")): row.get("title") for row in rows(mapping(slices).get("rows")) if row.get("title")}
    groups = _grouped(parts, titles)
    n_shown = sum(len(found) for _, found in groups)
    n_all = parts["n"] if known(parts.get("n")) else n_shown
    if not n_shown:
        if parts.get("n") == 0:
            return {"reason": "There is none to show: it made no mistake on the test texts."}
        return {"reason": reason_of(section, "The mistakes were not looked into.")}
    every = [row for _, found in groups for row in found]
    index = {key: _options(every, key) for key in ("label", "predicted")} | {"slices": _slice_options(every)}
    return {
        "reason": "",
        "n": plural(n_all, "mistake"),
        "n_left": plural(max(0, int(n_all) - n_shown), "more", "more") if n_all > n_shown else "",
        "method": method_name(explanations),
        "has_words": any(row.get("words") for row in every),
        "labels": index["label"],
        "predicted": index["predicted"],
        "slices": index["slices"],
        "kinds": [
            {"key": key, "title": title}
            for key, (title, _) in KINDS.items()
            if any(key in row["kinds"] for row in every)
        ],
        "groups": [
            {
                "key": key,
                "title": KINDS.get(key, OTHERS)[0],
                "about": KINDS.get(key, OTHERS)[1],
                "rows": [_mistake(row, index, detailed=key in KINDS) for row in found],
            }
            for key, found in groups
        ],
    }


def method_name(explanations: Any) -> str:
    """Return how the words were weighed, for people; nothing where nobody noted it."""
    name = str(mapping(explanations).get("method") or "")
    return {"linear": "its coefficients"}.get(name, one_line(name.replace("_", " "), 60))


def _grouped(parts: Mapping[str, Any], titles: Mapping[str, Any]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the rows of each kind, each mistake once, then the others; each row knows all its kinds.

    A mistake of several kinds stands under the one that says most of it: a label that may be wrong before a narrow miss, and that
    before the surest ones, among which the others would vanish.
    """
    kinds = mapping(parts.get("kinds"))
    of_kind = {kind: rows(kinds.get(kind))[:_MOST_DETAILED] for kind in KINDS}
    kinds_of: dict[str, list[str]] = {}
    for kind, found in of_kind.items():
        for row in found:
            kinds_of.setdefault(str(row.get("id")), []).append(kind)
    seen: set[str] = set()
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for key in (*reversed(KINDS), "others"):
        fresh: list[Mapping[str, Any]] = []
        for row in of_kind[key] if key in KINDS else rows(parts.get("all")):
            name = str(row.get("id"))
            if name not in seen:
                seen.add(name)
                named = [titles.get(each, each) for each in texts(row.get("slices"))]
                fresh.append({**row, "slices": named, "kinds": kinds_of.get(name, [])})
        groups[key] = fresh[: _MOST_OTHERS if key == "others" else _MOST_DETAILED]
    return [(key, groups[key]) for key in (*KINDS, "others") if groups[key]]


def _options(found: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(_name(row.get(key)) for row in found))[:_MOST_OPTIONS]


def _slice_options(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(_name(name) for row in found for name in texts(row.get("slices"))))[:_MOST_OPTIONS]


def _name(value: Any) -> str:
    return NOTHING if value is None else one_line(value, _LONGEST_NAME)


def _mistake(row: Mapping[str, Any], index: Mapping[str, Sequence[str]], *, detailed: bool) -> View:
    text = str(row.get("text") or "")
    label, predicted = _name(row.get("label")), _name(row.get("predicted"))
    named = [_name(name) for name in texts(row.get("slices"))[:_MOST_SLICES]]
    view = {
        "id": one_line(row.get("id") if row.get("id") is not None else NOTHING, 80),
        "label": label,
        "predicted": predicted,
        "score": percent(row.get("score"), 1),
        "kinds": row["kinds"],
        "slices": named,
        "at": {
            "label": _place(index["label"], label),
            "predicted": _place(index["predicted"], predicted),
            "slices": " ".join(_place(index["slices"], name) for name in named),
        },
        "snippet": one_line(_LINE_BREAKS.sub(" ", text[: 8 * _SNIPPET]), _SNIPPET),
        "detailed": detailed,
    }
    return view | _details(row, text) if detailed else view


def _place(options: Sequence[str], name: str) -> str:
    return str(options.index(name)) if name in options else ""


def _details(row: Mapping[str, Any], text: str) -> View:
    pieces = list(highlighted(text[: _SHOWN + _REST], rows(row.get("words"))))
    shown, rest = _divided(pieces, _SHOWN)
    probabilities = sorted(
        mapping(row.get("probabilities")).items(), key=lambda item: -(item[1] if known(item[1]) else 0)
    )
    return {
        "shown": shown,
        "rest": rest,
        "cut": f"{len(text) - _SHOWN - _REST:,}" if len(text) > _SHOWN + _REST else "",
        "probabilities": [(one_line(name, 60), percent(p, 1)) for name, p in probabilities[:5]],
        "neighbours": [
            {
                "label": _name(each.get("label")),
                "same": each.get("label") == row.get("predicted"),
                "similarity": f"{each['similarity']:.2f}" if known(each.get("similarity")) else NOTHING,
                "text": one_line(_LINE_BREAKS.sub(" ", str(each.get("text") or "")[: 8 * _NEIGHBOUR]), _NEIGHBOUR),
            }
            for each in rows(row.get("neighbours"))[:3]
        ],
    }


def highlighted(text: str, words: Sequence[Mapping[str, Any]]) -> Iterator[View]:
    """Divide a text into pieces, the words that counted most among them marked.

    Args:
        text: As it is shown.
        words: Rows with `text`, `start`, `end` and `contribution`: positive where it speaks for the label that was predicted.

    Yields:
        `{"text", "kind", "level", "title"}`: kind `"for"`, `"against"` or nothing, level 1 to 3 by its share of the largest contribution
        of the text. The pieces together are the text, with HTML line breaks as line ends.
    """
    found = list(_located(text, words))
    largest = max((abs(value) for _, _, value in found), default=0.0)
    strongest = sorted(found, key=lambda word: -abs(word[2]))[:_MOST_WORDS]
    marked = sorted(word for word in strongest if largest and abs(word[2]) >= _LEAST_SHARE * largest)
    at = 0
    for start, end, value in marked:
        if start > at:
            yield _piece(text[at:start])
        level = 1 + sum(abs(value) >= share * largest for share in (0.33, 0.66))
        yield {
            "text": text[start:end],
            "kind": "for" if value > 0 else "against",
            "level": level,
            "title": f"{'+' if value > 0 else '−'}{abs(value):.3g}",
        }
        at = end
    if at < len(text):
        yield _piece(text[at:])


def _piece(text: str) -> View:
    return {"text": _LINE_BREAKS.sub("\n", text), "kind": "", "level": 0, "title": ""}


def _located(text: str, words: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, int, float]]:
    """Find each word in the text: where it says it is, else a little further on, since cleaning may have moved it."""
    at = 0
    for word in words:
        value, start, end = word.get("contribution"), word.get("start"), word.get("end")
        said = str(word.get("text") or "")
        if not known(value) or not known(start) or not known(end):
            continue
        start, end = int(start), int(end)
        if start >= len(text):
            break
        if said and text[start:end].lower() != said.lower():
            match = re.compile(re.escape(said), re.IGNORECASE).search(text, at, at + len(said) + 200)
            if match is None:
                continue
            start, end = match.span()
        if at <= start < end <= len(text):
            yield start, end, float(value)
            at = end


def _divided(pieces: Sequence[View], length: int) -> tuple[list[View], list[View]]:
    """Divide pieces after about `length` characters, between words where a piece is long."""
    shown: list[View] = []
    room = length
    for place, piece in enumerate(pieces):
        if len(piece["text"]) <= room:
            shown.append(piece)
            room -= len(piece["text"])
            continue
        cut = piece["text"].rfind(" ", 0, room + 1) if room > 0 else 0
        cut = cut if cut > 0 else room
        before, behind = piece["text"][:cut], piece["text"][cut:]
        shown += [{**piece, "text": before}] if before else []
        return shown, [{**piece, "text": behind}, *pieces[place + 1 :]]
    return shown, []
