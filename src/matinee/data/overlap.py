"""Texts that stand in two splits, and texts with nothing in them."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from matinee.core.progress import progress
from matinee.core.text import same_text_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EMPTY = b""


def text_digests(texts: Sequence[str], what: str) -> Iterator[bytes]:
    """Yield 16 bytes for each text, equal where the texts count as the same; `EMPTY` where cleaning leaves nothing.

    Digests, because the keys themselves would hold every text a second time.
    """
    with progress(f"Comparing {what}", total=len(texts), unit="texts") as bar:
        for done, text in enumerate(texts):
            if done % 1000 == 0:
                bar.update(done)
            key = same_text_key(text)
            yield blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest() if key else EMPTY
