"""How values show themselves in a notebook: bounded, escaped HTML without a script, on whatever ground and with whatever ink is there.

Styles stand in the elements, for notebooks strip style sheets from pages of others; colours are translucent or the ink's own, so that
they go with a light page and with a dark one; nothing is said by colour alone.
"""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.types import UNCERTAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matinee.core.types import Predictions

MOST_ROWS = 20
BLUE, VERMILION = "0,114,178", "213,94,0"
"""Okabe and Ito's (2008), as the figures have them."""

_LONGEST_TEXT, _LONGEST_NAME, _MOST_NAMES = 160, 40, 8
_GREY = "rgba(127,127,127,.45)"
_CELL = "text-align:left;vertical-align:top;padding:.2em .8em .2em 0;white-space:normal;overflow-wrap:break-word"
# What no font draws, and lone surrogates, of which a notebook could not be saved.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def escaped(text: object, longest: int = _LONGEST_TEXT) -> str:
    """Return the beginning of a text as HTML, on one line."""
    whole = str(text)
    words = " ".join(whole[: 4 * longest].split())
    if len(words) > longest or len(whole) > 4 * longest:
        words = words[: longest - 1].rstrip() + "…"
    return html.escape(_UNPRINTABLE.sub("\ufffd", words))


def running(text: object, longest: int = _LONGEST_TEXT) -> str:
    """Return the beginning of a text for a cell: as `escaped`, broken anywhere rather than making the table wider."""
    return f'<span style="overflow-wrap:anywhere">{escaped(text, longest)}</span>'


def panel(heading: str, *parts: str) -> str:
    """Return pieces of HTML one under the other; the heading is HTML too."""
    return f'<div style="max-width:60em;line-height:1.45"><p style="margin:.3em 0">{heading}</p>{"".join(parts)}</div>'


def note(said: str) -> str:
    """Return a paragraph in small type; what it says is HTML."""
    return f'<p style="margin:.4em 0;font-size:90%;opacity:.85">{said}</p>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    """Return a table.

    Args:
        columns: Headings, plain text.
        rows: Cells, HTML.
        caption: Plain text.
    """
    head = "".join(f'<th scope="col" style="{_CELL};font-weight:600">{escaped(name)}</th>' for name in columns)
    body = "".join(
        f'<tr style="background:transparent;border-top:1px solid {_GREY}">'
        + "".join(f'<td dir="auto" style="{_CELL}">{cell}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    said = (
        f'<caption style="text-align:left;font-weight:600;color:inherit">{escaped(caption)}</caption>'
        if caption
        else ""
    )
    style = "border-collapse:collapse;border:0;margin:.4em 0;color:inherit"
    return f'<table style="{style}">{said}<thead><tr style="background:transparent">{head}</tr></thead><tbody>{body}</tbody></table>'


def probability(value: float) -> str:
    """Return a probability as a figure and a bar."""
    if not math.isfinite(value):
        return "–"
    bar = (
        f'<span aria-hidden="true" style="display:inline-block;width:4em;height:.6em;border:1px solid {_GREY}">'
        f'<span style="display:block;height:100%;width:{100 * min(1.0, max(0.0, value)):.0f}%;background:rgba({BLUE},.8)"></span></span>'
    )
    return f'<span style="white-space:nowrap">{value:.3f} {bar}</span>'


def predictions_html(said: Predictions) -> str:
    """Return what a predictor said of some texts: how many got which label, how many are right, and the first texts."""
    shown = min(len(said), MOST_ROWS)
    columns = ["Text", "Label", "Probability", *([] if said.labels is None else ["True label"])]
    columns += [] if said.set_above is None else ["Cannot be excluded"]
    rows = [_prediction(said, row) for row in range(shown)]
    left = len(said) - shown
    parts = [table(columns, rows)] if rows else []
    parts += [note(f"… and {_texts(left, 'more ')}.")] if left else []
    return panel(f"<strong>{_texts(len(said))}</strong>{_answers(said)}", *parts, *_right(said))


def _texts(n: int, more: str = "") -> str:
    return f"{n:,} {more}text{'s' * (n != 1)}"


def _uncertain(said: Predictions) -> Any:
    scores = said.probabilities[np.arange(len(said)), said.predicted] if len(said) else np.empty(0)
    return scores < (-1.0 if said.abstain_below is None else said.abstain_below)


def _answers(said: Predictions) -> str:
    """Return how many texts got each label, the commonest labels first where there are many."""
    if not len(said):
        return ""
    uncertain = _uncertain(said)
    counts = np.bincount(said.predicted[~uncertain], minlength=len(said.label_names))
    order = np.arange(len(counts))
    if len(counts) > _MOST_NAMES:
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    named = [f"{escaped(said.label_names[place], _LONGEST_NAME)} {counts[place]:,}" for place in order[:_MOST_NAMES]]
    rest = int(counts[order[_MOST_NAMES:]].sum())
    named += [f"other labels {rest:,}"] if rest else []
    named += [f"{UNCERTAIN} {int(uncertain.sum()):,}"] if said.abstain_below is not None else []
    return " · " + ", ".join(named)


def _right(said: Predictions) -> list[str]:
    if said.labels is None or not len(said):
        return []
    answered = ~_uncertain(said)
    n, n_right = int(answered.sum()), int((answered & (said.predicted == said.labels)).sum())
    of = f"{n:,} answers" if said.abstain_below is not None else _texts(n)
    return [note(f"{n_right:,} of {of} right{f' ({n_right / n:.1%})' if n else ''}.")]


def _prediction(said: Predictions, row: int) -> list[str]:
    record = said[row]
    cells = [
        running(record["text"]),
        f"<strong>{escaped(record['label'], _LONGEST_NAME)}</strong>",
        probability(record["score"]),
    ]
    if said.labels is not None:
        true = said.label_names[said.labels[row]]
        sign = (
            "" if record["label"] == UNCERTAIN else "✓&nbsp;" if said.predicted[row] == said.labels[row] else "✗&nbsp;"
        )
        cells.append(sign + escaped(true, _LONGEST_NAME))
    if said.set_above is not None:
        names = [escaped(name, _LONGEST_NAME) for name in record["set"][:_MOST_NAMES]]
        cells.append(", ".join([*names, *(["…"] * (len(record["set"]) > _MOST_NAMES))]) or "–")
    return cells
