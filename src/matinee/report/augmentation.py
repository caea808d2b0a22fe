"""What augmentation made of a few train texts: before and after, the words that differ marked in both."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from matinee.report.wording import mapping, number, one_line, rows, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Words that are compared; SequenceMatcher's time grows with their square.
_MOST_WORDS = 2_000
# A run of words is shown whole if it is not longer than both its shown ends and a few more.
_SHOWN_END, _LEAST_HIDDEN = 8, 6
_MOST_EXAMPLES = 5
# What a word may take of the page.
_LONGEST_WORD = 60
_ABOUT = {
    "window": "a random part of a text that is longer than the encoder reads",
    "synonym": "words replaced by others that are near in the encoder’s embeddings",
    "swap": "pairs of words exchanged",
    "delete": "words left out",
    "mixup": "features of two texts mixed, after the encoder: nothing of it can be seen in a text",
}


def augmentation(section: Any) -> dict[str, Any] | None:
    """Return the operations and the examples, each as pieces before and after; None where nothing was changed.

    Args:
        section: `analysis.json`'s: names with their strengths, and examples.
    """
    parts = mapping(section)
    names = [one_line(name, 60) for name in texts(parts.get("names"))]
    if not names:
        return None
    found = [row for row in rows(parts.get("examples")) if row.get("before") or row.get("after")]
    return {
        "operations": [{"name": name, "about": _ABOUT.get(name.partition(":")[0], "")} for name in names],
        "examples": [
            {"id": one_line(row.get("id") or "", 80)}
            | _compared(str(row.get("before") or ""), str(row.get("after") or ""))
            for row in found[:_MOST_EXAMPLES]
        ],
    }


def _compared(before: str, after: str) -> dict[str, list[dict[str, Any]]]:
    """Return both texts in pieces: `[{"text", "changed"}]`."""
    old, new = (text.split()[:_MOST_WORDS] for text in (before, after))
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return {
        "before": [piece for kind, i, j, _, _ in steps for piece in _pieces(old[i:j], changed=kind != "equal")],
        "after": [piece for kind, _, _, i, j in steps for piece in _pieces(new[i:j], changed=kind != "equal")],
    }


def _pieces(words: Sequence[str], *, changed: bool) -> Iterator[dict[str, Any]]:
    """Yield a run of words; of a long one its ends, and how many words are not shown between."""
    n_hidden = len(words) - 2 * _SHOWN_END
    shown = [one_line(word, _LONGEST_WORD) for word in words]
    if n_hidden < _LEAST_HIDDEN:
        shown_parts, hidden = [shown], ""
    else:
        shown_parts, hidden = [shown[:_SHOWN_END], shown[-_SHOWN_END:]], f"[… {number(n_hidden)} words …]"
    for place, part in enumerate(part for part in shown_parts if part):
        if place:
            yield {"text": hidden, "changed": False}
        yield {"text": " ".join(part), "changed": changed}
