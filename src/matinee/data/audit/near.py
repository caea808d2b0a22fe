"""Near duplicates: texts that share most of their word triples, found by MinHash (Broder 1997) and checked exactly.

Texts whose signatures agree in a whole band are candidates (locality-sensitive hashing; Leskovec, Rajaraman & Ullman
2020, "Mining of Massive Datasets", section 3.4); a candidate counts where its Jaccard similarity, computed from the texts
themselves, reaches `THRESHOLD`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from matinee.core.progress import progress
from matinee.core.text import same_text_key
from matinee.data.audit.duplicates import NO_TEXT
from matinee.data.audit.findings import Finding, texts_that

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matinee.data.audit.rows import Rows

# Of 25,000 IMDB reviews 123 pairs are at least this similar, all of them one review with a few words changed, and 2 more
# at least 0.6; a sentence of 20 words in which one has changed comes to 0.71.
THRESHOLD = 0.7

# 12 bands of 3 rows: a pair of similarity 0.7 is a candidate with probability 0.993, one of 0.8 with 0.9998, and one of
# 0.02 (two reviews of the same length) with 0.0001.
_BANDS, _ROWS = 12, 3

# Words of one text that are compared: a book is known by its beginning.
_MOST_WORDS = 20_000

# Where texts are alike by the hundred (filled-in templates), each is compared with this many others, not with all: the
# work grows with the number of texts, and not with its square.
_MOST_NEIGHBOURS = 200
_MOST_CHECKED = 20

_EXAMPLES = 5
_WORD = re.compile(r"\w+")
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


# By row: the row nearest to it, and their similarity.
Matches = dict[int, tuple[int, float]]


@dataclass(frozen=True)
class NearPairs:
    """Texts that are nearly the same.

    Attributes:
        pairs: (earlier row, later row, similarity); of texts that are exactly the same only the first takes part.
        n_crowded: Texts that were compared with some of their neighbours only, having too many.
    """

    pairs: list[tuple[int, int, float]]
    n_crowded: int = 0


def near_pairs(texts: Sequence[str], groups: NDArray[np.int64]) -> NearPairs:
    """Return the pairs of different texts that are nearly the same.

    Args:
        texts: The texts.
        groups: Which of them are exactly the same: see `group_same`.
    """
    from datasketch import MinHashLSH

    first = [row for row in np.unique(groups).tolist() if row != NO_TEXT]
    index = MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS))
    # A text is cleaned again where it is a candidate: rare, and cheaper than keeping all.
    shingles_of = lru_cache(maxsize=4 * _MOST_NEIGHBOURS)(lambda row: _shingles(texts[row]))
    signatures: dict[int, NDArray[np.uint32]] = {}
    pairs: list[tuple[int, int, float]] = []
    n_crowded = 0
    with progress("Looking for near duplicates", total=len(first), unit="texts") as bar:
        for done, (row, signature) in enumerate(zip(first, _signatures(texts, first), strict=True)):
            if done % 1000 == 0:
                bar.update(done)
            candidates = index.query(signature)
            for other in _likeliest(signature.hashvalues, candidates, signatures):
                similarity = _jaccard(shingles_of(other), shingles_of(row))
                if similarity >= THRESHOLD:
                    pairs.append((other, row, similarity))
            if len(candidates) < _MOST_NEIGHBOURS:
                index.insert(row, signature, check_duplication=False)
                signatures[row] = signature.hashvalues
            else:
                n_crowded += 1
    return NearPairs(pairs, n_crowded)


def best_matches(rows: Rows, groups: NDArray[np.int64], near: NearPairs) -> tuple[Matches, Matches]:
    """Return the near duplicates inside splits and those across: by row, its nearest other row and their similarity.

    Inside a split these are the later rows; of two splits, the rows of the one that matters less.
    """
    placed = _by_split(rows, groups)
    inside: Matches = {}
    across: Matches = {}
    for earlier, later, similarity in near.pairs:
        for split, row in placed[later].items():
            for other_split, other in placed[earlier].items():
                if split == other_split:
                    _keep_best(inside, max(row, other), min(row, other), similarity)
                else:
                    lesser, greater = (row, other) if split < other_split else (other, row)
                    _keep_best(across, lesser, greater, similarity)
    return inside, across


def near_findings(rows: Rows, groups: NDArray[np.int64], near: NearPairs) -> list[Finding]:
    """Return the near duplicates inside splits and those across as findings."""
    inside, across = best_matches(rows, groups, near)
    more = f" ({near.n_crowded:,} have too many neighbours to be compared with all)" if near.n_crowded else ""
    where = "" if len(rows.split_names) == 1 else " of the same split"
    found = [
        _finding(rows, "A204", inside, f"nearly repeats another one{where}", f"nearly repeat another one{where}", more),
        _finding(
            rows, "A205", across, "nearly repeats one of another split", "nearly repeat one of another split", more
        ),
    ]
    return [finding for finding in found if finding is not None]


def join_near(groups: NDArray[np.int64], near: NearPairs) -> NDArray[np.int64]:
    """Return groups in which near duplicates stand together too, shape (n_texts,)."""
    root = {row: row for row in np.unique(groups).tolist()}

    def find(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    for earlier, later, _ in near.pairs:
        a, b = find(earlier), find(later)
        root[max(a, b)] = min(a, b)
    return np.array([find(row) for row in groups.tolist()], dtype=np.int64)


def _keep_best(best: Matches, row: int, other: int, similarity: float) -> None:
    if row not in best or similarity > best[row][1]:
        best[row] = (other, similarity)


def _by_split(rows: Rows, groups: NDArray[np.int64]) -> dict[int, dict[int, int]]:
    """Return for each distinct text the first of its rows in every split that it stands in."""
    placed: dict[int, dict[int, int]] = defaultdict(dict)
    for row, (group, split) in enumerate(zip(groups.tolist(), rows.splits.tolist(), strict=True)):
        placed[group].setdefault(split, row)
    return placed


def _finding(rows: Rows, code: str, best: Matches, one: str, many: str, more: str) -> Finding | None:
    if not best:
        return None
    ranked = sorted(best, key=lambda row: (-best[row][1], row))
    examples = [
        rows.example(
            row,
            near={**rows.example(best[row][0]), "similarity": round(best[row][1], 3)},
        )
        for row in ranked[:_EXAMPLES]
    ]
    title = texts_that(len(ranked), one, many) + more
    return Finding(code, "warning", title, len(ranked), len(rows), ranked, examples)


# -- similarity -------------------------------------------------------------------------------------------------------


def _signatures(texts: Sequence[str], first: Sequence[int]) -> Any:
    """Yield the MinHash of each of the rows `first`."""
    from datasketch import MinHash

    known = _WordHashes()
    hashes = (_shingle_hashes(_words(texts[row]), known).tolist() for row in first)
    return MinHash.generator(hashes, num_perm=_BANDS * _ROWS, hashfunc=int)


def _words(text: str) -> list[str]:
    key = same_text_key(text)
    words = _WORD.findall(key)
    # Emoji and the like: characters are the words then.
    return (words or list(key))[:_MOST_WORDS]


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = _words(text)
    return {tuple(words)} if len(words) < 3 else set(zip(words, words[1:], words[2:], strict=False))


class _WordHashes(dict[str, int]):
    """64 bits for each word, worked out when it is first seen."""

    def __missing__(self, word: str) -> int:
        digest = blake2b(word.encode(errors="surrogatepass"), digest_size=8).digest()
        self[word] = int.from_bytes(digest, "little")
        return self[word]


def _shingle_hashes(words: Sequence[str], known: _WordHashes) -> NDArray[np.uint64]:
    """Return 32 bits for each word triple; fewer than three words are one shingle.

    Args:
        words: The words of a text.
        known: Hash of each word.
    """
    hashes = np.fromiter(map(known.__getitem__, words), np.uint64, len(words))
    hashes = np.concatenate([hashes, np.zeros(max(0, 3 - len(hashes)), dtype=np.uint64)])
    mixed: NDArray[np.uint64] = hashes[:-2] * _MIX[0] + hashes[1:-1] * _MIX[1] + hashes[2:] * _MIX[2]
    return np.unique(mixed >> np.uint64(32))


def _likeliest(
    signature: NDArray[np.uint32], candidates: Sequence[int], signatures: dict[int, NDArray[np.uint32]]
) -> list[int]:
    """Return the candidates whose signatures agree most, as many as are worth an exact look, in row order."""
    if len(candidates) > _MOST_CHECKED:
        rows = sorted(candidates)
        agreement = (np.array([signatures[row] for row in rows]) == signature).sum(axis=1)
        candidates = [rows[place] for place in np.argsort(-agreement, kind="stable")[:_MOST_CHECKED]]
    return sorted(candidates)


def _jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    shared = len(one & other)
    union = len(one) + len(other) - shared
    return shared / union if union else 0.0
