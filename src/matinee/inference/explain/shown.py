"""An explanation in a notebook: the text with its words marked, the strongest words and sentences."""

from __future__ import annotations

import re
from itertools import groupby, islice
from typing import TYPE_CHECKING

from matinee.core.notebook import BLUE, VERMILION, escaped, note, panel, running, table
from matinee.core.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matinee.inference.explain.explanation import Explanation, Sentence, Word

# Weaker words are not marked: a text in which everything is marked has nothing marked.
_LEAST_SHARE = 0.1
_MOST_WORDS, _MOST_UNREAD, _LONGEST_WORD = 300, 12, 60
_MOST_RANKED = 8
_LINE_BREAK = re.compile(r"<\s*(?:br|p|/p|div|/div|li|/li)\b|\n", re.IGNORECASE)


def explanation_html(explained: Explanation) -> str:
    """Return an explanation as a notebook shows it."""
    label = escaped(explained.label, 40)
    heading = f"<strong>{label}</strong>, {explained.probability:.1%}"
    if explained.label != explained.predicted:
        heading += f"; the classifier’s answer is <strong>{escaped(explained.predicted, 40)}</strong>"
    if not any(word.read for word in explained.words):
        return panel(heading, note("The classifier read no word of this text."))
    legend = f"{_mark('for', 1.0)} {label}: solid line. {_mark('against', -1.0)} it: dotted line. The stronger the shade, the more."
    marked = f'<p dir="auto" style="margin:.4em 0;overflow-wrap:anywhere">{"".join(_pieces(explained))}</p>'
    how = f"{escaped(explained.method).replace('_', ' ')}, {escaped(explained.how)}"
    return panel(
        heading,
        marked,
        note(legend),
        _ranking(explained.words, explained.label),
        _sentences(explained.sentences),
        note(f"Method: {how}. {escaped(explained.promise, 400)}"),
    )


def _pieces(explained: Explanation) -> Iterator[str]:
    """Divide the text into marked words, plain ones, and runs that were not read; tags are not shown, as they are not read."""
    largest = max(abs(word.contribution) for word in explained.words)
    at, n_left = 0, _MOST_WORDS
    for read, group in groupby(explained.words, key=lambda word: word.read):
        words = list(group)
        yield _gap(explained.text[at : words[0].start])
        at = words[0].start
        shown = words[: n_left if read else _MOST_UNREAD]
        run = []
        for word in shown:
            text = escaped(clean(word.text), _LONGEST_WORD)
            run += [_gap(explained.text[at : word.start]), _mark(text, word.contribution / largest if largest else 0.0)]
            at = word.end
        yield "".join(run) if read else f'<s style="opacity:.7">{"".join(run)}</s>'
        at = words[-1].end
        if len(shown) < len(words):
            yield f" … ({len(words) - len(shown):,} more{'' if read else ', not read'}) "
        if read:
            n_left -= len(shown)


def _mark(text: str, share: float) -> str:
    """Return a word, which is HTML already, marked by its share of the strongest word's contribution."""
    if abs(share) < _LEAST_SHARE:
        return text
    colour, line, side = (BLUE, "solid", "for") if share > 0 else (VERMILION, "dotted", "against")
    style = f"background:rgba({colour},{0.1 + 0.45 * abs(share):.2f});color:inherit;border-bottom:2px {line}"
    return f'<mark title="{side}" style="{style}">{text}</mark>'


def _gap(between: str) -> str:
    if _LINE_BREAK.search(between):
        return "<br>"
    if "<" in between or not between.strip():
        return " " if between else ""
    return escaped(between) if between.strip() == between else f" {escaped(between)} "


def _ranking(words: Sequence[Word], label: str) -> str:
    """Return a table of the words that speak most for the label, and of those that speak most against it."""
    sides = []
    for sign in (1, -1):
        found = sorted(
            (word for word in words if sign * word.contribution > 0), key=lambda word: -sign * word.contribution
        )
        sides.append(
            [(escaped(clean(word.text), _LONGEST_WORD), _signed(word.contribution)) for word in found[:_MOST_RANKED]]
        )
    n_rows = max(map(len, sides))
    padded = [[*side, *([("", "")] * (n_rows - len(side)))] for side in sides]
    return table(
        [f"For {label}", "", f"Against {label}", ""], [(*left, *right) for left, right in zip(*padded, strict=True)]
    )


def _sentences(sentences: Sequence[Sentence]) -> str:
    """Return a table of the strongest sentences, in the order of the text; none for a text of one."""
    read = [sentence for sentence in sentences if sentence.read]
    if len(read) < 2:
        return ""
    strongest = sorted(
        islice(sorted(read, key=lambda each: -abs(each.contribution)), _MOST_RANKED), key=lambda each: each.start
    )
    heading = (
        "Sentence" if len(strongest) == len(read) else f"The strongest {len(strongest)} of {len(read):,} sentences"
    )
    rows = [(running(clean(each.text)), _signed(each.contribution)) for each in strongest]
    return table([heading, "Sum of its words"], rows)


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}".replace("-", "\u2212")  # no -0.000
