"""Batches of token ids with little padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Lengths are rounded up to this: 16 shapes up to 256 tokens, at the price of 8 tokens of padding per text on average.
LENGTH_STEP = 16


def length_batches(lengths: Sequence[int], *, max_tokens: int = 8_192, max_texts: int = 64) -> list[NDArray[np.int64]]:
    """Group texts of similar length.

    Args:
        lengths: Number of tokens of each text.
        max_tokens: Most tokens in a batch, padding included; a text longer than that is a batch of its own.
        max_texts: Most texts in a batch.

    Returns:
        Row numbers of each batch, longest texts first, so that a batch too large for memory fails at once.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    batches, start = [], 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = min(max_texts, max(1, max_tokens // longest))
        batches.append(order[start : start + size])
        start += size
    return batches


def pad(
    ids: Sequence[NDArray[np.int32]], pad_id: int, *, multiple: int = 1, at_most: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `input_ids` and `attention_mask`, both of shape (n_texts, length), padded on the right.

    Args:
        ids: Token ids of each text.
        pad_id: What to fill up with.
        multiple: Round the length up to a multiple of this: few different shapes, for which a processor's kernels are
            made and kept once each.
        at_most: Do not round beyond this length, the longest that the encoder may get.
    """
    longest = max((len(row) for row in ids), default=0)
    length = -(-longest // multiple) * multiple
    if at_most is not None:
        length = max(longest, min(length, at_most))
    input_ids = np.full((len(ids), length), pad_id, dtype=np.int64)
    attention_mask = np.zeros((len(ids), length), dtype=np.int64)
    for row, (tokens, mask) in zip(ids, zip(input_ids, attention_mask, strict=True), strict=True):
        tokens[: len(row)] = row
        mask[: len(row)] = 1
    return input_ids, attention_mask
