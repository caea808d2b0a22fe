"""Texts that stand in two splits, texts with nothing in them, and texts that a classifier was trained on."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from matinee.core.files import atomic_path
from matinee.core.progress import progress
from matinee.core.text import same_text_key
from matinee.data.readers import open_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matinee.core.types import Split

EMPTY = b""

# Enough to know a text again: the odds that any of a million texts has the digest of another such million are 1 in 18 million.
SEEN_BYTES = 8


def text_digests(texts: Sequence[str], doing: str) -> Iterator[bytes]:
    """Yield 16 bytes for each text, equal where the texts count as the same; `EMPTY` where cleaning leaves nothing.

    Digests, because the keys themselves would hold every text a second time.

    Args:
        texts: The texts.
        doing: What the progress bar says.
    """
    with progress(doing, total=len(texts), unit="texts") as bar:
        for done, text in enumerate(texts):
            if done % 1000 == 0:
                bar.update(done)
            key = same_text_key(text)
            yield blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest() if key else EMPTY


def write_seen(path: Path, texts: Sequence[str]) -> None:
    """Keep a digest of every text that is learned from, so that `count_seen` knows the texts again without keeping them.

    Args:
        path: The Parquet file to write, whole or not at all.
        texts: What a classifier is trained on.

    Raises:
        StorageError: The write was refused.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"digest": pa.array(_seen_digests(texts, "Noting"), pa.binary(SEEN_BYTES))})
    with atomic_path(path) as temporary:
        # Digests are random bytes: nothing repeats, and nothing compresses.
        pq.write_table(table, temporary, compression="none", use_dictionary=False)


def count_seen(path: Path, split: Split) -> int:
    """Return how many texts of a split stand among those that `write_seen` noted; 0 where there is no such file.

    Scores on such texts flatter: the classifier was told their labels.

    Args:
        path: The file that `write_seen` wrote.
        split: What a classifier is evaluated on.

    Raises:
        DataError: The file is damaged.
    """
    return sum(find_seen(path, split.texts))


def find_seen(path: Path, texts: Sequence[str]) -> list[bool]:
    """Return of each text whether it stands among those that `write_seen` noted; raises as `count_seen` does."""
    if not path.is_file():
        return [False] * len(texts)
    seen = {digest for (digest,) in open_table(path).rows(["digest"])}
    return [digest[:SEEN_BYTES] in seen for digest in text_digests(texts, "Looking up texts")]


def _seen_digests(texts: Sequence[str], doing: str) -> list[bytes]:
    digests = text_digests(texts, f"{doing} texts")
    return [digest[:SEEN_BYTES] for digest in digests if digest != EMPTY]
