"""Words alike, by the encoder's own word embeddings: no thesaurus, any language, and only words that it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from matinee.model.fast import transformer_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenizers import Tokenizer

# With minilm and mpnet, "awful" is at 0.68 and 0.63 from "terrible", "film" at 0.72 and 0.67 from "movie", but "good" at 0.54 and
# 0.55 from "bad", "best" at 0.51 and 0.56 from "worst". Above 0.6 most are inflections and words of like meaning; not all:
# "positive" and "negative" are at 0.68, days of the week at 0.8.
_LEAST_COSINE = 0.6
_MOST_NEIGHBOURS = 5
_SHORTEST = 3
_CHUNK = 256


@torch.no_grad()
def words_alike(model: Any, tokenizer: Tokenizer, words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return for each word that is one token the others nearest to it, the nearest first; words without any are left out.

    Nearness is the cosine between rows of the embedding matrix, less the mean of all whole words: in most encoders, all have a
    large part in common.

    Args:
        model: A classifier; its weights before fine-tuning.
        tokenizer: The encoder's.
        words: Lower-case words; the others are left out.
    """
    tokens = _whole_words(tokenizer)
    asked = sorted(set(words) & tokens.keys())
    known = list(tokens)
    vectors = transformer_of(model).get_input_embeddings().weight[list(tokens.values())].float()
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    place = {word: at for at, word in enumerate(known)}
    found: dict[str, tuple[str, ...]] = {}
    for start in range(0, len(asked), _CHUNK):
        chunk = asked[start : start + _CHUNK]
        cosines = vectors[[place[word] for word in chunk]] @ vectors.T
        nearest = cosines.topk(min(_MOST_NEIGHBOURS + 1, len(known)))
        for word, values, places in zip(chunk, nearest.values.tolist(), nearest.indices.tolist(), strict=True):
            near = [known[at] for value, at in zip(values, places, strict=True) if value >= _LEAST_COSINE]
            others = tuple(other for other in near if other != word)
            if others:
                found[word] = others[:_MOST_NEIGHBOURS]
    return found


def _whole_words(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the tokens that are a lower-case word of letters when they stand between spaces, by the word."""
    decoded = {token: tokenizer.decode([token]).strip() for token in range(tokenizer.get_vocab_size())}
    tokens = [
        (word, token)
        for token, word in decoded.items()
        if len(word) >= _SHORTEST and word.isalpha() and word == word.lower()
    ]
    first = tokenizer.encode("a", add_special_tokens=False).ids
    encodings = tokenizer.encode_batch([f"a {word}" for word, _ in tokens], add_special_tokens=False)
    return {word: token for (word, token), found in zip(tokens, encodings, strict=True) if found.ids == [*first, token]}
