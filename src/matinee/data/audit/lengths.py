"""How long texts are, in words and in tokens, which are empty, very short or very long, and what truncation throws away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.data.audit.duplicates import NO_TEXT
from matinee.data.audit.findings import Finding, texts_that

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.data.audit.findings import Severity
    from matinee.data.audit.rows import Rows

# At most so many words: "Not good." still says something, "Ok" hardly.
_SHORT_WORDS = 2

# Longer than so many medians, and than a page; or longer than a novella, whatever the others are. No IMDB review is: the
# longest is 14 medians.
_LONG_MEDIANS, _LONG_CHARACTERS, _LONGEST_CHARACTERS = 20, 3_000, 100_000

# From this share of the tokens on, what is thrown away is a warning.
_MUCH_LOST = 0.25

_EXAMPLES = 5

# Scripts that put no spaces between words (Thai, Lao, Khmer, kana, Chinese): every letter counts as one.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True)
class TokenLengths:
    """How many tokens an encoder makes of the texts, before anything is cut off.

    Attributes:
        encoder: Its name.
        max_length: Tokens that it sees of a text, in all its windows where it has several; special tokens included.
        lengths: Tokens of each measured text, special tokens included; shape (n_measured,).
        n_special: How many of them are special tokens, which are never cut off.
        rows: Which rows were measured, shape (n_measured,): all, or a random sample.
    """

    encoder: str
    max_length: int
    lengths: NDArray[np.int64]
    n_special: int
    rows: NDArray[np.int64]


def count_words(text: str) -> int:
    """Return the number of words of a text; where a script puts no spaces between them, of letters."""
    words = len(text.split())
    if text.isascii():
        return words
    unspaced = len(_UNSPACED.findall(text))
    return unspaced + len(_UNSPACED.sub(" ", text).split()) if unspaced else words


def length_facts(texts: Sequence[str], words: NDArray[np.int64]) -> dict[str, Any]:
    """Return the distribution of the lengths in words and in characters, as plain values."""
    return {"words": distribution(words), "characters": distribution(_characters(texts))}


def length_findings(rows: Rows, groups: NDArray[np.int64], words: NDArray[np.int64]) -> list[Finding]:
    """Return the texts that are empty, very short and very long.

    Args:
        rows: What is audited.
        groups: Which texts are the same and which are empty: see `group_same`.
        words: What `count_words` says of each, shape (n_rows,).
    """
    characters = _characters(rows.texts)
    empty = groups == NO_TEXT
    short = ~empty & (words <= _SHORT_WORDS)
    median = float(np.median(characters[~empty])) if (~empty).any() else 0.0
    long = (characters > max(_LONG_MEDIANS * median, _LONG_CHARACTERS)) | (characters > _LONGEST_CHARACTERS)
    return [
        *_finding(rows, "A301", "error", np.flatnonzero(empty), "is empty", "are empty"),
        *_finding(
            rows, "A302", "info", np.flatnonzero(short), f"has at most {_SHORT_WORDS} words",
            f"have at most {_SHORT_WORDS} words",
        ),
        *_finding(
            rows, "A303", "warning", np.flatnonzero(long)[np.argsort(-characters[long], kind="stable")],
            f"is very long ({characters.max(initial=0):,} characters; the median is {median:,.0f})",
            f"are very long (up to {characters.max(initial=0):,} characters; the median is {median:,.0f})",
        ),
    ]  # fmt: skip


def truncation_facts(tokens: TokenLengths, texts: Sequence[str]) -> dict[str, Any]:
    """Return what share of texts is cut, and what share of tokens is never seen, as plain values.

    Args:
        tokens: What was measured.
        texts: All texts, to say how many there are.
    """
    over = np.maximum(tokens.lengths - tokens.max_length, 0)
    content = int((tokens.lengths - tokens.n_special).sum())
    return {
        "encoder": tokens.encoder,
        "max_length": tokens.max_length,
        "texts": float((over > 0).mean()),
        "tokens": float(over.sum() / content) if content else 0.0,
        "n_measured": len(tokens.lengths),
        "sampled": len(tokens.lengths) < len(texts),
    }


def truncation_finding(rows: Rows, tokens: TokenLengths, facts: dict[str, Any]) -> Finding | None:
    """Return what truncation throws away, None where it is nothing.

    Args:
        rows: What is audited.
        tokens: What was measured.
        facts: What `truncation_facts` says of it.
    """
    over = np.flatnonzero(tokens.lengths > tokens.max_length)
    if not len(over):
        return None
    longest = over[np.argsort(-tokens.lengths[over], kind="stable")]
    # A sample stands for all.
    n = round(facts["texts"] * len(rows))
    lost = facts["tokens"]
    about = f", judged by {len(tokens.lengths):,} random ones" if facts["sampled"] else ""
    title = (
        f"{facts['texts']:.1%} of the texts are longer than {tokens.max_length:,} tokens of {tokens.encoder}: "
        f"{lost:.1%} of all tokens are not seen{about}"
    )
    examples = [
        rows.example(int(tokens.rows[place]), tokens=int(tokens.lengths[place])) for place in longest[:_EXAMPLES]
    ]
    severity: Severity = "warning" if lost >= _MUCH_LOST else "info"
    return Finding("A401", severity, title, n, len(rows), tokens.rows[longest].tolist(), examples)


def distribution(lengths: NDArray[np.int64]) -> dict[str, float]:
    """Return smallest, mean, median, 95th percentile and largest of some lengths; nothing of none."""
    if not len(lengths):
        return {}
    return {
        "min": int(lengths.min()),
        "mean": round(float(lengths.mean()), 1),
        "median": float(np.median(lengths)),
        "p95": round(float(np.quantile(lengths, 0.95)), 1),
        "max": int(lengths.max()),
    }


def _characters(texts: Sequence[str]) -> NDArray[np.int64]:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _finding(
    rows: Rows, code: str, severity: Severity, concerned: NDArray[np.int64], one: str, many: str
) -> list[Finding]:
    if not len(concerned):
        return []
    examples = [rows.example(row) for row in concerned[:_EXAMPLES].tolist()]
    title = texts_that(len(concerned), one, many)
    return [Finding(code, severity, title, len(concerned), len(rows), concerned.tolist(), examples)]
