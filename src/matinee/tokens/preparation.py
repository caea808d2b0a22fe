"""From a text to the token ids that an encoder sees: clean, tokenise, truncate, add the special tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from matinee.core.progress import progress
from matinee.core.text import clean
from matinee.tokens.alignment import align
from matinee.tokens.windows import window_starts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from matinee.core.settings import TextSettings

# Texts tokenised between two looks at the progress bar; large enough to keep every core busy, small enough to be held twice.
_CHUNK = 2_000

# What the tokenizers of the catalogue call the token that stands for a word unknown.
_MASKS = ("[MASK]", "<mask>")

# No text is as long: nothing is cut off.
_NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class TracedText:
    """A text as an encoder sees it, and where each of its tokens comes from. T tokens.

    Attributes:
        text: The text that the positions are about: as it was given (see `matinee.tokens.alignment.align` for the exception).
        ids: Token ids, as `TextPreparation.encode` gives them, shape (T,).
        spans: Start and end, exclusive, of each token in `text`, shape (T, 2); of special tokens -1.
    """

    text: str
    ids: NDArray[np.int32]
    spans: NDArray[np.int64]

    @property
    def special(self) -> NDArray[np.bool_]:
        """Which tokens are special ones, shape (T,)."""
        return np.asarray(self.spans[:, 0] < 0)


@dataclass(frozen=True)
class TextPreparation:
    """The exact text preparation of a classifier, saved and loaded with it.

    Attributes:
        tokenizer: A fast tokenizer; its own truncation and padding are switched off, ours apply.
        settings: Cleaning, length and truncation, with `lowercase` decided.
        pad_id: Token id that fills batches up.
    """

    tokenizer: Tokenizer
    settings: TextSettings
    pad_id: int

    def __post_init__(self) -> None:
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    @classmethod
    def of(cls, tokenizer: Tokenizer, settings: TextSettings, pad_id: int | None) -> TextPreparation:
        """Return the preparation; `lowercase` None is decided here: yes if the tokenizer is uncased, for it would anyway."""
        if settings.lowercase is None:
            settings = replace(settings, lowercase=_is_uncased(tokenizer))
        return cls(tokenizer, settings, pad_id or 0)

    def clean(self, text: str) -> str:
        """Return the text as the tokenizer gets it."""
        return clean(text, lowercase=bool(self.settings.lowercase))

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the token ids of each text, special tokens included, at most `max_length` each.

        Texts of any length are fine, the empty one too: it is the special tokens alone. With `long` set to `windows`, a
        longer text is its windows laid end to end, each of `max_length` tokens: `split_windows` parts them.
        """
        encoded: list[NDArray[np.int32]] = []
        with progress("Tokenising", total=len(texts), unit="texts") as bar:
            for start in range(0, len(texts), _CHUNK):
                encoded += self.encode_chunk(texts[start : start + _CHUNK])
                bar.update(len(encoded))
        return encoded

    def encode_chunk(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Do as `encode` does, all at once and without a progress bar: for threads, and texts that are few."""
        before, after = self._special_tokens()
        room = self.settings.max_length - len(before) - len(after)
        encodings = self.tokenizer.encode_batch_fast([self.clean(text) for text in texts], add_special_tokens=False)
        return [
            np.array(
                [token for part in self._parts(encoding.ids, room) for token in (*before, *part, *after)], np.int32
            )
            for encoding in encodings
        ]

    def token_lengths(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has before truncation, special tokens included."""
        whole = replace(self, settings=replace(self.settings, max_length=_NO_LIMIT))
        return [len(ids) for ids in whole.encode(texts)]

    def trace(self, text: str) -> TracedText:
        """Return the token ids of one text, as `encode` does, and which part of the text each token stands for."""
        before, after = self._special_tokens()
        aligned = align(text, lowercase=bool(self.settings.lowercase))
        encoding = self.tokenizer.encode(aligned.text, add_special_tokens=False)
        # Both are made anew, and whole, each time they are asked for.
        found, offsets = encoding.ids, encoding.offsets
        ids: list[int] = []
        spans: list[NDArray[np.int64]] = []
        for kept in self._parts(list(range(len(found))), self.settings.max_length - len(before) - len(after)):
            ids += [*before, *(found[token] for token in kept), *after]
            spans += [
                np.full((len(before), 2), -1),
                aligned.spans(np.array([offsets[token] for token in kept])),
                np.full((len(after), 2), -1),
            ]
        return TracedText(aligned.given, np.array(ids, dtype=np.int32), np.concatenate(spans))

    @property
    def mask_id(self) -> int:
        """Token id that says of a word no more than that it is there; the padding where the tokenizer has none such."""
        known = (self.tokenizer.token_to_id(token) for token in _MASKS)
        return next((token_id for token_id in known if token_id is not None), self.pad_id)

    def _parts(self, ids: list[int], room: int) -> list[list[int]]:
        """Return what of a text is read, once for each input that is made of it."""
        if self.settings.long == "windows":
            return [ids[start : start + room] for start in window_starts(len(ids), room, self.settings)]
        return [self._truncate(ids, room)]

    def _truncate(self, ids: list[int], room: int) -> list[int]:
        if len(ids) <= room:
            return ids
        if self.settings.truncation == "head":
            return ids[:room]
        if self.settings.truncation == "tail":
            return ids[len(ids) - room :]
        n_head = round(self.settings.head_share * room)
        return ids[:n_head] + ids[len(ids) - (room - n_head) :]

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """Return the ids that the tokenizer puts before and after a text."""
        plain = self.tokenizer.encode("a", add_special_tokens=False).ids
        whole = self.tokenizer.encode("a").ids
        if not plain or len(whole) == len(plain):
            return [], []
        start = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
        return whole[:start], whole[start + len(plain) :]


def _is_uncased(tokenizer: Tokenizer) -> bool:
    """Return whether the tokenizer itself takes capitals for small letters."""
    normalizer = tokenizer.normalizer
    return normalizer is not None and str(normalizer.normalize_str("A")).strip("▁ ") == "a"
